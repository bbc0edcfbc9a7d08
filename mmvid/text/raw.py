"""A raw title and raw keywords to the numbers of their words, as a model knows them: what a request is read by.

The cleaning is the data set's own (`fields`), so a title means the same to a model in a request as in training.
"""

from collections.abc import Sequence

from mmvid.text.fields import Cleaning, clean_keywords, clean_title


class RawText:
    """Words with numbers from 1 on.

    Attributes:
        words: the words, number 1 first.
        cleaning: how titles and keywords are cleaned.
    """

    def __init__(self, words: Sequence[str], cleaning: Cleaning):
        self.words, self.cleaning = list(words), cleaning
        self._numbers = {word: number for number, word in enumerate(self.words, 1)}

    def title(self, title: str | None, language: str | None = None) -> list[int]:
        """The numbers of a title's words, in order; unknown words are left out, all words if it is not English."""
        return self._known(clean_title(title, language, self.cleaning) if title else None)

    def keywords(self, keywords: Sequence[str] | None, language: str | None = None) -> list[int]:
        """The numbers of the words of a video's keywords."""
        return self._known(clean_keywords(keywords, language, self.cleaning) if keywords else None)

    def _known(self, words: list[str] | None) -> list[int]:
        found = (self._number(word) for word in words or ())
        return [number for number in found if number]

    def _number(self, word: str) -> int:
        """Of a word as it is spelt; else, if the cleaning says so, in lower case; else 0."""
        number = self._numbers.get(word, 0)
        return self._numbers.get(word.lower(), 0) if not number and self.cleaning.lower_case else number
