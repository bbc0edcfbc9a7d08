"""Windows and batches of clips: every start is drawn, an epoch follows from its number alone, ranks share fairly."""

import pickle

import numpy as np
import pytest
import torch

from mmvid.clips.batches import as_bytes, as_pixels
from mmvid.clips.clip import Clip
from mmvid.clips.ingest import write_clips
from mmvid.clips.loader import ClipLoader, resize_clips
from mmvid.clips.store import ClipStore


def clip(number: int, frames: int = 8, split: str = "train", height: int = 6, width: int = 10) -> Clip:
    """A clip whose pixels say which clip and which frame they are of."""
    pixels = np.zeros((frames, height, width, 3), np.uint8)
    pixels[..., 0] = number
    pixels[..., 1] = np.arange(frames)[:, None, None]
    masks = np.zeros((frames, 2, height, width), bool)
    masks[np.arange(frames), 0, 0, np.arange(frames) % width] = True
    return Clip(
        id=f"clip {number}",
        trajectory=f"scene {number // 2}",
        split=split,
        frames=pixels,
        actions=np.stack([np.full(frames, number), np.arange(frames)], 1).astype(np.float32),
        masks=masks,
        categories=("robot", "block"),
        label="even" if number % 2 == 0 else "odd",
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    clips = [clip(number, frames=4 + number % 5) for number in range(40)]
    return write_clips(tmp_path_factory.mktemp("store"), clips, dev_share=0.2, validate_share=0.1, seed=3)


def all_windows(loader: ClipLoader) -> list[tuple[str, int]]:
    return [pair for batch in loader for pair in zip(batch.ids, batch.starts.tolist(), strict=True)]


def test_a_batch_is_what_the_clips_are(store):
    loader = ClipLoader(store, "train", 5, frames=2, stride=2, windows="random", shuffle=True, seed=1)
    seen = 0
    for batch in loader:
        assert batch.clips.dtype == torch.float32 and batch.clips.shape[1:] == (3, 2, 6, 10)
        pixels = as_bytes(batch.clips)
        for row, (id, start) in enumerate(zip(batch.ids, batch.starts.tolist(), strict=True)):
            number = int(id.split()[1])
            assert (pixels[row, ..., 0] == number).all()
            assert pixels[row, :, 0, 0, 1].tolist() == [start, start + 2]
            assert batch.actions[row].tolist() == [[number, start], [number, start + 2]]
            assert batch.masks[row, 0].nonzero().tolist() == [[0, start]] and not batch.masks[row, 1].any()
            assert batch.trajectory[row] == f"scene {number // 2}"
            assert store.classes[batch.classes[row]] == ("even" if number % 2 == 0 else "odd")
        seen += len(batch)
    assert seen == store.count("train") == loader.count
    moved = batch.to("cpu")
    assert torch.equal(moved.clips, batch.clips) and moved.ids == batch.ids


def test_pixels_go_from_minus_to_plus_one_half():
    frames = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    assert as_pixels(frames)[:, 0, 0, 0].tolist() == pytest.approx([-0.5, 128 / 255 - 0.5, 0.5], abs=1e-6)
    assert torch.equal(as_bytes(as_pixels(frames)), frames)
    kept = frames.contiguous().numpy()
    kept.flags.writeable = False  # as a store's frames are: neither a warning nor a change
    assert torch.equal(as_pixels(kept), as_pixels(frames))
    assert as_bytes(torch.full((3, 1, 1, 1), 7.0)).unique().tolist() == [255]


def test_random_windows_reach_every_start_the_last_included(store):
    loader = ClipLoader(store, "train", 8, frames=3, windows="random")
    drawn: dict[str, list[int]] = {}
    for epoch in range(300):
        loader.set_epoch(epoch)
        for id, start in all_windows(loader):
            drawn.setdefault(id, []).append(start)
    lengths = {entry.id: entry.frames for entry in store.entries("train")}
    for id, starts in drawn.items():
        counts = np.bincount(starts, minlength=lengths[id] - 2)
        assert len(counts) == lengths[id] - 2
        expected = 300 / len(counts)
        assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_clip_of_exactly_the_windows_length_is_taken(store):
    loader = ClipLoader(store, "train", 4, frames=8, windows="random")
    assert {start for _, start in all_windows(loader)} == {0}
    assert loader.short == sum(entry.frames < 8 for entry in store.entries("train")) > 0
    assert loader.count + loader.short == store.count("train")


def test_an_epoch_follows_from_its_number_alone(store):
    one = ClipLoader(store, "train", 4, frames=3, shuffle=True, seed=5)
    one.set_epoch(7)
    expected = all_windows(one)
    assert all_windows(one) == expected
    one.set_epoch(8)
    assert all_windows(one) != expected
    other = ClipLoader(pickle.loads(pickle.dumps(store)), "train", 9, frames=3, shuffle=True, seed=5)
    other.set_epoch(7)
    assert all_windows(other) == expected
    unshuffled = ClipLoader(store, "train", 4, frames=3, seed=5)
    unshuffled.set_epoch(7)
    assert sorted(all_windows(unshuffled)) == sorted(expected)


def test_orders_are_pinned(store):
    loader = ClipLoader(store, "validate", 2, frames=2, shuffle=True, seed=11)
    loader.set_epoch(2)
    assert all_windows(loader) == [("clip 35", 0), ("clip 14", 6), ("clip 15", 1), ("clip 34", 4)]


def test_all_windows_are_every_start_once(store):
    loader = ClipLoader(store, "dev", 7, frames=3, stride=2, windows="all")
    lengths = {entry.id: entry.frames for entry in store.entries("dev")}
    expected = [(id, start) for id, length in lengths.items() for start in range(length - 4)]
    assert all_windows(loader) == expected and len(expected) == loader.count
    shuffled = ClipLoader(store, "dev", 7, frames=3, stride=2, windows="all", shuffle=True)
    assert sorted(all_windows(shuffled)) == sorted(expected) and all_windows(shuffled) != expected


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_take_every_window_once_in_equally_many_batches(store, world):
    whole = ClipLoader(store, "train", 4, frames=2, shuffle=True)
    ranks = [ClipLoader(store, "train", 4, frames=2, shuffle=True, rank=r, world_size=world) for r in range(world)]
    assert len({len(list(rank)) for rank in ranks}) == 1 and {len(rank) for rank in ranks} == {len(list(ranks[0]))}
    assert sorted(pair for rank in ranks for pair in all_windows(rank)) == sorted(all_windows(whole))


def test_resizing_cuts_the_centre_and_keeps_masks_in_place(tmp_path):
    frames = np.zeros((2, 8, 16, 3), np.uint8)
    frames[:, :, 4:12] = 255
    masks = np.zeros((2, 1, 8, 16), bool)
    masks[:, :, 4:, 4:12] = True
    made = Clip("a", "a", "train", frames, masks=masks, categories=("robot",))
    store = write_clips(tmp_path, [made])
    (batch,) = ClipLoader(store, "train", 1, frames=2, resolution=4)
    assert batch.clips.shape == (1, 3, 2, 4, 4) and batch.clips.min() == pytest.approx(0.5)
    assert batch.masks.tolist() == [[[[False] * 4] * 2 + [[True] * 4] * 2]]
    same = as_pixels(frames)[None, ..., 4:12]
    assert torch.equal(resize_clips(same, 8), same)


def test_mistakes_are_told(store):
    with pytest.raises(ValueError, match="^no clip of train has 31 frames, .* the longest has 8$"):
        ClipLoader(store, "train", 4, frames=16, stride=2)
    with pytest.raises(ValueError, match="^windows must be random, first or all, got 'last'"):
        ClipLoader(store, "train", 4, windows="last")
    with pytest.raises(ValueError, match="^stride must be at least 1, got 0"):
        ClipLoader(store, "train", 4, stride=0)
    with pytest.raises(ValueError, match="^split must be among train, dev, validate, got 'test'"):
        ClipLoader(store, "test", 4)
    with pytest.raises(ValueError, match="^4 windows cannot be given to 5 ranks"):
        ClipLoader(store, "validate", 4, frames=2, world_size=5)
