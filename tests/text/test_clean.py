"""Titles and keywords to words, on what people write."""

import random

import pytest

from mmvid.text.clean import keyword_words, title_words


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("The Cat & the Dog", ["The", "Cat", "the", "Dog"]),
        ("iPhone X — Introducing iPhone X — Apple", ["iPhone", "X", "Introducing", "iPhone", "X", "Apple"]),
        ("I SPENT €391 IN C++!!!", ["I", "SPENT", "391", "IN", "C"]),
        ("Spider-Man: Tony Hawk's Pro", ["SpiderMan", "Tony", "Hawks", "Pro"]),
        ("Turtles 🐢👨‍👩‍👧 1️⃣ all the way", ["Turtles", "1", "all", "the", "way"]),
        ("اهداف الاهلي\u200f وسموحه 1-1", ["اهداف", "الاهلي", "وسموحه", "11"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("Poke\u0301mon", ["Pok\u00e9mon"]),
        ("Jordan\u200b and\u200b \u200bLindsay’s", ["Jordan", "and", "Lindsays"]),
        ("a\0b\tc\u3000d", ["a", "b", "c", "d"]),
        ("", []),
        (" ★★ !!! ", []),
    ],
)
def test_titles_lose_symbols_and_punctuation_only(title, words):
    assert title_words(title) == words


def test_keywords_lose_case_numbers_and_two_stop_words():
    keywords = ["The Muppets", "rock and roll", "Top 10", "2017", "80's", "C++", "Ⅷ", "band", "théâtre"]
    assert keyword_words(keywords) == ["muppets", "rock", "roll", "top", "s", "c", "band", "théâtre"]
    assert keyword_words([]) == [] and keyword_words(["AND", "The", "42"]) == []


def test_a_title_of_ten_thousand_words():
    assert len(title_words("word! " * 10_000)) == 10_000


def test_no_word_is_empty_or_holds_what_was_removed():
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(chr(draw.choice([draw.randrange(0x250), draw.randrange(0xD800)])) for _ in range(40))
        for word in title_words(text) + keyword_words([text]):
            assert word and word.split() == [word] and not set(word) & set("!?-+$'\"\0\u200b")
