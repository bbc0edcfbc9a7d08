"""Words of several languages in one list: `es:perro`, but the first language's words stand as they are.

Cleaned words have no colon, so a mark is never mistaken for a part of a word.
"""

from collections.abc import Sequence


def mark(words: Sequence[str], language: str, languages: Sequence[str]) -> list[str]:
    """Words of a language as they are looked up."""
    return list(words) if language == languages[0] else [f"{language}:{word}" for word in words]


def unmark(words: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before each of a text's words, `es:` or nothing, and the words without it."""
    before = words[0][: words[0].find(":") + 1] if words else ""
    return before, [word[len(before) :] for word in words]
