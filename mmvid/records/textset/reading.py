"""A text set that is open for reading: its files are memory-mapped, so processes share them."""

import functools
import os
from pathlib import Path

import numpy as np

from mmvid.manifests import check_files
from mmvid.records.splits import SPLITS
from mmvid.records.textset.manifest import Manifest, SplitCounts
from mmvid.records.textset.tokens import COLUMNS, LabelWords, Tokens, column_of, read_tokens
from mmvid.text.fields import Cleaning


class TextSet:
    """Titles and keywords as word ids, row by row beside a store.

    Attributes:
        folder: where it lies.
        contents: its manifest, checked.
    """

    def __init__(self, folder: Path, contents: Manifest):
        self.folder, self.contents = folder, contents
        self._tokens: dict[str, dict[str, Tokens]] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "TextSet":
        """Opens a text set and checks that its files are there, by their sizes.

        Raises:
            ValueError: if the folder is none, or a file is missing or of another size; the file is named.
        """
        folder = Path(folder)
        contents = Manifest.read(folder)
        check_files(folder, contents.files, "text set")
        return cls(folder, contents)

    def __reduce__(self):
        return TextSet.open, (self.folder,)

    def __len__(self) -> int:
        """V, the distinct words."""
        return self.contents.words

    @property
    def digest(self) -> str:
        """Equal for text sets of equal stores, options and bytes."""
        return self.contents.digest

    @property
    def store_digest(self) -> str:
        """The digest of the store whose rows these are."""
        return self.contents.store_digest

    @property
    def size(self) -> int:
        """D, the dimensions of the vectors."""
        return self.contents.vectors.size

    @property
    def cleaning(self) -> Cleaning:
        """How its titles and keywords were cleaned."""
        return Cleaning(**self.contents.options["cleaning"])

    @functools.cached_property
    def words(self) -> list[str]:
        """The words, by id."""
        return (self.folder / "words.txt").read_text(encoding="utf-8").split("\n")[: len(self)]

    @functools.cached_property
    def vectors(self) -> np.ndarray:
        """The words' vectors, float32 ``(V, D)``, memory-mapped."""
        return np.load(self.folder / "vectors.npy", mmap_mode="r")

    @functools.cached_property
    def word_counts(self) -> np.ndarray:
        """How often each word stands in train's titles, and in its keywords, int64 ``(V, 2)``, memory-mapped."""
        return np.load(self.folder / "counts.npy", mmap_mode="r")

    @property
    def splits(self) -> list[str]:
        """The splits that have videos."""
        return [split for split in SPLITS if split in self.contents.splits]

    def counts(self, split: str) -> SplitCounts:
        """What became of a split's text."""
        _check_split(split)
        return self.contents.splits.get(split, SplitCounts())

    def tokens(self, split: str, field: str, label_words: LabelWords = "kept") -> Tokens:
        """The word ids of a field, title or keywords, of all videos of a split, in the store's order.

        Raises:
            ValueError: if there is no such split or field.
        """
        _check_split(split)
        column = column_of(field, label_words)
        if split not in self._tokens:
            empty = dict.fromkeys(COLUMNS, Tokens(np.zeros(1, np.int64), np.zeros(0, np.int32)))
            self._tokens[split] = read_tokens(self.folder / f"{split}.arrow") if split in self.splits else empty
        return self._tokens[split][column]

    def known(self, split: str, field: str, label_words: LabelWords = "kept") -> np.ndarray:
        """Which videos of a split have a known word in a field, bool ``(N,)``."""
        return self.tokens(split, field, label_words).lengths > 0


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be among {', '.join(SPLITS)}, got {split!r}")
