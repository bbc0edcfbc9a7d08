"""Titles and keywords of made videos, with what makes real ones hard.

Table 1 of paper A: of 3.905 million training videos 2.578 have keywords, 3.084 a title and 2.473 both; here the same
shares hold on average. Titles and keywords speak of a video's labels in the words of their vocabularies; about a
tenth of all words stand in the names of the video's labels. Titles come with numbers, symbols, emoji, capitals,
and 8 % of them in Spanish, German, French, Russian or Japanese. Of classes that share a vocabulary only the order
of two words in a title tells which it is: keywords cannot. Every second uploader states the language.
"""

from mmvid.draws import Draws
from mmvid.records.made.words import (
    COMMON,
    ENDINGS,
    LABELS,
    LANGUAGES,
    LINKS,
    OPENERS,
    PHRASES,
    Label,
    Language,
)
from mmvid.records.text import NO_TEXT, Text

# Videos of 3905 with both, with keywords only, with a title only; the rest has no text.
_BOTH, _KEYWORDS_ONLY, _TITLE_ONLY, _ALL = 2473, 2578 - 2473, 3084 - 2473, 3905

_NAMED_TITLES = 600  # of a thousand titles that name a label
_NAMED_KEYWORDS = 105  # of a thousand keywords that are a label's name
_COMMON_KEYWORDS = 250
_ENGLISH_KEYWORDS = 400  # of a thousand keywords of a video in another language


def draw_text(draws: Draws, label_ids: list[int]) -> Text:
    """The text of one video with these labels, `NO_TEXT` for about a fifth of the videos."""
    present = draws.below(_ALL)
    if present >= _BOTH + _KEYWORDS_ONLY + _TITLE_ONLY:
        return NO_TEXT
    labels = [LABELS[id] for id in label_ids]
    language = _draw_language(draws)
    title = None
    if not _BOTH <= present < _BOTH + _KEYWORDS_ONLY:
        title = _english_title(draws, labels) if language is None else _other_title(draws, labels, language)
    keywords = _draw_keywords(draws, labels, language) if present < _BOTH + _KEYWORDS_ONLY else None
    stated = draws.chance(500)
    code = "en" if language is None else language.code
    return Text(title, keywords, code if stated else None)


def _draw_language(draws: Draws) -> Language | None:
    """A language other than English, or None."""
    place = draws.below(1000)
    for language in LANGUAGES:
        if place < language.of_thousand:
            return language
        place -= language.of_thousand
    return None


def _english_title(draws: Draws, labels: list[Label]) -> str:
    told = draws.pick(labels)
    pieces = [_phrase(draws, told)]
    if len(labels) > 1 and draws.chance(600):
        other = draws.pick([label for label in labels if label is not told])
        pieces.append(_phrase(draws, other))
    if draws.chance(_NAMED_TITLES):
        pieces.append(draws.pick(labels).name)
    draws.shuffle(pieces)
    body = draws.pick((" ", " ", " - ", ": ", " | ", ", ")).join(pieces)
    style = draws.below(10)
    if style < 1:
        body = body.upper()
    elif style < 5:
        body = " ".join(word[:1].upper() + word[1:] for word in body.split(" "))
    elif style < 9:
        body = body[:1].upper() + body[1:]
    return _filled(draws, draws.pick(OPENERS)) + body + _filled(draws, draws.pick(ENDINGS))


def _phrase(draws: Draws, label: Label) -> str:
    """A few words about one label."""
    if label.order is not None:
        first, second = label.order
        return f"{first} {draws.pick(LINKS)} {second}"
    words = list(label.words)
    draws.shuffle(words)
    return draws.pick(PHRASES).format(a=words[0], b=words[1], c=words[2])


def _other_title(draws: Draws, labels: list[Label], language: Language) -> str:
    words = [draws.pick(language.words[draws.pick(labels).topic]) for _ in range(2 + draws.below(3))]
    parts = [draws.pick(language.openers), *words, _filled(draws, draws.pick(language.endings))]
    return language.space.join(parts)


def _draw_keywords(draws: Draws, labels: list[Label], language: Language | None) -> list[str]:
    """Distinct keywords in the order in which they were typed."""
    keywords = []
    for _ in range(4 + draws.below(7)):
        if language is not None and not draws.chance(_ENGLISH_KEYWORDS):
            keywords.append(draws.pick(language.words[draws.pick(labels).topic]))
        else:
            keywords.append(_english_keyword(draws, draws.pick(labels)))
    return list(dict.fromkeys(keywords))


def _english_keyword(draws: Draws, label: Label) -> str:
    kind = draws.below(1000)
    if kind < _NAMED_KEYWORDS:
        keyword = label.name
    elif kind < _NAMED_KEYWORDS + _COMMON_KEYWORDS:
        keyword = draws.pick(COMMON)
    elif draws.chance(300):
        keyword = f"{draws.pick(COMMON)} {draws.pick(label.words)}"
    else:
        keyword = draws.pick(label.words)
    style = draws.below(20)
    if style < 3:
        return keyword.title()
    if style < 4:
        return keyword.upper()
    if style < 5:
        return f"#{keyword.replace(' ', '')}"
    if style < 6:
        return f"{keyword} {2005 + draws.below(12)}"
    return keyword


def _filled(draws: Draws, text: str) -> str:
    """`text` with its number and year put in."""
    return text.format(n=1 + draws.below(20), y=2005 + draws.below(12))
