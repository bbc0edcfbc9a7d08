"""The words of titles and keywords that a batch carries: which fields, how many words, in whose numbering."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmvid.records.batches import Batch
from mmvid.records.store import Store
from mmvid.records.textset import LabelWords, TextSet

_COUNTED = 1 << 24  # word ids that are counted at once


@dataclasses.dataclass(frozen=True)
class Words:
    """What is read of a text set.

    Attributes:
        textset: the text set; None reads nothing.
        fields: `title`, `keywords` or both.
        label_words: whether words of a video's own labels are kept or removed.
        longest: words of a text that are read, the first ones; 0 reads all.
        numbers: what number a batch has for each word of the text set, int64 (V,): a model that was trained on another
            text set has its own. 0 leaves a word out. None numbers them from 1 on.
    """

    textset: TextSet | None = None
    fields: tuple[str, ...] = ()
    label_words: LabelWords = "kept"
    longest: int = 0
    numbers: np.ndarray | None = None

    def check(self, store: Store) -> None:
        """Raises ValueError if the text set is not of this store, or is missing."""
        if self.fields and self.textset is None:
            raise ValueError(f"a text set must be given for the words of {' and '.join(self.fields)} to be read")
        if self.textset is not None and self.textset.store_digest != store.base.digest:
            raise ValueError(f"{self.textset.folder} must be the text set of {store.folder}, it is another store's")

    def known(self, split: str) -> np.ndarray:
        """Which videos of a split have a word in one of the fields, bool ``(N,)``."""
        if self.numbers is None:
            found = [self.textset.known(split, field, self.label_words) for field in self.fields]
        else:
            found = [self._known_by_number(split, field) for field in self.fields]
        return np.logical_or.reduce(found)

    def cut(self, split: str) -> dict[str, int]:
        """How many videos of a split have more than `longest` words, by field."""
        if not self.longest:
            return dict.fromkeys(self.fields, 0)
        lengths = {field: self.textset.tokens(split, field, self.label_words).lengths for field in self.fields}
        return {field: int((each > self.longest).sum()) for field, each in lengths.items()}

    def add(self, batch: Batch, split: str, rows: np.ndarray) -> None:
        """Gives a batch the words of its rows."""
        for field in self.fields:
            tokens, lengths = self._padded(split, field, rows)
            batch.tokens[field] = tokens
            batch.token_lengths[field] = lengths
            batch.presence[field] = lengths > 0

    def _padded(self, split: str, field: str, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        column = self.textset.tokens(split, field, self.label_words)
        starts = column.offsets[rows]
        lengths = column.offsets[rows + 1] - starts
        owner = np.repeat(np.arange(len(rows)), lengths)
        words = column.values[starts[owner] + _places(lengths)]
        words = words.astype(np.int64) + 1 if self.numbers is None else self.numbers[words]
        if self.numbers is not None:
            owner, words = owner[words > 0], words[words > 0]
            lengths = np.bincount(owner, minlength=len(rows))
        if self.longest:
            kept = _places(lengths) < self.longest
            owner, words, lengths = owner[kept], words[kept], np.minimum(lengths, self.longest)
        return pad(words, owner, lengths)

    def _known_by_number(self, split: str, field: str) -> np.ndarray:
        column = self.textset.tokens(split, field, self.label_words)
        known = np.concatenate([[0], np.cumsum(self.numbers[column.values] > 0)])
        return known[column.offsets[1:]] > known[column.offsets[:-1]]


NO_WORDS = Words()


def word_counts(words: Words) -> np.ndarray:
    """How often each word of the text set stands in the fields that are read of train, int64 ``(V,)``."""
    counts = np.zeros(len(words.textset), np.int64)
    for field in words.fields:
        values = words.textset.tokens("train", field, words.label_words).values
        for start in range(0, len(values), _COUNTED):
            counts += np.bincount(values[start : start + _COUNTED], minlength=len(counts))
    return counts


def pad(words: np.ndarray, owner: np.ndarray, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """Texts as rows of a batch.

    Args:
        words: the numbers of all words, one text after the other.
        owner: the text that each belongs to, ascending.
        lengths: words of each text, (B,).

    Returns:
        The numbers, int64 (B, L) with zeros at the end, L at least 1; and the lengths, int64 (B,).
    """
    padded = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), np.int64)
    padded[owner, _places(lengths)] = words
    return torch.from_numpy(padded), torch.from_numpy(lengths.astype(np.int64))


def _places(lengths: np.ndarray) -> np.ndarray:
    """The place of each word in its own text, where texts of these lengths stand one after the other."""
    return np.arange(int(lengths.sum())) - np.repeat(lengths.cumsum() - lengths, lengths)


def numbers_for(textset: TextSet, words: Sequence[str]) -> np.ndarray | None:
    """The numbers that a model with `words` has for the words of a text set; None where they are the same."""
    if list(words) == textset.words:
        return None
    known = {word: number for number, word in enumerate(words, 1)}
    return np.fromiter((known.get(word, 0) for word in textset.words), np.int64, len(textset))
