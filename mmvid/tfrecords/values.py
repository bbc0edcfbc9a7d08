"""The values of features and feature lists, read from the places that `mmvid.tfrecords.example` finds.

As in protobuf, of a Feature's lists the last kind given wins, and numbers may be packed or not. Every function takes
a record's `data` and one of its places, and raises `MalformedExample` if the bytes there are damaged or hold values
of another kind.
"""

import numpy as np

from mmvid.tfrecords import wire
from mmvid.tfrecords.example import ANY, BYTES, FLOATS, INTS, Place, packed
from mmvid.tfrecords.wire import MalformedExample

_KINDS = {BYTES: "byte strings", FLOATS: "floats", INTS: "integers"}
_STEP = _VALUES = 0x0A
_ONE_FLOAT, _ONE_INT = 0x0D, 0x08
_FLOAT32 = np.dtype("<f4")
_SIGN = 1 << 63


def read_bytes(data: bytes, place: Place) -> list[bytes]:
    """The values of a Feature of byte strings; none if it is empty."""
    kind, start, stop = place
    if kind == BYTES:
        return [data[start:stop]]
    values = []
    for start, stop in _lists(data, place, BYTES):
        values += [data[begin:end] for tag, begin, end in wire.fields(data, start, stop) if tag == _VALUES]
    return values


def read_floats(data: bytes, place: Place) -> np.ndarray:
    """The values of a Feature of floats, float32 ``(n,)``: a copy, which does not keep the record alive."""
    kind, start, stop = place
    if kind == FLOATS:
        return _floats(data, start, stop).copy()
    chunks = [np.empty(0, _FLOAT32)]
    for start, stop in _lists(data, place, FLOATS):
        for tag, begin, end in wire.fields(data, start, stop):
            if tag == _VALUES or tag == _ONE_FLOAT:
                chunks.append(_floats(data, begin, end))
    return np.concatenate(chunks)


def read_ints(data: bytes, place: Place) -> list[int]:
    """The values of a Feature of signed 64-bit integers."""
    kind, start, stop = place
    values: list[int] = []
    if kind == INTS:
        _add_ints(data, start, stop, values)
        return values
    for start, stop in _lists(data, place, INTS):
        for tag, begin, end in wire.fields(data, start, stop):
            if tag == _VALUES or tag == _ONE_INT:
                _add_ints(data, begin, end, values)
    return values


def read_rows(data: bytes, place: Place) -> np.ndarray:
    """The T steps of a FeatureList as one array ``(T, D)``: uint8 if a step is one byte string, float32 if floats.

    Steps that are encoded alike, as every common writer does, become one strided view of the record: copy it to
    outlive the record. An empty list has shape ``(0, 0)``. Steps must have one kind and size.
    """
    _, start, stop = place
    rows = _equal_rows(data, start, stop)
    return rows if rows is not None else _any_rows(data, start, stop)


def _lists(data: bytes, place: Place, wanted: int) -> list[tuple[int, int]]:
    """The parts of a Feature's list, which must be of the wanted kind, or of none."""
    kind, start, stop = place
    if kind != ANY:
        found, spans = kind, []
    else:
        found, spans = _last_kind(data, start, stop)
    if found is not None and found != wanted:
        raise MalformedExample(start, f"a feature holds {_KINDS[found]}, expected {_KINDS[wanted]}")
    return spans


def _last_kind(data: bytes, start: int, stop: int) -> tuple[int | None, list[tuple[int, int]]]:
    kept, spans = None, []
    for tag, begin, end in wire.fields(data, start, stop):
        if tag not in _KINDS:
            continue
        if tag != kept:
            kept, spans = tag, []
        spans.append((begin, end))
    return kept, spans


def _floats(data: bytes, start: int, stop: int) -> np.ndarray:
    if (stop - start) % 4:
        raise MalformedExample(start, f"packed floats take {stop - start} bytes, which is not a multiple of 4")
    return np.frombuffer(data, _FLOAT32, (stop - start) // 4, start)


def _add_ints(data: bytes, place: int, stop: int, values: list[int]) -> None:
    while place < stop:
        value = data[place]
        place += 1
        if value > 127:
            more = data[place] if place < stop else 128
            if more < 128:  # two bytes, as most labels take, need no call
                value += (more << 7) - 128
                place += 1
            else:
                value, place = wire.varint(data, place - 1)
                if value & _SIGN:
                    value -= 1 << 64
        values.append(value)
    if place > stop:
        raise MalformedExample(stop, "an integer runs past its list")


def _equal_rows(data: bytes, start: int, stop: int) -> np.ndarray | None:
    """All steps as one view, if their bytes before the values are equal: then all have one layout."""
    if start == stop or data[start] != _STEP:
        return None
    try:
        begin, end = wire.span(data, start + 1, stop)
    except (MalformedExample, IndexError):
        return None
    kind, first, last = packed(data, (ANY, begin, end))
    if kind not in (BYTES, FLOATS) or (stop - start) % (end - start) or (kind == FLOATS and (last - first) % 4):
        return None
    steps = np.frombuffer(data, np.uint8, stop - start, start).reshape(-1, end - start)
    head = first - start
    if steps[:, :head].tobytes() != data[start:first] * len(steps):
        return None
    rows = steps[:, head:]
    return rows if kind == BYTES else np.ascontiguousarray(rows).view(_FLOAT32)


def _any_rows(data: bytes, start: int, stop: int) -> np.ndarray:
    """All steps, each read by itself."""
    rows: list[np.ndarray] = []
    for tag, begin, end in wire.fields(data, start, stop):
        if tag != _STEP:
            continue
        row = _row(data, packed(data, (ANY, begin, end)), len(rows))
        if rows and (row.dtype, row.shape) != (rows[0].dtype, rows[0].shape):
            what = f"step {len(rows)} of a feature list has {_size(row)}, step 0 has {_size(rows[0])}"
            raise MalformedExample(begin, what)
        rows.append(row)
    return np.stack(rows) if rows else np.empty((0, 0), np.uint8)


def _row(data: bytes, place: Place, number: int) -> np.ndarray:
    kind, start, stop = place
    if kind == FLOATS or (kind == ANY and _last_kind(data, start, stop)[0] == FLOATS):
        return read_floats(data, place)
    values = read_bytes(data, place)
    if len(values) != 1:
        what = f"step {number} of a feature list holds {len(values)} byte strings, expected 1"
        raise MalformedExample(start, what)
    return np.frombuffer(values[0], np.uint8)


def _size(row: np.ndarray) -> str:
    return f"{row.size} {'bytes' if row.dtype == np.uint8 else 'floats'}"
