"""Cross-validation of few labelled pictures: each is held out once, and what belongs together stays together."""

from collections.abc import Sequence

import numpy as np

from mmvid.clips.writing import SplitBy
from mmvid.draws import Draws


def folds(
    trajectories: Sequence[str], k: int | None = None, *, by: SplitBy = "trajectory", seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows to train on and those that are held out, int64, of each fold; every row is held out once.

    Args:
        trajectories: the trajectory of each row, (N,).
        k: folds, whose numbers of trajectories differ by one at most; None leaves out one at a time.
        by: what is held out together: a trajectory, or each frame by itself.
        seed: which ones; leaving out one at a time needs none, the order is that of the rows.

    Raises:
        ValueError: if there are fewer than two, or than k, to be divided.
    """
    units = list(dict.fromkeys(trajectories)) if by == "trajectory" else list(range(len(trajectories)))
    many = "trajectories" if by == "trajectory" else "frames"
    if len(units) < 2 or (k is not None and not 2 <= k <= len(units)):
        need = "at least 2" if k is None else f"at least {max(k, 2)} for {k} folds, and folds at least 2"
        raise ValueError(f"{many} must be {need}, got {len(units)}")
    order = np.arange(len(units))
    if k is not None:
        order = np.argsort(Draws(seed, "folds").raw(len(units)), kind="stable")
    fold_of = np.empty(len(units), np.int64)
    fold_of[order] = np.arange(len(units)) % (k or len(units))
    number = {unit: fold for unit, fold in zip(units, fold_of.tolist(), strict=True)}
    own = np.array([number[unit] for unit in (trajectories if by == "trajectory" else units)])
    return [(np.flatnonzero(own != fold), np.flatnonzero(own == fold)) for fold in range(k or len(units))]
