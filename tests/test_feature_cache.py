"""The cache of frozen encoders' features: right rows, computed once, gone on with after a kill."""

import numpy as np
import pytest
import torch
from made_clips import square_clips

from mmvid import feature_cache
from mmvid.clips.batches import as_pixels
from mmvid.feature_cache import Windows, cache_folder, features_of

KEYS = {"key": "an encoder", "kind": "means", "dtype": "float32"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return square_clips(tmp_path_factory.mktemp("store"))


def mean(clips: torch.Tensor) -> torch.Tensor:
    return clips.mean(dim=(3, 4))  # (B, 3, T)


@pytest.mark.parametrize(("frames", "stride", "every"), [(1, 1, 1), (3, 1, 1), (2, 2, 2), (4, 1, 3)])
def test_a_row_is_the_feature_of_its_window(store, tmp_path, frames, stride, every):
    windows = Windows(store, "train", frames, stride, every)
    found = features_of(windows, mean, home=tmp_path, progress=False, batch_size=7, **KEYS)
    expected, index = [], []
    for row, entry in enumerate(store.entries("train")):
        span = (frames - 1) * stride + 1
        for start in range(0, entry.frames - span + 1, every):
            index.append((row, start))
            expected.append(mean(as_pixels(store.frames("train", row)[start : start + span : stride].copy())[None])[0])
    assert list(zip(*(each.tolist() for each in windows.index), strict=True)) == index
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), atol=1e-6)


def test_features_are_computed_once_for_a_store_an_encoder_and_a_kind(store, tmp_path):
    calls = []

    def counting(clips):
        calls.append(len(clips))
        return mean(clips)

    windows = Windows(store, "dev")
    first = features_of(windows, counting, home=tmp_path, progress=False, **KEYS)
    done = len(calls)
    again = features_of(Windows(store, "dev"), counting, home=tmp_path, progress=False, **KEYS)
    assert len(calls) == done and np.array_equal(first, again)
    features_of(windows, counting, home=tmp_path, progress=False, **KEYS | {"key": "another encoder"})
    features_of(Windows(store, "validate"), counting, home=tmp_path, progress=False, **KEYS)
    assert sum(calls) == 2 * len(windows) + len(Windows(store, "validate"))


def test_a_computation_that_was_stopped_goes_on_where_it_was(store, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "SAVED_EVERY", 2)
    windows, seen = Windows(store, "train"), []

    def failing(clips):
        if len(seen) == 5:
            raise RuntimeError("the power went")
        seen.append(clips)
        return mean(clips)

    with pytest.raises(RuntimeError, match="the power went"):
        features_of(windows, failing, home=tmp_path, progress=False, batch_size=8, **KEYS)
    rest = []
    found = features_of(
        windows, lambda clips: (rest.append(clips), mean(clips))[1], home=tmp_path, progress=False, batch_size=8, **KEYS
    )
    assert sum(map(len, rest)) == len(windows) - 4 * 8  # 5 batches were computed, 4 of them kept
    np.testing.assert_array_equal(found, features_of(windows, mean, home=tmp_path / "other", progress=False, **KEYS))
    folder = cache_folder(windows, home=tmp_path, **KEYS)
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "rows.json", "values.npy"]


def test_what_the_type_cannot_hold_is_an_error(store, tmp_path):
    with pytest.raises(ValueError, match=r"^codes must fit uint8, they reach from 0 to 300$"):
        features_of(
            Windows(store, "dev"),
            lambda clips: torch.tensor([0, 300] * len(clips)).view(len(clips), 2),
            home=tmp_path,
            key="k",
            kind="codes",
            dtype="uint8",
            progress=False,
        )


def test_a_split_without_clips_is_told(tmp_path):
    store = square_clips(tmp_path / "store", clips=2)
    empty = next(split for split in ("dev", "validate") if store.count(split) == 0)
    with pytest.raises(ValueError, match=f"^means need something that they are computed of, {empty} has nothing$"):
        features_of(Windows(store, empty), mean, home=tmp_path, progress=False, **KEYS)
