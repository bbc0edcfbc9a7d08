"""The words of labels' names in a video's text: how far they overlap, and the text without them.

Names are compared as the text is: cleaned, and whatever their case. A name is known by its label's id and never looked
up, for names are not unique. Words are compared as strings, so no name is ever read as a regular expression.

A name that punctuation parts is looked for in both spellings that cleaning can leave of it: "Spider-Man" is one word,
"spiderman", and two, "spider" and "man".
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmvid.text.clean import keyword_words, title_words

Removal = Literal["words", "phrases"]


@dataclass(frozen=True, slots=True)
class Name:
    """The words of one label's name in one field's cleaning, folded.

    Attributes:
        phrases: its spellings as words in a row, distinct, none empty.
        words: all words of all spellings.
    """

    phrases: tuple[tuple[str, ...], ...]
    words: frozenset[str]


class LabelNames:
    """The names of all labels, cleaned once.

    Attributes:
        titles, keywords: the names as they stand in each field, by label.
    """

    def __init__(self, names: Sequence[str]):
        self.titles = [_name([title_words(name), title_words(_parted(name))]) for name in names]
        self.keywords = [_name([keyword_words([name]), keyword_words([_parted(name)])]) for name in names]

    def of(self, field: str, labels: Sequence[int]) -> list[Name]:
        """The names of a video's labels that cleaning leaves a word of."""
        names = self.titles if field == "title" else self.keywords
        return [names[label] for label in labels if names[label].phrases]


def remove(words: Sequence[str], names: Sequence[Name], how: Removal = "words") -> list[str]:
    """A video's words without those of its own labels.

    Args:
        words: the cleaned words.
        names: the names of its labels, from `LabelNames.of` of the same field.
        how: `words` removes every word of a name wherever it stands; `phrases` only whole names, words in a row, as
            the authors' script did with titles.
    """
    if not names or not words:
        return list(words)
    folded = [word.casefold() for word in words]
    if how == "words":
        taken = frozenset().union(*(name.words for name in names))
        return [word for word, plain in zip(words, folded, strict=True) if plain not in taken]
    kept = [True] * len(words)
    for phrase in (phrase for name in names for phrase in name.phrases):
        for begin in _places(folded, phrase):
            kept[begin : begin + len(phrase)] = [False] * len(phrase)
    return [word for word, stays in zip(words, kept, strict=True) if stays]


@dataclass(frozen=True, slots=True)
class Shares:
    """The three readings of "label overlap" for one video and field.

    Attributes:
        whole: whether the name of a label stands whole in the text.
        labels: the share of the video's labels all of whose words occur, in one spelling.
        words: the share of the text's words that are words of the labels.
    """

    whole: bool
    labels: float
    words: float


def overlap(words: Sequence[str], names: Sequence[Name], labels: int) -> Shares:
    """How far the words of a text are those of the video's own labels.

    Args:
        words: the cleaned words, at least one.
        names: the names of its labels.
        labels: how many labels it has, at least one; those without a name count as not occurring.
    """
    folded = [word.casefold() for word in words]
    present = frozenset(folded)
    taken = frozenset().union(*(name.words for name in names))
    occurring = [name for name in names if any(present.issuperset(phrase) for phrase in name.phrases)]
    whole = any(_places(folded, phrase) for name in occurring for phrase in name.phrases)
    return Shares(whole, len(occurring) / labels, sum(word in taken for word in folded) / len(folded))


def _places(words: list[str], phrase: tuple[str, ...]) -> list[int]:
    """Where the words of a phrase stand in a row."""
    first, length = phrase[0], len(phrase)
    return [
        place
        for place, word in enumerate(words)
        if word == first and (length == 1 or tuple(words[place : place + length]) == phrase)
    ]


def _name(spellings: list[list[str]]) -> Name:
    phrases = tuple(dict.fromkeys(tuple(word.casefold() for word in words) for words in spellings if words))
    return Name(phrases, frozenset(word for phrase in phrases for word in phrase))


def _parted(name: str) -> str:
    """A name with white space for whatever is no letter, mark or number."""
    return "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in name)
