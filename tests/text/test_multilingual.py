"""Aligned vectors of several languages: text of each is read by its own, and everything else as ever."""

import numpy as np
import pytest

from mmvid.text.fields import Cleaning, clean_keywords, clean_title
from mmvid.text.marks import mark, unmark
from mmvid.text.multilingual import AlignedVectors, open_any, places_by_language
from mmvid.text.raw import RawText

TWO = Cleaning(languages=("en", "es"))
SPANISH = "Cómo tocar la guitarra española para principiantes en casa"


def write(path, words, size=3):
    lines = [f"{word} " + " ".join(str(number + place / 10) for place in range(size)) for number, word in words]
    path.write_text(f"{len(words)} {size}\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def vectors(tmp_path) -> AlignedVectors:
    english = write(tmp_path / "en.vec", [(1, "guitar"), (2, "pan")])
    spanish = write(tmp_path / "es.vec", [(5, "guitarra"), (6, "pan"), (7, "Cómo")])
    return open_any(f"en={english},es={spanish}", tmp_path / "cache")


def test_words_that_are_spelt_alike_have_their_languages_vectors(vectors):
    rows = vectors.rows(["pan", "es:pan", "guitar", "es:guitarra", "guitarra", "es:guitar", "fr:pan"])
    assert rows.tolist() == [1, 3, 0, 2, -1, -1, -1]
    np.testing.assert_allclose(vectors.of(rows[:4])[:, 0], [2, 6, 1, 5])
    assert (len(vectors), vectors.size) == (5, 3)
    with pytest.raises(ValueError, match="^rows must be at least 0 and below 5"):
        vectors.of(np.array([5]))


def test_each_text_is_read_in_its_language():
    assert clean_title("The best guitar lessons for beginners", None, TWO)[:2] == ["The", "best"]
    assert clean_title(SPANISH, None, TWO)[:2] == ["es:Cómo", "es:tocar"]
    assert clean_title(SPANISH, None, Cleaning()) is None  # English alone
    assert clean_title("Wie man zu Hause Gitarre spielen lernt und warum", None, TWO) is None
    assert clean_title("pan", "es-MX", TWO) == ["es:pan"] and clean_title("pan", "fr", TWO) is None
    assert clean_keywords(["Pan", "guitarra 7"], "es", TWO) == ["es:pan", "es:guitarra"]
    assert clean_keywords(["pan"], None, TWO) == ["pan"]  # too short to say: the first language


@pytest.mark.parametrize(
    ("code", "known"), [("he", "iw"), ("iw", "he"), ("tl", "fil-PH"), ("no", "nb_NO"), ("id", "in")]
)
def test_a_language_of_two_codes_is_one(code, known):
    assert clean_title("pan", known, Cleaning(languages=("en", code))) == [f"{code}:pan"]


def test_hebrew_is_found_whatever_its_code():
    for code in ("he", "iw"):
        assert clean_title("שלום עולם, זהו סרטון חדש", None, Cleaning(languages=("en", code)))[0] == f"{code}:שלום"
    assert (
        clean_title("The best guitar lessons", None, Cleaning(languages=("eng", "es")))
        == "The best guitar lessons".split()
    )


def test_spelling_is_asked_of_english_keywords_alone():
    spelt = Cleaning(languages=("en", "es"), spelling=True)
    assert clean_keywords(["guitar xqzzt"], "en", spelt) == ["guitar"]
    assert clean_keywords(["xqzzt"], "en", spelt) is None
    assert clean_keywords(["guitarra xqzzt"], "es", spelt) == ["es:guitarra", "es:xqzzt"]


def test_a_request_is_read_as_the_data_set_was():
    text = RawText(["guitar", "es:guitarra", "es:cómo"], TWO)
    assert text.title(SPANISH) == [3, 2] and text.title("guitar") == [1]


def test_marks_come_off_again():
    assert unmark(mark(["pan", "y"], "es", ("en", "es"))) == ("es:", ["pan", "y"])
    assert unmark(mark(["pan"], "en", ("en", "es"))) == ("", ["pan"]) and unmark([]) == ("", [])


def test_text_sets_of_one_language_keep_their_digests():
    assert "languages" not in Cleaning().model_dump(mode="json")
    assert Cleaning(**TWO.model_dump(mode="json")) == TWO


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        ("en=a.bin,b.bin", "^vectors must be one file, or language=file for each .*, got 'b.bin'$"),
        ("en=a.bin,en=b.bin", "^vectors must have one file a language, got en,en$"),
    ],
)
def test_places_are_one_or_one_a_language(places, sentence):
    assert places_by_language("a.bin") == {} and places_by_language("s3://b/a=1.bin") == {}
    assert places_by_language("EN=a.bin,es=s3://b/c.vec") == {"en": "a.bin", "es": "s3://b/c.vec"}
    with pytest.raises(ValueError, match=sentence):
        places_by_language(places)


def test_vectors_of_different_sizes_are_not_aligned(tmp_path):
    one, other = write(tmp_path / "a.vec", [(1, "a")]), write(tmp_path / "b.vec", [(1, "b")], size=2)
    with pytest.raises(ValueError, match="^vectors of several languages must be aligned, of one size, got 3 of en, 2"):
        open_any(f"en={one},es={other}", tmp_path / "cache")
