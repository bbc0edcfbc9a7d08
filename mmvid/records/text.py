"""Titles and keywords from a JSON Lines file, joined to videos by id.

    {"id": "a1f3", "title": "Cat chases dog", "keywords": ["cat", "dog"], "language": "en"}

Title, keywords and language may be missing or null; `text`, such as a caption, stands for a title where there is none;
keywords may be one string with commas; other keys are passed over. Only the place of each line is kept in memory, 16
bytes a line, so the file may be large.
"""

import array
import dataclasses
import hashlib
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from mmvid.records.splits import hash64


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """What is written about one video; None where there is nothing."""

    title: str | None = None
    keywords: list[str] | None = None
    language: str | None = None


NO_TEXT = Text()


Repeats = Literal["stop", "first"]


class TextIndex:
    """The lines of a JSON Lines file by id.

    Attributes:
        path: the file, on disk.
        called: the place that it is called by, where it is a copy.
        hashes: 64-bit hashes of the ids, uint64 ``(N,)``, ascending.
        offsets: the byte at which each line begins, uint64 ``(N,)``.
        digest: a digest of the file's bytes.
        repeated: lines that were left out because their id has an earlier line.
    """

    def __init__(self, path: Path, hashes: np.ndarray, offsets: np.ndarray, digest: str, called: str = ""):
        self.path, self.hashes, self.offsets, self.digest = path, hashes, offsets, digest
        self.where: Callable[[int], str] | None = None
        self.called = called or str(path)
        self.repeated = 0
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(hashes) else b""

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def build(
        cls,
        path: Path,
        called: str = "",
        where: Callable[[int], str] | None = None,
        repeats: Repeats | None = None,
    ) -> "TextIndex":
        """Reads the whole file once and checks every line.

        Args:
            path: the file.
            called: the place that it is called by, where it is a copy.
            where: the place of a line by its number, where the lines were gathered from several files.
            repeats: `stop` raises at an id that has a line already, and says what `first` does: it keeps an id's
                first line, and counts the others in `repeated`. None raises where the caller has no such choice.

        Raises:
            ValueError: if a line is not such an object (file and line are named) or two have the same id.
        """
        if not path.is_file():
            raise ValueError(f"text must be a JSON Lines file, there is none at {path}")
        hashes, offsets, digest = array.array("Q"), array.array("Q"), hashlib.blake2b(digest_size=16)
        called, offset = called or str(path), 0
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                digest.update(line)
                if line.strip():
                    hashes.append(hash64(_parse(line, f"{called}: line {number}")[0]))
                    offsets.append(offset)
                offset += len(line)
        hashed = np.frombuffer(hashes, np.uint64)
        order = np.argsort(hashed, kind="stable")
        index = cls(path, hashed[order], np.frombuffer(offsets, np.uint64)[order], digest.hexdigest(), called)
        index.where = where
        if repeats == "first":
            index._keep_first()
        index._check_distinct("; repeats=first keeps the first" if repeats else "")
        return index

    def save(self, place: Path) -> None:
        """Writes the index, not the text, for `load` in other processes."""
        np.save(place, np.stack([self.hashes, self.offsets]))

    @classmethod
    def load(cls, path: Path, place: Path, digest: str) -> "TextIndex":
        """The index that `save` wrote, memory-mapped: processes share it."""
        hashes, offsets = np.load(place, mmap_mode="r")
        return cls(path, hashes, offsets, digest)

    def find(self, id: str) -> Text | None:
        """The text of a video, or None if no line has its id."""
        wanted = np.uint64(hash64(id))
        row = int(np.searchsorted(self.hashes, wanted))
        while row < len(self.hashes) and self.hashes[row] == wanted:
            found, text = self._line(row)
            if found == id:
                return text
            row += 1
        return None

    def _line(self, row: int) -> tuple[str, Text]:
        begin = int(self.offsets[row])
        end = self._bytes.find(b"\n", begin)
        line = self._bytes[begin:] if end < 0 else self._bytes[begin:end]
        return _parse(line, f"{self.called}: byte {begin}")

    def _keep_first(self) -> None:
        """Leaves out the lines whose id has an earlier line; those of one hash stand in the file's order."""
        kept = np.ones(len(self), bool)
        for row in np.flatnonzero(self.hashes[1:] == self.hashes[:-1]) + 1:
            earlier = range(int(np.searchsorted(self.hashes, self.hashes[row])), row)
            kept[row] = self._line(row)[0] not in {self._line(each)[0] for each in earlier}
        self.repeated = int((~kept).sum())
        self.hashes, self.offsets = self.hashes[kept], self.offsets[kept]

    def _check_distinct(self, way_on: str) -> None:
        for row in np.flatnonzero(self.hashes[1:] == self.hashes[:-1]):
            one, other = self._line(row)[0], self._line(row + 1)[0]
            if one == other:
                lines = sorted(self._bytes[: int(self.offsets[each])].count(b"\n") + 1 for each in (row, row + 1))
                if self.where is not None:
                    first, second = map(self.where, lines)
                    raise ValueError(f"id {one!r} stands twice: {first} and {second}; an id has one row{way_on}")
                raise ValueError(
                    f"{self.called}: id {one!r} stands on lines {lines[0]} and {lines[1]}; an id has one line{way_on}"
                )


def _parse(line: bytes, place: str) -> tuple[str, Text]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError itself at a number of thousands of digits
        raise ValueError(f"{place}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place}: must be an object with an id, got {type(row).__name__}")
    return read_row(row, place)


def read_row(row: dict, place: str) -> tuple[str, Text]:
    """The id and the text of an object with the keys of a line.

    Raises:
        ValueError: if a value is not what it must be; the sentence begins with `place`.
    """
    id = _string(row, "id", place)
    if not id:
        raise ValueError(f"{place}: must have an id, a string that is not empty")
    title = _string(row, "title" if row.get("title") is not None else "text", place)
    language = (_string(row, "language", place) or "").strip()
    return id, Text(title if title and title.strip() else None, _keywords(row, place), language or None)


def _string(row: dict, key: str, place: str) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    _check_string(value, key, place)
    return value


def _keywords(row: dict, place: str) -> list[str] | None:
    value = row.get("keywords")
    if value is None:
        return None
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list):
        raise ValueError(f"{place}: keywords must be a list of strings or one string, got {value!r:.40}")
    for word in words:
        _check_string(word, "keywords", place)
    return [word.strip() for word in words if word.strip()] or None


def _check_string(value: object, key: str, place: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{place}: {key} must hold text, got {value!r:.40}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place}: {key} holds half of a surrogate pair, which is no character") from None
