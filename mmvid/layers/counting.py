"""How often each of many keys comes, counted as a stream in memory that grows with the distinct keys alone."""

import numpy as np

_PENDING = 1 << 23  # keys that are counted in one go


class PairCounts:
    """Counts of int64 keys.

    Keys wait until there are `_PENDING`; then they are sorted, counted, and merged with runs counted before, as long
    as the last run is not longer than what is merged into it: each key is merged a logarithmic number of times.
    """

    def __init__(self, pending: int = _PENDING):
        self._limit = pending
        self._waiting: list[np.ndarray] = []
        self._number = 0
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # ascending keys and their counts, the longest run first

    def add(self, keys: np.ndarray) -> None:
        """Counts keys, int64 (N,)."""
        self._waiting.append(keys)
        self._number += len(keys)
        if self._number >= self._limit:
            self._settle()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct keys, ascending, and how often each came, both int64."""
        self._settle()
        while len(self._runs) > 1:
            self._runs.append(_merged(self._runs.pop(), self._runs.pop()))
        return self._runs[0] if self._runs else (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _settle(self) -> None:
        if not self._number:
            return
        keys = np.concatenate(self._waiting)
        self._waiting, self._number = [], 0
        keys.sort()
        run = _summed(keys, None)
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)


def _merged(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    keys = np.concatenate([one[0], other[0]])
    order = np.argsort(keys, kind="stable")  # two sorted runs: merging them is what a stable sort does best
    return _summed(keys[order], np.concatenate([one[1], other[1]])[order])


def _summed(keys: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Ascending keys to distinct ones and the sum of their counts; without counts each key counts one."""
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    if counts is None:
        return keys[first], np.diff(np.append(first, len(keys)))
    return keys[first], np.add.reduceat(counts, first)
