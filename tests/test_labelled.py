"""Labelled frames out of stores of clips and of pictures."""

import dataclasses

import numpy as np
import pytest

from mmvid.clips.clip import Clip
from mmvid.clips.demo import DemoConfig, make_clips
from mmvid.clips.ingest import write_clips
from mmvid.clips.masks.ingest import ingest_masks
from mmvid.clips.masks.options import MaskOptions
from mmvid.labelled import census as labelled_census
from mmvid.labelled import open_labelled, shared_trajectories


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("demo") / "clips", DemoConfig(clips=30, clip_length=4, side=16))


def test_frames_of_clips_are_those_of_the_store(demo):
    labelled = open_labelled(demo, limit=50)
    counts = {split: len(labelled.rows(split)) for split in ("train", "dev", "validate")}
    assert counts == {"train": 32, "dev": 8, "validate": 10}
    assert labelled.made and labelled.title == "demo clips (made)" and len(set(labelled.ids)) == 50
    assert labelled.categories == ("robot", "block") and labelled.shared() == 0
    for row, (id, split) in enumerate(zip(labelled.ids, labelled.splits, strict=True)):
        clip, _, frame = id.rpartition("@")
        own = next(number for number, entry in enumerate(demo.entries(split)) if entry.id == clip)
        np.testing.assert_array_equal(labelled.frames[row], demo.frames(split, own)[int(frame)])
        np.testing.assert_array_equal(labelled.masks[row], demo.masks(split, own)[int(frame)])
        assert labelled.trajectory[row] == demo.entries(split)[own].trajectory


def test_trajectories_take_turns(demo):
    labelled = open_labelled(demo, limit=50)
    for split in ("train", "dev", "validate"):
        names = [labelled.trajectory[row] for row in labelled.rows(split)]
        times = [names.count(name) for name in {entry.trajectory for entry in demo.entries(split)}]
        assert max(times) - min(times) <= 1


def test_equal_seeds_are_equal_frames(demo):
    one, same, other = (open_labelled(demo, limit=20, seed=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest and one.ids != other.ids


def test_without_a_limit_all(demo):
    assert len(open_labelled(demo, limit=None)) == 30 * 4 == len(open_labelled(demo, limit=1000))


def test_one_category_and_another_order(demo):
    both, blocks = open_labelled(demo, ("block", "robot"), limit=10), open_labelled(demo, ("block",), limit=10)
    np.testing.assert_array_equal(both.masks[:, :1], blocks.masks)
    assert blocks.ids == both.ids and blocks.digest != both.digest
    census = both.census()
    assert census["train"]["robot"]["frames"] == 6
    assert census["train"]["robot"]["share"] == pytest.approx(both.masks[both.rows("train"), 1].mean())


def test_the_census_of_a_store_is_that_of_all_its_frames(demo):
    everything = open_labelled(demo, limit=None)
    assert labelled_census(demo) == everything.census()
    assert shared_trajectories(demo) == 0
    assert everything.census()["validate"]["block"]["frames"] == 12


def test_parts(demo):
    labelled = open_labelled(demo, limit=20)
    frames, masks, ids = labelled.split("dev")
    np.testing.assert_array_equal(frames, labelled.frames[labelled.rows("dev")])
    assert masks.shape == (3, 2, 16, 16) and ids == tuple(labelled.ids[row] for row in labelled.rows("dev"))
    part = labelled.take([4, 1])
    assert part.ids == (labelled.ids[4], labelled.ids[1]) and len(part) == 2
    np.testing.assert_array_equal(part.masks[0], labelled.masks[4])
    for train, held in labelled.folds(3):
        assert not {labelled.trajectory[row] for row in train} & {labelled.trajectory[row] for row in held}
    moved = dataclasses.replace(labelled, splits=("train", "dev") * 10, trajectory=("a", "a", *labelled.trajectory[2:]))
    assert moved.shared() >= 1
    with pytest.raises(ValueError, match="^split must be among train, dev, validate, got 'test'$"):
        labelled.split("test")


def test_the_papers_labels_are_all_taken(shared, tmp_path):
    options = MaskOptions(categories=("robot",))
    store = ingest_masks(str(shared / "data" / "bair" / "masks"), tmp_path / "store", options=options, progress=False)
    labelled = open_labelled(store, ("robot",))
    assert labelled.frames.shape == (11, 64, 64, 3) and labelled.masks.shape == (11, 1, 64, 64)
    assert not labelled.made and len(labelled.folds()) == 11
    assert 0.01 < labelled.masks.mean() < 0.1


def test_what_cannot_be_opened(demo, tmp_path):
    plain = write_clips(tmp_path, [Clip("a", "a", "train", np.zeros((1, 4, 4, 3), np.uint8))])
    with pytest.raises(ValueError, match="must have masks, its clips have none; ingest_masks makes such a store$"):
        open_labelled(plain)
    with pytest.raises(ValueError, match="has no masks of 'arm', only of robot, block$"):
        open_labelled(demo, ("arm",))
    with pytest.raises(ValueError, match="^limit must be at least 1, got 0$"):
        open_labelled(demo, limit=0)
    with pytest.raises(ValueError, match="^shares must be three numbers that come to 1"):
        open_labelled(demo, shares=(0.5, 0.5, 0.5))
