"""Statistics of values that pass by once; what is kept does not grow with their number."""

import array
import collections
import dataclasses

import numpy as np

LONGEST = 1 << 16  # lengths from here on share one count
_COUNTED = 1 << 20  # integers from 0 to below this are counted one by one
_SHORT = 64  # bytes of a string that may be an id
_CODES = 1 << 16
_OUTLIERS = 0.001  # share of the values at either end that a histogram puts into its first and last bin

Bins = list[tuple[str, int]]
"""What each bin holds, in words, and how many."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """Numbers in few numbers.

    Attributes:
        count: finite ones. low, mean, high: of the finite ones, NaN where there are none.
        zeros: how many are exactly 0.
        nan, infinite: how many are not finite.
        histogram: counts over equal bins from `edges[0]` to `edges[1]`, the central 99.8 % of the finite values.
    """

    count: int
    low: float
    mean: float
    high: float
    zeros: int
    nan: int
    infinite: int
    histogram: np.ndarray
    edges: tuple[float, float]


class Lengths:
    """How often each length occurs."""

    def __init__(self):
        self.counts: collections.Counter[int] = collections.Counter()
        self.total = 0
        self.high = 0

    def add(self, length: int, times: int = 1) -> None:
        self.counts[length if length < LONGEST else LONGEST] += times
        self.total += length * times
        if length > self.high:
            self.high = length

    @property
    def number(self) -> int:
        return self.counts.total()

    @property
    def low(self) -> int:
        return min(self.counts, default=0)

    @property
    def mean(self) -> float:
        return self.total / self.number if self.counts else 0.0

    @property
    def constant(self) -> int | None:
        """The length, if all have one."""
        return self.high if self.counts and self.low == self.high else None

    def bins(self, most: int = 24) -> Bins:
        """A histogram of at most `most` bins of equal width."""
        if not self.counts:
            return []
        low, high = self.low, min(self.high, LONGEST)
        width = -(-(high - low + 1) // most)
        counts = [0] * ((high - low) // width + 1)
        for length, times in self.counts.items():
            counts[(length - low) // width] += times
        starts = range(low, high + 1, width)
        return [(f"{at}" if width == 1 else f"{at}-{at + width - 1}", n) for at, n in zip(starts, counts, strict=True)]


class Floats:
    """Statistics of float32 values.

    Beside the exact figures, values are counted by the upper half of their bits (sign, exponent and 7 bits of the
    fraction): a histogram of every scale at once, from which one of any range follows to within 1 %.
    """

    dtype = np.dtype("<f4")

    def __init__(self):
        self.count = self.zeros = self.nan = self.infinite = 0
        self.low, self.high, self.total = np.inf, -np.inf, 0.0
        self.codes = np.zeros(_CODES, np.int64)

    def add(self, values: np.ndarray) -> bool:
        """Adds float32 ``(n,)``, contiguous; says whether all are finite."""
        with np.errstate(invalid="ignore"):  # the sum of both infinities
            total = values.sum(dtype=np.float64)  # no sum of float32 overflows float64: finite means that all are
        finite = bool(np.isfinite(total))
        if not finite:
            nan = int(np.isnan(values).sum())
            self.nan += nan
            kept = values[np.isfinite(values)]
            self.infinite += len(values) - len(kept) - nan
            values, total = kept, kept.sum(dtype=np.float64)
        if len(values):
            self.count += len(values)
            self.total += float(total)
            self.zeros += len(values) - int(np.count_nonzero(values))
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
            self.codes += np.bincount(values.view("<u2")[1::2], minlength=_CODES)
        return finite

    def summary(self, bins: int = 32) -> Summary:
        used = np.flatnonzero(self.codes)
        values = (used.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        order = np.argsort(values, kind="stable")
        mean = self.total / self.count if self.count else np.nan
        low, high = (self.low, self.high) if self.count else (np.nan, np.nan)
        histogram, edges = _histogram(values[order], self.codes[used[order]], (low, high), bins)
        return Summary(self.count, low, mean, high, self.zeros, self.nan, self.infinite, histogram, edges)


class Bytes:
    """Statistics of uint8 values."""

    dtype = np.dtype("u1")

    def __init__(self):
        self.counts = np.zeros(256, np.int64)

    def add(self, values: np.ndarray) -> bool:
        """Adds uint8 ``(n,)``, contiguous; bytes are always finite."""
        even = len(values) & ~1
        pairs = np.bincount(values[:even].view(np.uint16), minlength=_CODES).reshape(256, 256)  # half the elements
        self.counts += pairs.sum(axis=0) + pairs.sum(axis=1)
        if even < len(values):
            self.counts[values[-1]] += 1
        return True

    def summary(self, bins: int = 32) -> Summary:
        used, count = np.flatnonzero(self.counts), int(self.counts.sum())
        mean = float(self.counts @ np.arange(256)) / count if count else np.nan
        low, high = (float(used[0]), float(used[-1])) if count else (np.nan, np.nan)
        histogram, edges = _histogram(used.astype(float), self.counts[used], (low, high), bins)
        return Summary(count, low, mean, high, int(self.counts[0]), 0, 0, histogram, edges)


class Integers:
    """Statistics of 64-bit integers, and how often each occurs, as long as none is negative or above a million.

    Attributes:
        counts: how often each value from 0 on occurs, ``(highest + 1,)``; None where the values are too wide.
    """

    def __init__(self):
        self.count = self.zeros = 0
        self.low, self.high, self.total = np.inf, -np.inf, 0.0
        self.counts: np.ndarray | None = np.zeros(0, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Adds int64 ``(n,)``."""
        if not len(values):
            return
        low, high = int(values.min()), int(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += len(values)
        self.total += float(values.sum(dtype=np.float64))
        self.zeros += len(values) - int(np.count_nonzero(values))
        if low < 0 or high >= _COUNTED:
            self.counts = None
        if self.counts is not None:
            added = np.bincount(values, minlength=len(self.counts))
            added[: len(self.counts)] += self.counts
            self.counts = added

    def summary(self, bins: int = 32) -> Summary:
        low, high = (float(self.low), float(self.high)) if self.count else (np.nan, np.nan)
        mean = self.total / self.count if self.count else np.nan
        used = np.zeros(0, np.int64) if self.counts is None else np.flatnonzero(self.counts)
        weights = used if self.counts is None else self.counts[used]
        histogram, edges = _histogram(used.astype(float), weights, (low, high), bins)
        return Summary(self.count, low, mean, high, self.zeros, 0, 0, histogram, edges)


class Strings:
    """Statistics of byte strings.

    Attributes:
        lengths: bytes of each. empty, binary: how many are empty, and how many are not UTF-8.
        hashes: a 64-bit hash of each that is not empty; None once one is too long for an id, or a record had several.
    """

    def __init__(self):
        self.lengths = Lengths()
        self.empty = self.binary = 0
        self.hashes: array.array | None = array.array("q")

    def add(self, values: list[bytes]) -> None:
        """Adds the strings of one record."""
        if len(values) != 1:
            self.hashes = None
        for value in values:
            self.lengths.add(len(value))
            if not value:
                self.empty += 1
                continue
            self.binary += not (value.isascii() or _is_utf8(value))
            if len(value) > _SHORT:
                self.hashes = None
            elif self.hashes is not None:
                self.hashes.append(hash(value))

    def doubled(self) -> tuple[int, set[int]]:
        """How many strings were there before, and the hashes of those that come more than once."""
        hashes = np.sort(np.frombuffer(self.hashes or b"", np.int64))
        again = hashes[1:][hashes[1:] == hashes[:-1]]
        return len(again), set(again.tolist())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _histogram(
    values: np.ndarray, counts: np.ndarray, full: tuple[float, float], bins: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Counts over equal bins from counts over ascending values; the few outliers go into the outer bins."""
    if not len(values):
        return np.zeros(0, np.int64), full
    passed = counts.cumsum()
    low = max(full[0], values[np.searchsorted(passed, passed[-1] * _OUTLIERS)])
    high = min(full[1], values[np.searchsorted(passed, passed[-1] * (1 - _OUTLIERS))])
    if low >= high:
        return np.array([passed[-1]]), (low, high)
    found, _ = np.histogram(values.clip(low, high), bins, (low, high), weights=counts)
    return found.astype(np.int64), (float(low), float(high))
