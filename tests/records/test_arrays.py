"""Items in arrays become the folds of a cross-validation."""

import numpy as np
import pytest

from mmvid.records.arrays import divide, read_items, standardise, write_folds
from mmvid.records.schema import load_schema

SCHEMA = load_schema("mosi")


def save(path, **changed):
    rng = np.random.default_rng(0)
    arrays = {"visual": rng.normal(3, 2, (60, 100)), "audio": rng.normal(size=(60, 73)), "text": rng.random((60, 100))}
    arrays |= {"label": np.repeat([1, 0], [36, 24])} | changed
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.mark.parametrize("group", [1, 4])
def test_every_item_is_held_out_once_and_neighbours_stay_together(group):
    labels = np.repeat([1, 0], [36, 24])
    division = divide(labels, 3, group, seed=5)
    assert set(division.folds.tolist()) == {0, 1, 2} and division.count == 3
    for number in np.unique(division.groups):
        members = division.groups == number
        assert len(set(division.folds[members].tolist())) == 1
        assert (labels[members] == 1).sum() == group  # 36 = 36 / group groups
    shares = [labels[division.folds == fold].mean() for fold in range(3)]
    assert max(shares) - min(shares) < 0.12
    assert np.array_equal(division.folds, divide(labels, 3, group, seed=5).folds)
    assert not np.array_equal(division.folds, divide(labels, 3, group, seed=6).folds)


def test_more_folds_than_groups_are_refused():
    with pytest.raises(ValueError, match="^folds must be at most 3, the groups of 12 that there are, got 4$"):
        divide(np.repeat([1, 0], [36, 24]), 4, 12, seed=0)


def test_features_are_standardised_by_train_alone():
    values = np.random.default_rng(0).normal(7, 3, (50, 4))
    values[:, 2] = 5
    fitted = np.arange(50) < 30
    scaled = standardise({"visual": values}, fitted)["visual"]
    expected = (values - values[:30].mean(0)) / np.where(values[:30].std(0) > 0, values[:30].std(0), 1)
    np.testing.assert_allclose(scaled, np.where(np.arange(4) == 2, 0, expected), rtol=1e-5, atol=1e-6)


def test_records_hold_the_fold_and_lack_what_is_hidden(tmp_path):
    items = read_items(save(tmp_path / "a.npz"), SCHEMA)
    division = divide(items.labels, 3, 1, seed=0)
    whole, held = [], []
    for fold, place in enumerate(write_folds(items, division, SCHEMA, tmp_path / "folds", 0.6, seed=1)):
        train = list(SCHEMA.read(place / "train.tfrecord"))
        validate = list(SCHEMA.read(place / "validate.tfrecord"))
        assert [int(video.id[4:]) for video in validate] == np.flatnonzero(division.folds == fold).tolist()
        assert {video.id for video in train}.isdisjoint(video.id for video in validate)
        assert all(video.labels.tolist() == [items.labels[int(video.id[4:])]] for video in train + validate)
        assert all(set(video.features) == set(SCHEMA.features) for video in validate)
        whole += validate
        held += [len(video.features) for video in train]
    assert len(whole) == 60 and min(held) == 1 and 0.35 < np.mean(held) / 3 < 0.6
    before = (tmp_path / "folds" / "mosi-fold1of3" / "train.tfrecord").stat().st_mtime_ns
    write_folds(items, division, SCHEMA, tmp_path / "folds", 0.6, seed=1)
    assert (tmp_path / "folds" / "mosi-fold1of3" / "train.tfrecord").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"audio": None}, "must have an array 'audio', it has visual, text, label"),
        ({"audio": np.zeros((60, 72))}, r"audio must be numbers of shape \(60, 73\), got float64 \(60, 72\)"),
        ({"text": np.full((60, 100), np.nan)}, "text must be finite, item 0 is not"),
        ({"label": np.full(60, 2)}, "label must be 0 to 1, got 2 to 2"),
        ({"label": np.zeros(60)}, r"label must be one whole number an item, got float64 \(60,\)"),
        ({"label": np.array([{}] * 60, object)}, "must be an npz file of arrays: Object arrays cannot be loaded"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changed, said):
    path = save(tmp_path / "a.npz", **changed)
    with pytest.raises(ValueError, match=f"^{path}:? {said}"):
        read_items(path, SCHEMA)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("no arrays")
    with pytest.raises(ValueError, match="^.*a.npz must be an npz file of arrays"):
        read_items(tmp_path / "a.npz", SCHEMA)
