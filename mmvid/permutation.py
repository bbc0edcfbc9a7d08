"""A shuffled order that is computed, not kept: its memory does not grow with the number of videos."""

import hashlib
import math

import numpy as np

_ROUNDS = 8


class Permutation:
    """A pseudo-random order of 0 to n - 1, the same on every machine for the same seeds.

    A Feistel network permutes the pairs of numbers below `side`, the smallest number whose square is at least n; a
    pair that stands for n or more is permuted again until it does not, which keeps the map one to one. Only
    integers are involved.

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", generalised Feistel and cycle walking.
    """

    def __init__(self, n: int, *seeds: int):
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self.n = n
        self.side = np.uint64(math.isqrt(n - 1) + 1)
        words = ",".join(str(int(seed)) for seed in seeds).encode()
        self.keys = np.frombuffer(hashlib.blake2b(words, digest_size=8 * _ROUNDS).digest(), "<u8")

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The numbers at some positions of the order, int64, both ``(B,)``."""
        values = self._network(positions.astype(np.uint64))
        outside = np.flatnonzero(values >= self.n)
        while len(outside):
            values[outside] = self._network(values[outside])
            outside = outside[values[outside] >= self.n]
        return values.astype(np.int64)

    def _network(self, values: np.ndarray) -> np.ndarray:
        left = values // self.side
        right = values - left * self.side
        for key in self.keys:
            mixed = left + _mix(right + key)
            left, right = right, mixed - mixed // self.side * self.side  # faster than numpy's remainder
        return left * self.side + right


def _mix(x: np.ndarray) -> np.ndarray:
    """Numbers below 2^48 of which each depends on every bit of one in uint64 `x`; after MurmurHash3's finaliser."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x >> np.uint64(16)
