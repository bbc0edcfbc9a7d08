"""Random draws that are the same on every machine, with every version of numpy and of the C library.

A stream is the raw output of the Philox counter-based generator, whose algorithm is fixed, under a key hashed
from a seed and a purpose. All that is drawn is made from these bits by integer arithmetic: numpy does not
promise that `Generator`'s distributions stay the same, and the last bit of a logarithm differs between C
libraries.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_BYTES = np.uint64(0x00FF00FF00FF00FF)
_SUM = np.uint64(0xFFFF)


class Draws:
    """One stream of draws; equal seed, purpose and number give equal draws."""

    def __init__(self, seed: int, purpose: str, number: int = 0):
        hashed = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=np.frombuffer(hashed, "<u8").astype(np.uint64))
        self._words: list[int] = []

    def raw(self, *shape: int) -> np.ndarray:
        """Uniform 64-bit words, uint64."""
        return self._bits.random_raw(int(np.prod(shape))).reshape(shape)

    def integers(self, bound: int, *shape: int) -> np.ndarray:
        """Uniform integers from 0 to `bound` - 1, int64; `bound` is at most 2**31."""
        words = self.raw(*shape) >> np.uint64(32)
        return (words * np.uint64(bound) >> np.uint64(32)).astype(np.int64)

    def bells(self, *shape: int) -> np.ndarray:
        """Bell-shaped integers in [-510, 510], int32: the sum of four uniform bytes less its mean of 510.

        Their variance is 4 * (256**2 - 1) / 12 = 21845.
        """
        count = int(np.prod(shape))
        words = self.raw(-(-count // 2))
        pairs = (words & _BYTES) + (words >> np.uint64(8) & _BYTES)
        pairs += pairs >> np.uint64(16)
        sums = np.stack([pairs & _SUM, pairs >> np.uint64(32) & _SUM], axis=1)
        return sums.astype(np.int32).reshape(-1)[:count].reshape(shape) - np.int32(510)

    def below(self, bound: int) -> int:
        """One uniform integer from 0 to `bound` - 1."""
        if not self._words:
            self._words = self._bits.random_raw(1024).tolist()
        return (self._words.pop() >> 32) * bound >> 32

    def chance(self, of_thousand: int) -> bool:
        """True in `of_thousand` of a thousand cases."""
        return self.below(1000) < of_thousand

    def pick(self, items: Sequence) -> Any:
        """One of `items`, each as likely as the others."""
        return items[self.below(len(items))]

    def shuffle(self, items: list) -> None:
        """Puts `items` into a random order, in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
