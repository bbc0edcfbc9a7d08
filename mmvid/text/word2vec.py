"""Files of word vectors as streams of words and rows: the formats of the word2vec tool, binary and text.

Both begin with a line `words size`. A binary record is the word, a space and `size` little-endian float32, after which
some writers put a line break; a text record is a line of the word and `size` numbers. Nothing is held as a whole, and
a file that is cut off, or holds something else, is told by its name.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

Chunk = tuple[list[bytes], np.ndarray]  # words, and their vectors, float32 (words, size)

CHUNK = 4096  # words
LONGEST = 4096  # bytes of a word
_LARGEST_SIZE = 65536
_BLOCK = 1 << 20


def read(stream: BinaryIO, called: str) -> Iterator[Chunk]:
    """The words of a file with their vectors, in the file's order.

    Args:
        stream: the file from its beginning, unpacked.
        called: its name in messages.

    Raises:
        ValueError: if it is no file of word vectors, ends before it should, or goes on after it.
    """
    words, size, start = _header(stream, called)
    found = 0
    for chunk in (_text if _is_text(start, size) else _binary)(stream, start, words, size, called):
        found += len(chunk[0])
        yield chunk
    if found != words:
        why = "; it is cut off" if found < words else ""
        raise ValueError(f"{called}: the first line says {words} words, the file holds {found}{why}")


def _header(stream: BinaryIO, called: str) -> tuple[int, int, bytes]:
    """The number of words, the size of a vector, and what was read after the first line."""
    start = stream.read(_BLOCK)
    line, found, rest = start.partition(b"\n")
    numbers = line.split()
    if not found or len(numbers) != 2 or not all(each.isdigit() and len(each) < 12 for each in numbers):
        shown = line[:40].decode("utf-8", "replace")
        raise ValueError(f"{called} must be a file of word vectors with a first line `words size`, it has {shown!r}")
    words, size = map(int, numbers)
    if words < 1 or not 1 <= size <= _LARGEST_SIZE:
        raise ValueError(f"{called} must have words of 1 to {_LARGEST_SIZE} numbers, it says {words} of {size}")
    return words, size, rest


def _is_text(start: bytes, size: int) -> bool:
    """Whether the first record is a line of text: the bytes of float32 numbers hardly ever are."""
    fields = start.partition(b"\n")[0].split()
    try:
        return len(fields) > size and all(map(np.isfinite, map(float, fields[-size:])))
    except ValueError:
        return False


def _binary(stream: BinaryIO, held: bytes, words: int, size: int, called: str) -> Iterator[Chunk]:
    width, done, place = 4 * size, 0, 0
    while done < words:
        names: list[bytes] = []
        rows = bytearray()
        while done + len(names) < words and len(names) < CHUNK:
            end = held.find(b" ", place)
            if end < 0 or end + 1 + width > len(held):
                if end < 0 and len(held) - place > LONGEST:
                    word = done + len(names) + 1
                    raise ValueError(f"{called}: word {word} has no end; it is no file of word vectors")
                more = stream.read(max(_BLOCK, width))
                if not more:
                    if names:
                        yield names, np.frombuffer(bytes(rows), "<f4").reshape(-1, size)
                    return
                held, place = held[place:] + more, 0
                continue
            names.append(held[place:end].lstrip(b"\n"))
            rows += held[end + 1 : end + 1 + width]
            place = end + 1 + width
        done += len(names)
        yield names, np.frombuffer(bytes(rows), "<f4").reshape(-1, size)
    if (held[place:] + stream.read(_BLOCK)).strip():
        raise ValueError(f"{called}: the file goes on after the {words} words of its first line")


def _text(stream: BinaryIO, held: bytes, words: int, size: int, called: str) -> Iterator[Chunk]:
    names: list[bytes] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(_lines(stream, held), 2):
        if not line.strip():
            continue
        name, *values = line.rstrip(b"\r ").rsplit(b" ", size)  # some words have spaces in them
        try:
            rows.append(np.array(values, np.float32))
        except ValueError:
            raise ValueError(f"{called}: line {number} must be a word and {size} numbers") from None
        if len(values) != size:
            raise ValueError(f"{called}: line {number} must be a word and {size} numbers, it has {len(values)}")
        names.append(name)
        if len(names) == CHUNK:
            yield names, np.stack(rows)
            names, rows = [], []
    if names:
        yield names, np.stack(rows)


def _lines(stream: BinaryIO, held: bytes) -> Iterator[bytes]:
    """Lines without their ends."""
    while True:
        *lines, held = held.split(b"\n")
        yield from lines
        more = stream.read(_BLOCK)
        if not more:
            if held:
                yield held
            return
        held += more
