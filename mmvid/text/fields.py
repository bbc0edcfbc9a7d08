"""A video's title and keywords to words: language and cleaning together, the same for a data set and for a request."""

from collections.abc import Sequence
from typing import Literal

from mmvid.config import Options, option
from mmvid.text.clean import keyword_words, title_words
from mmvid.text.language import english_keywords, is_english, spelt_in_english

English = Literal["detected", "any"]


class Cleaning(Options):
    """Cleaning of titles and keywords."""

    english: English = option("detected", "keep English text only, or any (vectors of other languages)")
    spelling: bool = option(False, "keep only keywords that a dictionary of English has, as the authors did")
    lower_case: bool = option(True, "look a word up in lower case that has no vector as it is spelt")


def clean_title(title: str, language: str | None, options: Cleaning) -> list[str] | None:
    """The words of a title, or None if it is not in English.

    Args:
        title: the title.
        language: its language where that is known.
        options: how it is cleaned.
    """
    if options.english == "detected" and not is_english(title, language):
        return None
    return title_words(title)


def clean_keywords(keywords: Sequence[str], language: str | None, options: Cleaning) -> list[str] | None:
    """The words of a video's keywords, or None if none of them is in English."""
    if options.english == "detected":
        keywords = english_keywords(keywords, language)
        if not keywords:
            return None
    words = keyword_words(keywords)
    if options.spelling and words:
        return spelt_in_english(words) or None
    return words
