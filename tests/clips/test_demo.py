"""The made clips: the same bytes from every process, exact masks, blocks that move only where the arm is."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from mmvid.clips.demo import GENERATOR, DemoConfig, draw_trajectory, make_clips, make_records
from mmvid.clips.made.rendering import Painter
from mmvid.clips.made.scene import HAND_RADIUS, play
from mmvid.clips.store import ClipStore
from mmvid.draws import Draws
from mmvid.manifests import digest_of
from mmvid.tfrecords.encode import encode_example

SMALL = DemoConfig(clips=20, clip_length=16, side=32, seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return make_clips(tmp_path_factory.mktemp("demo") / "store", SMALL)


def test_it_goes_through_the_reader_of_bair(store):
    assert store.contents.source.kind == "bair" and store.title == "demo clips (made)"
    assert store.profile() == {
        "clips": {"train": 16, "dev": 2, "validate": 2},
        "trajectories": {"train": 16, "dev": 2, "validate": 2},
        "frames": {"train": 256, "dev": 32, "validate": 32},
        "pixels": [32, 32],
        "actions": 4,
        "masks": ["robot", "block"],
        "classes": 0,
        "skipped clips": 0,
    }
    assert store.positions("train", 0).shape == (16, 3)
    record = draw_trajectory(SMALL, 18)  # the first of test
    assert store.frames("validate", 0)[5].tobytes() == record["5/image_main/encoded"][0]
    np.testing.assert_array_equal(store.actions("validate", 0)[5], record["5/action"])


def test_another_process_makes_the_same_bytes(store, tmp_path):
    program = (
        "import sys; from pathlib import Path; from mmvid.clips.demo import *; "
        "make_records(Path(sys.argv[1]), DemoConfig.model_validate_json(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "again"), SMALL.model_dump_json()], check=True)
    made = store.folder.with_name("store.made")
    names = sorted(path.relative_to(made) for path in made.rglob("*.tfrecords"))
    assert [name.name for name in names] == ["traj_0_to_1.tfrecords", "traj_0_to_17.tfrecords"]
    assert [digest_of(made / name) for name in names] == [digest_of(tmp_path / "again" / name) for name in names]


def test_bytes_are_pinned():
    """Whoever changes them raises `demo.GENERATOR`, so that older data are made anew."""
    config = DemoConfig(clip_length=3, side=32, cameras="both", seed=3)
    records = b"".join(encode_example(draw_trajectory(config, number)) for number in (0, 7))
    assert GENERATOR == 1
    assert hashlib.blake2b(records, digest_size=16).hexdigest() == "50a96d7f7be617bc87a602d012145bab"


def test_a_trajectory_follows_from_seed_and_number_alone():
    longer = SMALL.model_copy(update={"clips": 5000})
    one, other = draw_trajectory(SMALL, 7), draw_trajectory(longer, 7)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    different = draw_trajectory(SMALL.model_copy(update={"seed": 4}), 7)
    assert different["0/image_main/encoded"] != one["0/image_main/encoded"]


def test_both_cameras_see_one_scene():
    config = DemoConfig(clip_length=2, side=32, cameras="both")
    record = draw_trajectory(config, 0)
    assert {key.split("/")[1] for key in record if "encoded" in key} == {"image_main", "image_aux1"}
    alone = draw_trajectory(config.model_copy(update={"cameras": "main"}), 0)
    assert record["1/image_main/encoded"] == alone["1/image_main/encoded"]


def test_arm_and_blocks_are_seen_and_never_both_at_a_pixel(store):
    masks = np.concatenate([store.masks("train", row) for row in range(16)])
    robot, block = masks[:, 0], masks[:, 1]
    assert not (robot & block).any()
    assert robot.any((1, 2)).mean() > 0.95 and 0.04 < robot.mean() < 0.3
    assert block.any((1, 2)).mean() > 0.95 and 0.02 < block.mean() < 0.2


def test_masks_are_what_changes_when_a_thing_is_taken_away():
    """Without blocks, the pixels that change are their masks, and shadows; the masked ones all change."""
    moment = next(play(Draws(0, "test", 3), 1, 3))
    painter = Painter(Draws(0, "looks"), "main", 64)
    frame, (robot, block) = painter.draw(moment)
    moment.blocks.clear()
    without, (same, none) = painter.draw(moment)
    assert not none.any() and (robot & ~same).sum() == 0
    changed = (frame != without).any(-1)
    assert changed[block].all() and not changed[robot].all()
    darker = frame.astype(int).sum(-1) < without.astype(int).sum(-1)
    rim = np.zeros_like(block)
    for shift in (-1, 0, 1):
        for axis in (0, 1):
            rim |= np.roll(block, shift, axis)
    assert darker[changed & ~rim].all(), "what changes outside the blocks is their shadow"


def test_blocks_move_only_when_they_are_pushed():
    pushed = still = 0
    for number in range(12):
        before, hand = None, None
        for moment in play(Draws(1, "test", number), 30, 3):
            places = np.array([block.place for block in moment.blocks])
            if before is not None:
                moved = (places != before).any(1)
                away = np.sqrt(((before - moment.hand[:2]) ** 2).sum(1))
                reach = np.array([block.reach for block in moment.blocks]) + HAND_RADIUS
                assert not moved.any() or (away < reach + 1e-6).any()
                pushed, still = pushed + moved.any(), still + (not moved.any())
            before, hand = places, moment.hand
        assert abs(hand[:2]).max() <= 0.86
    assert pushed > 40 and still > 100


def test_the_arm_moves_enough_that_copying_the_first_frame_is_poor(store):
    clips = np.stack([store.frames("train", row) for row in range(16)]) / 255
    errors = ((clips - clips[:, :1]) ** 2).mean((2, 3, 4))
    psnr = (10 * np.log10(1 / errors[:, 1:])).mean(0)
    assert psnr[0] > 20 and psnr[7:].max() < 19


def test_made_data_are_found_again_and_others_are_left_alone(store, tmp_path):
    made = store.folder.with_name("store.made")
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    again = make_clips(store.folder, SMALL)
    assert again.digest == store.digest and times == {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="must be absent or demo clips, it holds something else$"):
        make_records(tmp_path / "mine", SMALL)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
