"""Folds: every row is held out once, and what belongs together is held out together."""

import numpy as np
import pytest

from mmvid.clips.folds import folds

NAMES = ["a", "b", "a", "c", "d", "b", "e"]


@pytest.mark.parametrize("k", [None, 2, 3, 5])
@pytest.mark.parametrize("by", ["trajectory", "frame"])
def test_every_row_is_held_out_once(k, by):
    found = folds(NAMES, k, by=by, seed=4)
    units = len(set(NAMES)) if by == "trajectory" else len(NAMES)
    assert len(found) == (k or units)
    np.testing.assert_array_equal(np.sort(np.concatenate([held for _, held in found])), np.arange(len(NAMES)))
    sizes = []
    for train, held in found:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(len(NAMES)))
        if by == "trajectory":
            assert not {NAMES[row] for row in train} & {NAMES[row] for row in held}
        sizes.append(len({NAMES[row] for row in held}) if by == "trajectory" else len(held))
    assert max(sizes) - min(sizes) <= 1


def test_leaving_one_out_goes_by_the_rows_order():
    assert [held.tolist() for _, held in folds(NAMES)] == [[0, 2], [1, 5], [3], [4], [6]]


def test_equal_seeds_are_equal_folds():
    held = [[rows.tolist() for _, rows in folds(NAMES, 3, seed=seed)] for seed in (1, 1, 2)]
    assert held[0] == held[1] != held[2]


@pytest.mark.parametrize(
    ("names", "k", "by", "sentence"),
    [
        (NAMES, 6, "trajectory", "trajectories must be at least 6 for 6 folds, and folds at least 2, got 5"),
        (NAMES, 1, "frame", "frames must be at least 2 for 1 folds, and folds at least 2, got 7"),
        (["a", "a"], None, "trajectory", "trajectories must be at least 2, got 1"),
        ([], None, "frame", "frames must be at least 2, got 0"),
    ],
)
def test_too_few_to_divide(names, k, by, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        folds(names, k, by=by)
