"""A video's title and keywords to words: language and cleaning together, the same for a data set and for a request."""

from collections.abc import Sequence
from typing import Literal

from mmvid.config import Options, option
from mmvid.text.clean import keyword_words, title_words
from mmvid.text.language import english_keywords, is_english, language_among, spelt_in_english
from mmvid.text.marks import mark

English = Literal["detected", "any"]


class CleaningOptions(Options):
    """Cleaning of titles and keywords."""

    english: English = option("detected", "keep English text only, or any (vectors of other languages)")
    spelling: bool = option(False, "keep only keywords that a dictionary of English has, as the authors did")
    lower_case: bool = option(True, "look a word up in lower case that has no vector as it is spelt")


class Cleaning(CleaningOptions):
    """All that decides how titles and keywords are read."""

    # Left out of the JSON where there are none, so that text sets of one language keep their digests.
    languages: tuple[str, ...] = option(
        (), "languages that have vectors, the main one first; none: English", exclude_if=lambda value: not value
    )


def clean_title(title: str, language: str | None, options: Cleaning) -> list[str] | None:
    """The words of a title, or None if it is not in English, or in none of the languages that have vectors.

    Args:
        title: the title.
        language: its language where that is known.
        options: how it is cleaned.
    """
    if options.languages:
        found = language_among(title, language, options.languages)
        return None if found is None else mark(title_words(title), found, options.languages)
    if options.english == "detected" and not is_english(title, language):
        return None
    return title_words(title)


def clean_keywords(keywords: Sequence[str], language: str | None, options: Cleaning) -> list[str] | None:
    """The words of a video's keywords, or None if none of them is in English; of several languages, as a whole."""
    found = "en"
    if options.languages:
        found = language_among(", ".join(keywords), language, options.languages, sure=True)
        if found is None:
            return None
    elif options.english == "detected":
        keywords = english_keywords(keywords, language)
        if not keywords:
            return None
    words = keyword_words(keywords)
    if options.spelling and words and is_english("", found):
        words = spelt_in_english(words)
        if not words:
            return None
    return mark(words, found, options.languages) if options.languages else words
