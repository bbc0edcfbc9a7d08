"""The words of a video's own labels: how far they overlap, and that they are really gone."""

import re

import pytest

from mmvid.text.clean import keyword_words, title_words
from mmvid.text.labels import LabelNames, overlap, remove

NAMES = [
    "Game",
    "Video game",
    "C++",
    "Madonna (entertainer)",
    "Tony Hawk's Pro Skater",
    "Spider-Man",
    "Pokémon Ultra Sun",
    "Straße",
    "Sonic the Hedgehog",
    "Sonic the Hedgehog",
    "",
    "???",
    "a.*b",
]


def cleaned(field, text):
    return title_words(text) if field == "title" else keyword_words(text.split(","))


def removed(field, text, labels, how="words"):
    return remove(cleaned(field, text), LabelNames(NAMES).of(field, labels), how)


@pytest.mark.parametrize(
    ("text", "labels", "left"),
    [
        ("GAME over, a Video Game song", [1], ["over", "a", "song"]),
        ("Learn C++ in a day", [2], ["Learn", "in", "a", "day"]),
        ("Madonna (Entertainer) live", [3], ["live"]),
        ("Tony Hawk’s Pro Skater 4 by tony hawk", [4], ["4", "by"]),
        ("Spider-Man vs spider man vs SPIDERMAN", [5], ["vs", "vs"]),
        ("Poke\u0301mon ultra moon", [6], ["moon"]),
        ("Die Strasse am Fluss, STRASSE", [7], ["Die", "am", "Fluss"]),
        ("sonic and the hedgehog", [9], ["and"]),
        ("aXb stays, ab goes", [12], ["aXb", "stays", "goes"]),
        ("nothing of a name", [10, 11], ["nothing", "of", "a", "name"]),
        ("gamer plays", [0], ["gamer", "plays"]),
    ],
)
def test_every_word_of_the_labels_is_removed_from_titles(text, labels, left):
    assert removed("title", text, labels) == left


def test_keywords_of_several_words():
    assert removed("keywords", "video games,Video Game,game,tony hawks", [1, 4]) == ["games"]
    assert removed("keywords", "c++ tutorial,c,C programming", [2]) == ["tutorial", "programming"]


def test_whole_phrases_only():
    assert removed("title", "Video Game: a game of video", [1], "phrases") == ["a", "game", "of", "video"]
    assert removed("title", "video game game video game", [0, 1], "phrases") == []
    assert removed("title", "Madonna entertainer", [3], "phrases") == []
    assert removed("title", "Madonna live", [3], "phrases") == ["Madonna", "live"]


def test_phrases_are_what_an_escaped_regular_expression_removes():
    text = "The Video Game is no video of a game, VIDEO GAME!"
    expected = re.sub(rf"\b{re.escape('video game')}\b", " ", " ".join(title_words(text)), flags=re.I).split()
    assert removed("title", text, [1], "phrases") == expected


def test_a_name_that_two_labels_share_is_each_ones_own():
    names = LabelNames(NAMES)
    assert names.of("title", [8]) == names.of("title", [9]) and len(names.of("title", [8, 9])) == 2


def test_overlap_in_three_readings():
    names = LabelNames(NAMES)
    words = title_words("A game about Sonic with video of a Hedgehog")
    shares = overlap(words, names.of("title", [1, 8]), 2)
    assert (shares.whole, shares.labels) == (False, 0.5)  # game and video apart; no "the"
    assert shares.words == pytest.approx(4 / 9)
    shares = overlap(title_words("My first Video game"), names.of("title", [0, 1, 10]), 3)
    assert (shares.whole, shares.labels, shares.words) == (True, 2 / 3, 0.5)
    assert overlap(["one"], [], 1).words == 0


def test_nothing_is_removed_where_there_is_nothing():
    assert remove([], LabelNames(NAMES).of("title", [0])) == [] and remove(["a"], []) == ["a"]
