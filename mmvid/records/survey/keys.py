"""One key of the records: what it holds, in how many of them, and with which sizes and values."""

from typing import Literal

import numpy as np

from mmvid.records.survey.tally import Bytes, Floats, Integers, Lengths, Strings, Summary
from mmvid.records.video import BadRecord
from mmvid.tfrecords import wire
from mmvid.tfrecords.example import ANY, BYTES, FLOATS, INTS, Place, packed
from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows
from mmvid.tfrecords.wire import MalformedExample

Kind = Literal["floats", "integers", "bytes"]
Where = tuple[str, int]
"""A file, and the byte at which a record begins in it (of a store: a split, and a row)."""

_BLOCK = 1 << 20  # bytes that are gathered before numpy looks at them
_KINDS: dict[int, Kind] = {FLOATS: "floats", INTS: "integers", BYTES: "bytes"}
_READERS = {"floats": read_floats, "integers": read_ints, "bytes": read_bytes}
_STEP = 0x0A


class Gathered:
    """Numbers on their way into a tally, gathered to blocks of a size at which numpy is fast.

    Attributes:
        not_finite: where the first NaN or infinity is; None where there is none.
    """

    def __init__(self, tally: Floats | Bytes):
        self.tally = tally
        self.not_finite: Where | None = None
        self._pieces: list[bytes | np.ndarray] = []
        self._places: list[Where] = []
        self._size = 0

    def add(self, piece: bytes | np.ndarray, where: Where) -> None:
        """Adds the bytes of some values, or an array of them."""
        self._pieces.append(piece)
        self._places.append(where)
        self._size += len(piece) if isinstance(piece, bytes) else piece.nbytes
        if self._size >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        if not self.tally.add(np.frombuffer(b"".join(self._pieces), self.tally.dtype)) and self.not_finite is None:
            self.not_finite = next(
                where for piece, where in zip(self._pieces, self._places, strict=True) if not self._finite(piece)
            )
        self._pieces, self._places, self._size = [], [], 0

    def _finite(self, piece: bytes | np.ndarray) -> bool:
        return bool(np.isfinite(np.frombuffer(piece, self.tally.dtype)).all())


class Key:
    """A key of the records, or a column of a store.

    Attributes:
        name: the key. steps: whether it is a feature list, one feature a step.
        kind: what it holds; None as long as it was empty.
        records: records that have it. empty: those of them in which it has no values.
        lengths: values of a record; of a feature list its steps, T.
        sizes: of a feature list, values (or bytes) of a step, D.
        example: the first record's first values. strings: statistics of byte strings.
        other_size: the first record whose size differs from that of the records before.
    """

    def __init__(self, name: str, steps: bool):
        self.name, self.steps = name, steps
        self.kind: Kind | None = None
        self.records = self.empty = 0
        self.example: list[float] | list[int] | list[bytes] = []
        self.lengths, self.sizes = Lengths(), Lengths()
        self.strings = Strings()
        self.other_size: Where | None = None
        self._size: int | None = None
        self._integers, self._waiting = Integers(), []
        self._gathered: Gathered | None = None

    def add(self, data: bytes, place: Place, where: Where) -> None:
        """Adds a record's feature.

        Raises:
            MalformedExample: if it cannot be read. BadRecord: if it is of another kind than before.
        """
        kind, values = read_values(data, place)
        self._take(kind, values)
        count = len(values)
        if kind == "floats":
            self._check_size(count, where)
            self._gathered.add(data[place[1] : place[2]] if place[0] == FLOATS else values, where)
        elif kind == "integers":
            self._add_integers(values)
        elif kind == "bytes":
            self.strings.add(values)
        self._count(count)

    def add_steps(self, data: bytes, place: Place, where: Where) -> None:
        """Adds a record's feature list; raises as `add`."""
        try:
            rows = read_rows(data, place)
        except MalformedExample:  # integers, or steps of several sizes
            self._add_each_step(data, place, where)
            return
        kind = None if not len(rows) else "bytes" if rows.dtype == np.uint8 else "floats"
        if kind is not None:
            self._take(kind, rows[0])
            self._check_size(rows.shape[1], where)
            self.sizes.add(rows.shape[1], len(rows))
            self._gathered.add(rows.tobytes(), where)
        self._count(len(rows))

    def add_vectors(self, values: np.ndarray, lengths: np.ndarray | None, where: Where) -> None:
        """Adds vectors of several records at once.

        Args:
            values: float32 or uint8 ``(n, D)``.
            lengths: of a key with steps the steps of each record, ``(N,)``, n together; else None, a vector each.
        """
        self._take("bytes" if values.dtype == np.uint8 else "floats", values[0])
        self._check_size(values.shape[1], where)
        self._gathered.add(np.ascontiguousarray(values).reshape(-1), where)
        if lengths is None:
            self.records += len(values)
            self.lengths.add(values.shape[1], len(values))
            return
        self.sizes.add(values.shape[1], len(values))
        for length in lengths.tolist():
            self._count(length)

    def add_integers(self, values: np.ndarray, lengths: np.ndarray) -> None:
        """Adds the integers of several records at once; `lengths` says how many each has."""
        self._take("integers", values[: lengths[0]])
        self._integers.add(values)
        for length in lengths.tolist():
            self._count(length)

    def add_strings(self, values: list[bytes]) -> None:
        """Adds the strings of one record."""
        self._take("bytes", values)
        self.strings.add(values)
        self._count(len(values))

    def flush(self) -> None:
        """Brings what is still gathered into the statistics; to be called at the end."""
        if self._gathered is not None:
            self._gathered.flush()
        self._integers.add(np.array(self._waiting, np.int64))
        self._waiting = []

    @property
    def vectors(self) -> bool:
        """Whether it holds vectors of numbers: floats, or steps of equally many bytes."""
        return self.kind == "floats" or (self.kind == "bytes" and self.steps and self.sizes.constant is not None)

    @property
    def size(self) -> int | None:
        """D, if all its vectors have one size."""
        return (self.sizes if self.steps else self.lengths).constant if self.vectors else None

    @property
    def not_finite(self) -> Where | None:
        return None if self._gathered is None else self._gathered.not_finite

    @property
    def counts(self) -> np.ndarray | None:
        """How often each integer from 0 on occurs; None where it holds other kinds, negative or huge ones."""
        return self._integers.counts if self.kind == "integers" else None

    def summary(self) -> Summary | None:
        """Statistics of its numbers; None where it holds strings or nothing."""
        if self.kind == "integers":
            return self._integers.summary()
        return self._gathered.tally.summary() if self.vectors else None

    def _take(self, kind: Kind | None, values: np.ndarray | list) -> None:
        if kind is None or kind == self.kind:
            return
        if self.kind is not None:
            raise BadRecord("kind", f"{self.name!r} holds {kind}, in records before it held {self.kind}")
        self.kind = kind
        self.example = values[:3].tolist() if isinstance(values, np.ndarray) else values[:3]
        if kind == "floats" or (kind == "bytes" and self.steps):
            self._gathered = Gathered(Floats() if kind == "floats" else Bytes())

    def _count(self, length: int) -> None:
        self.records += 1
        self.empty += not length
        self.lengths.add(length)

    def _check_size(self, size: int, where: Where) -> None:
        if self._size is None:
            self._size = size
        elif size != self._size and self.other_size is None:
            self.other_size = where

    def _add_integers(self, values: list[int]) -> None:
        self._waiting += values
        if len(self._waiting) >= _BLOCK // 8:
            self._integers.add(np.array(self._waiting, np.int64))
            self._waiting = []

    def _add_each_step(self, data: bytes, place: Place, where: Where) -> None:
        count = 0
        for tag, begin, end in wire.fields(data, place[1], place[2]):
            if tag != _STEP:
                continue
            count += 1
            kind, values = read_values(data, packed(data, (ANY, begin, end)))
            self._take(kind, values)
            if kind == "integers":
                self.sizes.add(len(values))
                self._add_integers(values)
            elif kind == "floats":
                self._check_size(len(values), where)
                self.sizes.add(len(values))
                self._gathered.add(values, where)
            elif kind == "bytes":
                self.strings.add(values)
                for value in values:
                    self.sizes.add(len(value))
        self._count(count)


def read_values(data: bytes, place: Place) -> tuple[Kind | None, np.ndarray | list]:
    """A feature's kind and values, whatever they are; no kind if it is empty.

    Raises:
        MalformedExample: if they cannot be read.
    """
    kind = _KINDS.get(place[0])
    if kind is not None:
        return kind, _READERS[kind](data, place)
    for kind, read in _READERS.items():
        try:
            values = read(data, place)
        except MalformedExample:
            continue
        return (kind if len(values) else None), values
    raise MalformedExample(place[1], "a feature's values are neither floats nor integers nor byte strings")
