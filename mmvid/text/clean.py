"""Titles and keywords to words, as Wang et al. 2017 cleaned them (section 3).

    title       symbols and punctuation (Unicode classes P and S) are removed; case and stop words stay
    keywords    lower case; punctuation, symbols and numbers are removed; so are the words "and" and "the"

Both are brought to the composed form (NFC) that word vectors are spelt in, and split where there is white space.
Controls, null bytes among them, part words as white space does; what is not seen (marks of direction, joiners and
variants of emoji) goes. "Removed" is meant as written: "Spider-Man" becomes "SpiderMan", "C++" becomes "C".
"""

import unicodedata
from collections.abc import Iterable

STOP_WORDS = frozenset({"and", "the"})

_UNSEEN = frozenset({0x20E3, *range(0xFE00, 0xFE10)})  # key caps and variants, of emoji for the most part
_NON_JOINER = 0x200C  # Persian words are spelt with it


class _Table(dict):
    """What `str.translate` does with each character; found when it is first met, so there are no gaps."""

    def __init__(self, removed: str):
        super().__init__()
        self.removed = removed

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        if kind[0] in "Z" or kind == "Cc":
            found = 32
        elif kind[0] in self.removed or code in _UNSEEN or (kind == "Cf" and code != _NON_JOINER):
            found = None
        else:
            found = code
        self[code] = found
        return found


_TITLE, _KEYWORDS = _Table("PS"), _Table("PSN")


def title_words(title: str) -> list[str]:
    """The words of a title."""
    if not title.isascii():
        title = unicodedata.normalize("NFC", title)
    return title.translate(_TITLE).split()


def keyword_words(keywords: Iterable[str]) -> list[str]:
    """The words of all keywords of a video, in order; a keyword may be of several."""
    text = "\n".join(keywords)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return [word for word in text.lower().translate(_KEYWORDS).split() if word not in STOP_WORDS]
