"""Writes `tf.train.Example` and `tf.train.SequenceExample` records without TensorFlow or protobuf.

The kind of a feature is that of its values: byte strings, floating-point numbers or integers. Keys keep the
    order of
the dictionary, so that equal input makes equal bytes. Numbers are packed, as proto3 writers do.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Values = Sequence[bytes] | Sequence[int] | np.ndarray


def encode_example(features: Mapping[str, Values]) -> bytes:
    """An Example.

    Args:
        features: key -> a list of byte strings, a one-dimensional array of floats (written as float32), or a
            list or array of integers. An empty list is a feature without a kind.

    Raises:
        TypeError: if a value is of another kind. ValueError: if an array has another shape.
    """
    return _message(0x0A, _features(features))


def encode_sequence_example(context: Mapping[str, Values], lists: Mapping[str, np.ndarray | Sequence[Values]]) -> bytes:
    """A SequenceExample.

    Args:
        context: as the features of `encode_example`.
        lists: key -> one value a step: uint8 ``(T, D)`` becomes T byte strings, floats ``(T, D)`` T lists of
            floats; or any sequence of T values as in `encode_example`.
    """
    entries = []
    for key, steps in lists.items():
        if isinstance(steps, np.ndarray) and steps.dtype == np.uint8:
            steps = [[row.tobytes()] for row in steps]
        encoded = b"".join(_message(0x0A, encode_feature(step)) for step in steps)
        entries.append(_entry(key, encoded))
    return _message(0x0A, _features(context)) + _message(0x12, b"".join(entries))


def encode_feature(values: Values) -> bytes:
    """The encoded Feature of one list of values; see `encode_example`."""
    if isinstance(values, np.ndarray):
        return _array(values)
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"a feature must be a list, a tuple or an array, got {type(values).__name__}")
    if not values:
        return b""
    if all(isinstance(value, bytes) for value in values):
        return _message(0x0A, b"".join(_message(0x0A, value) for value in values))
    return _array(np.asarray(values))


def _array(values: np.ndarray) -> bytes:
    if values.ndim != 1:
        raise ValueError(f"a feature must have one dimension, got shape {values.shape}")
    if np.issubdtype(values.dtype, np.floating):
        return _message(0x12, _message(0x0A, values.astype("<f4").tobytes()))
    if np.issubdtype(values.dtype, np.integer):
        return _message(0x1A, _message(0x0A, b"".join(_varint(int(value) & (1 << 64) - 1) for value in values)))
    raise TypeError(f"a feature must hold bytes, floats or integers, got {values.dtype}")


def _features(features: Mapping[str, Values]) -> bytes:
    return b"".join(_entry(key, encode_feature(values)) for key, values in features.items())


def _entry(key: str, value: bytes) -> bytes:
    return _message(0x0A, _message(0x0A, key.encode()) + _message(0x12, value))


def _message(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
