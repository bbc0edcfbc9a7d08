"""Rows of Arrow columns gathered from many memory-mapped record batches at once, in any order.

A shuffled batch takes its rows from nearly as many record batches as it has rows, so a loop over record batches
would cost more than the copying. All batches are mapped into one address space: with the address of each batch's
buffer, the place of every row is arithmetic on whole arrays, and one call gathers the rows. The data stay in the page
cache; only what is gathered is copied.
"""

import functools
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from mmvid.records.buffers import Buffers


class Space:
    """Arrays of one dtype that lie anywhere in memory, read as one.

    Attributes:
        base: int64; `base[i] + k` is the place of item k of array i.
        items: a view from the lowest to the highest array. Only places inside an array may be read.
    """

    def __init__(self, arrays: list[np.ndarray]):
        self.arrays = arrays  # keeps their memory alive
        self.base = np.zeros(len(arrays), np.int64)
        held = [number for number, each in enumerate(arrays) if each.size]
        if not held:
            self.items = np.zeros(0, arrays[0].dtype)
            return
        lowest = min(held, key=lambda number: arrays[number].ctypes.data)
        item = arrays[lowest].itemsize
        for number in held:
            apart = arrays[number].ctypes.data - arrays[lowest].ctypes.data
            self.base[number], rest = divmod(apart, item)
            assert rest == 0, "Arrow aligns buffers to 8 bytes and more, and files are mapped by pages"
        end = max(int(self.base[number]) + arrays[number].size for number in held)
        self.items = as_strided(arrays[lowest], (end,), (item,), writeable=False)


class Validity:
    """Which rows of a column are not null."""

    def __init__(self, arrays: list[pa.Array]):
        self.whole = np.array([each.null_count == 0 for each in arrays])
        buffers = [each.buffers()[0] if each.null_count else None for each in arrays]
        self.offset = np.array([each.offset for each in arrays])
        self.space = Space([_numpy(buffer, np.uint8) for buffer in buffers])

    def gather(self, chunk: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Bool ``(B,)`` for row `row[i]` of record batch `chunk[i]`."""
        valid = self.whole[chunk]
        some = np.flatnonzero(~valid)
        if len(some):
            bit = self.offset[chunk[some]] + row[some]
            byte = self.space.items[self.space.base[chunk[some]] + (bit >> 3)]
            valid[some] = (byte >> (bit & 7)) & 1
        return valid


class Vectors:
    """A column of one vector of D values a row."""

    def __init__(self, arrays: list[pa.FixedSizeListArray]):
        self.valid = Validity(arrays)
        self.width = arrays[0].type.list_size
        self.space = Space([matrix(each).reshape(-1) for each in arrays])
        items = self.space.items
        places = len(items) - self.width + 1
        windows = as_strided(items, (places, self.width), items.strides * 2, writeable=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is only read
            self.windows = torch.from_numpy(windows)
        self.buffers = Buffers(self.width, items.dtype)

    def gather(self, chunk: np.ndarray, row: np.ndarray) -> Tensor:
        """The vectors, a copy, ``(B, D)``."""
        places = self.space.base[chunk] + row * self.width
        # Copied one after the other, each row would wait until its page is looked up; here many look-ups overlap.
        self.space.items.take(places)
        return torch.index_select(self.windows, 0, torch.from_numpy(places), out=self.buffers.take(len(places)))


class Ragged:
    """A column of a varying number of values a row: lists of numbers, or the bytes of strings."""

    def __init__(self, arrays: list[pa.Array]):
        self.valid = Validity(arrays)
        self.offsets = Space([_numpy(each.buffers()[1], np.int32)[each.offset :] for each in arrays])
        texts = pa.types.is_string(arrays[0].type)
        self.values = Space([_numpy(each.buffers()[2], np.uint8) if texts else _flat(each.values) for each in arrays])

    def gather(self, chunk: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values of all rows, one after the other, and the length of each row, int64 ``(B,)``."""
        place = self.offsets.base[chunk] + row
        first = self.offsets.items[place].astype(np.int64)
        lengths = self.offsets.items[place + 1] - first
        ends = lengths.cumsum()
        places = np.repeat(self.values.base[chunk] + first - (ends - lengths), lengths)
        places += np.arange(len(places))
        return self.values.items[places], lengths


class Strings(Ragged):
    """A column of strings."""

    def gather_strings(self, chunk: np.ndarray, row: np.ndarray) -> list[str]:
        values, lengths = self.gather(chunk, row)
        ends = lengths.cumsum()
        data = values.tobytes()
        spans = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
        if not data.isascii():
            return [data[begin:end].decode() for begin, end in spans]
        text = data.decode()  # where a character is a byte, once is enough
        return [text[begin:end] for begin, end in spans]


class LazyStrings(Sequence):
    """Rows of a column of strings, read when one is first asked for. It behaves and is pickled as a list."""

    def __init__(self, column: Strings, chunk: np.ndarray, row: np.ndarray):
        self._column, self._chunk, self._row = column, chunk, row

    @functools.cached_property
    def _strings(self) -> list[str]:
        return self._column.gather_strings(self._chunk, self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, place):
        return self._strings[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._strings)

    def __eq__(self, other: object) -> bool:
        return self._strings == (other._strings if isinstance(other, LazyStrings) else other)

    def __repr__(self) -> str:
        return repr(self._strings)

    def __reduce__(self):
        return list, (self._strings,)


class Frames:
    """A column of T vectors of D values a row."""

    def __init__(self, arrays: list[pa.ListArray]):
        self.valid = Validity(arrays)
        self.offsets = [_numpy(each.buffers()[1], np.int32)[each.offset :] for each in arrays]
        self.vectors = [matrix(each.values) for each in arrays]

    def rows(self, chunk: int, row: int) -> np.ndarray:
        """One video's frames, ``(T, D)``, a view of the mapped file; T is 0 where it has none."""
        offsets = self.offsets[chunk]
        return self.vectors[chunk][offsets[row] : offsets[row + 1]]


def matrix(array: pa.FixedSizeListArray) -> np.ndarray:
    """The values of a column of vectors, ``(rows, D)``, a view; what lies below a null is in it."""
    width = array.type.list_size
    values = _flat(array.values)
    return values[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)


def _flat(array: pa.Array) -> np.ndarray:
    dtype = array.type.to_pandas_dtype()
    return _numpy(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def _numpy(buffer: pa.Buffer | None, dtype: type) -> np.ndarray:
    if buffer is None or buffer.size == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(buffer, dtype, buffer.size // np.dtype(dtype).itemsize)
