"""English or not: a language that is known, a detector on short texts, a dictionary."""

import csv
import json

import pytest

from mmvid.text.fields import Cleaning, clean_keywords, clean_title
from mmvid.text.language import detect, english_keywords, is_english, spelt_in_english


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How to fix a false overheating heat sensor", "en"),
        ("Самодельный полноприводный минитрактор", "ru"),
        ("なつかしの車たちです。", "ja"),
        ("Como descargar la música de este grupo gratis", "es"),
        ("", "und"),
        ("\0\ud800 🐢", "und"),
    ],
)
def test_languages(text, language):
    assert detect(text) == language


def test_a_known_language_is_trusted():
    assert is_english("なつかしの車たちです。", "en-GB") and not is_english("a plain English title", "fr")
    assert (
        clean_title("Bonjour", "en", Cleaning()) == ["Bonjour"] and clean_title("Hello you", "fr", Cleaning()) is None
    )


def test_of_keywords_that_are_partly_english_the_english_ones_stay():
    keywords = ["самодельный трактор", "how to build a tractor", "минитрактор своими руками", "полный привод"]
    assert english_keywords(keywords) == ["how to build a tractor"]
    assert english_keywords(["cats", "cute kittens"]) == ["cats", "cute kittens"]
    assert clean_keywords(["самодельный трактор", "привод"], None, Cleaning()) is None
    assert clean_keywords(["привод"], None, Cleaning(english="any")) == ["привод"]


def test_spelling_keeps_words_of_a_dictionary():
    assert spelt_in_english(["guitar", "Guitar", "xqzzt", "gitarre"]) == ["guitar", "Guitar"]
    assert clean_keywords(["guitar xqzzt"], None, Cleaning(spelling=True)) == ["guitar"]
    assert clean_keywords(["xqzzt"], "en", Cleaning(spelling=True)) is None


def test_it_is_as_right_as_it_was_measured(shared):
    from benchmarks.language import LABELS, titles

    labelled = [(title, language) for title, language in titles(shared / "data") if language != "und"]
    right = sum(is_english(title) == (language == "en") for title, language in labelled)
    assert right / len(labelled) > 0.92
    with open(LABELS, newline="") as file:
        assert len(list(csv.DictReader(file))) == 300
    assert json.dumps(labelled[0][0])
