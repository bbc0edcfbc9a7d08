"""The run lengths that Label Studio's brush writes: a bit stream of runs and literals, most significant bit first.

    32 bits   n, the number of values                5 bits   bits of a value, less 1
    4 x 4 bits   bits of a length, less 1, of four kinds
    then, until there are n values,
    1 bit     whether it is a run                    2 bits   the kind of its length
    the length less 1, and one value (a run) or as many as the length says

The values are a picture's RGBA bytes in raster order; what was painted has an alpha above 0.

Source: the format `rle-pack` of thi.ng/umbrella.
"""

from collections.abc import Sequence

import numpy as np

_CHANNELS = 4


def decode_brush(stream: Sequence[int], height: int, width: int) -> np.ndarray:
    """What was painted, bool (H, W).

    Args:
        stream: the bytes.
        height, width: of the labelled picture.

    Raises:
        ValueError: if the stream is not as above, ends too early, or is of a picture of another size.
    """
    try:
        raw = np.array(stream, np.int64)
    except (TypeError, ValueError, OverflowError):
        raw = np.array([-1])
    if raw.ndim != 1 or (len(raw) and (raw.min() < 0 or raw.max() > 255)):
        raise ValueError("a brush's rle must be a list of bytes, numbers from 0 to 255")
    bits = _Bits(raw.astype(np.uint8))
    count = bits.number(32)
    if count != height * width * _CHANNELS:
        need = f"{height * width * _CHANNELS} values, {_CHANNELS} for each of {width} x {height} pixels"
        raise ValueError(f"a brush's rle must be of {need}, got {count}")
    size = bits.number(5) + 1
    lengths = [bits.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32)
    done = 0
    while done < count:
        run = bits.number(1)
        length = bits.number(lengths[bits.number(2)]) + 1
        if done + length > count:
            raise ValueError(f"a brush's rle must end with value {count}, it goes on to {done + length}")
        values[done : done + length] = bits.number(size) if run else bits.numbers(size, length)
        done += length
    return values.reshape(height, width, _CHANNELS)[..., -1] > 0


class _Bits:
    """Reads whole numbers of any width from bytes."""

    def __init__(self, raw: np.ndarray):
        self.bits, self.place = np.unpackbits(raw), 0

    def number(self, size: int) -> int:
        """The next number, of `size` bits."""
        return int(self.numbers(size, 1)[0])

    def numbers(self, size: int, count: int) -> np.ndarray:
        """The next `count` numbers of `size` bits, at most 32, int64 (count,)."""
        end = self.place + size * count
        if end > len(self.bits):
            raise ValueError(f"a brush's rle ends too early, after {len(self.bits) // 8} bytes")
        taken = self.bits[self.place : end].reshape(count, size)
        self.place = end
        return taken @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))
