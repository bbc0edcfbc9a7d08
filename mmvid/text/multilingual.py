"""Vectors of several languages in one space (aligned, such as fastText's or MUSE's), looked up as one set of words.

Words are written with their language, see `mmvid.text.marks`, so those that are spelt alike in two languages keep
vectors of their own.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmvid.text.vectors import WordVectors, open_vectors

_LANGUAGE = re.compile(r"([A-Za-z]{2,3})=(.+)", re.DOTALL)


def places_by_language(places: str) -> dict[str, str]:
    """`en=a.bin,es=b.vec` as language -> place, in order; nothing for a place without languages.

    Raises:
        ValueError: if only some places have a language, or one has two.
    """
    parts = places.split(",")
    found = [_LANGUAGE.fullmatch(part) for part in parts]
    if not any(found):
        return {}
    if not all(found):
        bad = next(part for part, match in zip(parts, found, strict=True) if not match)
        raise ValueError(f"vectors must be one file, or language=file for each (en=a.bin,es=b.vec), got {bad!r}")
    languages = [match[1].lower() for match in found]
    if len(set(languages)) < len(languages):
        raise ValueError(f"vectors must have one file a language, got {','.join(languages)}")
    return {match[1].lower(): match[2] for match in found}


class AlignedVectors:
    """The vectors of several languages; reads as `WordVectors` does.

    Attributes:
        languages: language -> its vectors, the first language first.
        size: D, the numbers of a vector.
        digest, place: of all files.

    Raises:
        ValueError: if they differ in size.
    """

    def __init__(self, languages: dict[str, WordVectors]):
        self.languages = languages
        sizes = {language: vectors.size for language, vectors in languages.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{size} of {language}" for language, size in sizes.items())
            raise ValueError(f"vectors of several languages must be aligned, of one size, got {told}")
        self.size = next(iter(sizes.values()))
        self.place = ",".join(f"{language}={vectors.place}" for language, vectors in languages.items())
        told = repr([(language, vectors.digest) for language, vectors in languages.items()])
        self.digest = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
        self._first = dict(zip(languages, np.cumsum([0, *map(len, languages.values())]).tolist(), strict=False))

    def __len__(self) -> int:
        return sum(len(vectors) for vectors in self.languages.values())

    def rows(self, words: Sequence[str]) -> np.ndarray:
        """The row of each word, written with its language; -1 where there is no vector of it, int64 ``(N,)``."""
        main = next(iter(self.languages))
        parted = [word.split(":", 1) if ":" in word else (main, word) for word in words]
        rows = np.full(len(words), -1, np.int64)
        for language, vectors in self.languages.items():
            own = [place for place, (code, _) in enumerate(parted) if code == language]
            found = vectors.rows([parted[place][1] for place in own])
            rows[own] = np.where(found >= 0, found + self._first[language], -1)
        return rows

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of rows, float32 ``(N, D)``, a copy.

        Raises:
            ValueError: if a row is none, as of a word without a vector.
        """
        rows = np.asarray(rows, np.int64)
        bad = rows[(rows < 0) | (rows >= len(self))]
        if len(bad):
            raise ValueError(f"rows must be at least 0 and below {len(self)}, the words of {self.place}, got {bad[0]}")
        found = np.empty((len(rows), self.size), np.float32)
        for language, vectors in self.languages.items():
            first = self._first[language]
            own = (rows >= first) & (rows < first + len(vectors))
            found[own] = vectors.of(rows[own] - first)
        return found


def open_any(places: str, cache: Path) -> WordVectors | AlignedVectors:
    """Vectors of one file, or of one a language; see `open_vectors`."""
    by_language = places_by_language(places)
    if not by_language:
        return open_vectors(places, cache)
    return AlignedVectors({language: open_vectors(place, cache) for language, place in by_language.items()})
