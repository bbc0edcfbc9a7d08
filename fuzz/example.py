"""Records under attack: any bytes mean what protobuf (upb) says they mean, or are refused.

    PYTHONPATH=tests python -m fuzz.example CORPUS -max_total_time=60

A parser that remembers the layouts of all records before reads as one that does not.
"""

import sys

import atheris
import numpy as np

with atheris.instrument_imports(include=["mmvid.tfrecords"]):
    from mmvid.tfrecords.encode import encode_example, encode_sequence_example
    from mmvid.tfrecords.example import Parser, Place, Record, parse
    from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows
    from mmvid.tfrecords.wire import MalformedExample

from protobuf_peer import check_any

CONTEXT = {"id": [b"abcd"], "labels": np.array([3, 300, -1]), "mean": np.ones(2, np.float32), "none": []}
LISTS = {
    "rgb": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "audio": np.ones((2, 2), np.float32),
    "ragged": [[b"a"], [b"bc", b"d"]],
}
SEEDS = [encode_example(CONTEXT), encode_sequence_example(CONTEXT, LISTS), encode_sequence_example({}, LISTS)]

PARSER = Parser()


def check(data: bytes) -> None:
    check_any(data)
    try:
        fresh = parse(data)
    except MalformedExample:
        refused(data)
        return
    remembered = PARSER.parse(data)
    assert values(remembered) == values(fresh)


def refused(data: bytes) -> None:
    try:
        PARSER.parse(data)
    except MalformedExample:
        return
    raise AssertionError("a parser that remembers took what a parser that does not refuses")


def values(record: Record) -> dict:
    """All that can be read of a record; a refusal is a value too."""
    readers = ((record.context, (read_bytes, read_floats, read_ints)), (record.lists, (read_rows,)))
    return {
        (key, read.__name__): attempt(read, record.data, place)
        for places, functions in readers
        for key, place in places.items()
        for read in functions
    }


def attempt(read, data: bytes, place: Place) -> object:
    try:
        found = read(data, place)
    except MalformedExample:
        return "refused"
    return (found.dtype, found.shape, found.tobytes()) if isinstance(found, np.ndarray) else found


if __name__ == "__main__":
    from fuzz.corpus import start

    start(sys.argv, check, SEEDS)
