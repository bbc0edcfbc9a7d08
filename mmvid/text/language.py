"""Is a title or a keyword in English? By a language that is known, by detection, by spelling.

The detector is CLD2 (package pycld2, Apache-2.0, nothing is downloaded): on titles labelled by hand it is as right as
the best (`python -m benchmarks.language`), the smallest, and its licence asks for nothing.
"""

import functools
from collections.abc import Iterable, Sequence

import pycld2

UNKNOWN = "und"
# Codes that mean the same: Scots, which short English is often taken for (the other way about does little harm), and
# old and other codes that CLD2, YouTube and published vectors write.
_SAME = {
    "eng": "en",
    "sco": "en",
    "iw": "he",
    "jw": "jv",
    "in": "id",
    "ji": "yi",
    "nb": "no",
    "fil": "tl",
}


def detect(text: str, *, sure: bool = False) -> str:
    """The language of a text as a code such as `en` or `zh-Hant`, or `und`: too short, or names only.

    Args:
        text: the text.
        sure: whether a guess is `und` too.
    """
    if not text.isprintable():  # it refuses controls, and halves of surrogate pairs
        text = "".join(each if each.isprintable() else " " for each in text)
    _, _, languages = pycld2.detect(text, bestEffort=not sure)
    code = languages[0][1]
    return UNKNOWN if code == "un" else code


def is_english(text: str, known: str | None = None) -> bool:
    """Whether a text is English, or may be: what has no language to speak of, as a name has none, passes.

    Args:
        text: the text.
        known: its language where that is known (`en`, `en-GB`, `fr`); it is trusted.
    """
    return _is_english(detect(text) if known is None else known)


def language_among(text: str, known: str | None, languages: Sequence[str], *, sure: bool = False) -> str | None:
    """Which of some languages a text is in: the first where it has none to speak of; None if it is in another one.

    Args:
        text: the text.
        known: its language where that is known; it is trusted.
        languages: codes such as `en`, `es`, `zh`.
        sure: whether a guess counts for nothing, as with words that make no sentence.
    """
    code = _plain(detect(text, sure=sure) if known is None else known)
    if code == UNKNOWN:
        return languages[0]
    return next((language for language in languages if _plain(language) == code), None)


def english_keywords(keywords: Sequence[str], known: str | None = None) -> list[str]:
    """The keywords that are English: all, unless they surely are in another language as a whole; else those that are.

    Words without a sentence tell little, so a guess removes none; a few short keywords are what they always were.
    """
    if _is_english(detect(", ".join(keywords), sure=True) if known is None else known):
        return list(keywords)
    return [keyword for keyword in keywords if _plain(detect(keyword)) == "en"]


def spelt_in_english(words: Iterable[str]) -> list[str]:
    """The words that a dictionary of English has, whatever their case: the authors' filter of keywords."""
    dictionary = _dictionary()
    return [word for word in words if word.lower() in dictionary]


def _is_english(code: str) -> bool:
    return _plain(code) in (UNKNOWN, "en")


def _plain(code: str) -> str:
    """A code without script and country, in one spelling."""
    code = code.replace("_", "-").split("-")[0].lower()
    return _SAME.get(code, code)


@functools.cache
def _dictionary() -> frozenset[str]:
    from spellchecker import SpellChecker  # its dictionary takes a moment and some memory

    return frozenset(SpellChecker(language="en", distance=1).word_frequency.words())
