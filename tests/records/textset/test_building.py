"""A store's text to a text set: what is kept, what is counted, and that a build that was stopped ends the same."""

import contextlib
import gzip
import json
import os
import random
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmvid.records.gathered import index_texts
from mmvid.records.ingest import ingest
from mmvid.records.rows import find_row_files
from mmvid.records.textset import COLUMNS, TextSet, building, conversion
from mmvid.records.textset.building import build
from mmvid.records.textset.sentences import write_sentences
from mmvid.report import text as report
from mmvid.text.clean import keyword_words, title_words
from mmvid.text.fields import Cleaning
from mmvid.text.multilingual import open_any
from mmvid.text.vectors import train_vectors

ANY = Cleaning(english="any")
NAMES = ["Game", "Video game", "C++", "Car (vehicle)", "Dog", "Dog", "Tony Hawk's"]
TEXTS = [
    {"title": "The Video Game of the year", "keywords": ["video game", "dog", "the year"]},
    {"title": "C++ and a car", "keywords": "c++, car, fast car 2017"},
    {"title": "A dog, 狗 🐶 in a car", "keywords": None},
    {"title": "", "keywords": []},
    {"title": "word " * 10_000, "keywords": ["car"]},
    {"title": "\0 مرحبا \u202b بك", "keywords": ["\0"]},
    {"keywords": ["year", "dog"]},
]


@pytest.fixture
def store(maker, tmp_path):
    """A store of three shards of train, with text for most videos."""
    made = maker.whole()
    videos = [video for split in made.values() for video in split]
    with open(maker.folder / "text.jsonl", "w") as file:
        for number, video in enumerate(videos):
            if number % 9 != 8:
                file.write(json.dumps({"id": video.id} | TEXTS[number % len(TEXTS)]) + "\n")
    (maker.folder / "vocabulary.csv").write_text(
        "id,name\n" + "".join(f'{n},"{name}"\n' for n, name in enumerate(NAMES))
    )
    return ingest(maker.folder, maker.schema, tmp_path / "store", progress=False)


@pytest.fixture
def vectors(store, tmp_path):
    sentences = write_sentences(store, None, ANY, tmp_path / "sentences.txt")
    return train_vectors(sentences, tmp_path / "vectors", size=8, epochs=1)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_every_row_of_every_split_is_what_plain_code_says(store, vectors, tmp_path):
    textset = build(store, tmp_path / "texts", vectors, cleaning=ANY, progress=False)
    assert textset.store_digest == store.digest and textset.splits == store.splits and textset.size == 8
    assert np.array_equal(textset.vectors, vectors.of(vectors.rows(textset.words)))
    for split in store.splits:
        table = store.table(split)
        for field, clean in (("title", title_words), ("keywords", keyword_words)):
            tokens, without = (textset.tokens(split, field, choice) for choice in ("kept", "removed"))
            for row, (text, labels) in enumerate(
                zip(table.column(field).to_pylist(), table.column("labels").to_pylist(), strict=True)
            ):
                words = clean(text) if text else []
                taken = {
                    word.lower()
                    for label in labels or []
                    for name in (NAMES[label], NAMES[label].replace("'", " "))
                    for word in title_words(name)
                }
                for found, expected in (
                    (tokens, words),
                    (without, [word for word in words if word.lower() not in taken]),
                ):
                    ids = found.values[found.offsets[row] : found.offsets[row + 1]]
                    spelt = [word if vectors.rows([word])[0] >= 0 else word.lower() for word in expected]
                    kept = [word for word in spelt if vectors.rows([word])[0] >= 0]
                    assert [textset.words[id] for id in ids] == kept
            assert np.array_equal(textset.known(split, field), tokens.lengths > 0)
        counts = textset.counts(split)
        assert counts.videos == store.count(split)
        for each in (counts.title, counts.keywords):
            assert each.absent + each.not_english + each.unknown + each.known == counts.videos
        assert counts.title.known == textset.known(split, "title").sum()
        assert counts.either == (textset.known(split, "title") | textset.known(split, "keywords")).sum()
        assert counts.keywords.removed_words == (
            textset.tokens(split, "keywords").offsets[-1] - textset.tokens(split, "keywords", "removed").offsets[-1]
        )


def test_words_stand_by_their_count_in_train(store, vectors, tmp_path):
    textset = build(store, tmp_path / "texts", vectors, cleaning=ANY, progress=False)
    counted = np.zeros((len(textset), 2), int)
    for column, field in enumerate(("title", "keywords")):
        np.add.at(counted[:, column], textset.tokens("train", field).values, 1)
    assert np.array_equal(textset.word_counts, counted)
    keys = [(-count, word) for count, word in zip(counted.sum(1).tolist(), textset.words, strict=True)]
    assert keys == sorted(keys)
    keywords = {
        int(id) for split in textset.splits for id in np.unique(textset.tokens(split, "keywords").values).tolist()
    }
    assert textset.contents.distinct_keywords == len(keywords)


def test_a_build_that_was_stopped_anywhere_ends_with_the_same_bytes(store, vectors, tmp_path, monkeypatch):
    whole = build(store, tmp_path / "whole", vectors, cleaning=ANY, progress=False)
    expected = files(whole.folder)
    steps = ["convert"] * len(store.contents.files) + ["_assemble", "write_tokens", "write"]
    for stop in range(len(steps)):
        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patch:
            done = []

            def stopping(name, original, done=done, stop=stop):
                def call(*arguments):
                    done.append(name)
                    if len(done) > stop and name == steps[stop]:
                        raise KeyboardInterrupt
                    return original(*arguments)

                return call

            for name in dict.fromkeys(steps):
                place = building.Manifest if name == "write" else building
                patch.setattr(place, name, stopping(name, getattr(place, name)))
            with pytest.raises(KeyboardInterrupt):
                build(store, folder, vectors, cleaning=ANY, progress=False)
        with pytest.raises(ValueError, match="is not a text set: it has no manifest.json"):
            TextSet.open(folder)
        (folder / ".tokens-left").mkdir()
        converted = []
        with monkeypatch.context() as patch:
            patch.setattr(building, "convert", lambda task, log=converted: (log.append(1), conversion.convert(task)))
            again = build(store, folder, vectors, cleaning=ANY, progress=False)
        assert files(folder) == expected and again.digest == whole.digest
        assert len(converted) == max(0, len(store.contents.files) - stop), "what was finished is not done again"
        assert not (folder / ".tokens-left").exists()


def test_the_same_again_is_found_and_other_options_replace_it(store, vectors, tmp_path, monkeypatch):
    first = build(store, tmp_path / "texts", vectors, cleaning=ANY, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(building, "convert", lambda task: pytest.fail("nothing is to be done"))
        assert build(store, tmp_path / "texts", vectors, cleaning=ANY, progress=False).digest == first.digest
    other = build(store, tmp_path / "texts", vectors, cleaning=ANY, removal="phrases", progress=False)
    assert other.digest != first.digest
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="^folder must be empty or a text set, .*other holds 'mine.txt' and no man"):
        build(store, tmp_path / "other", vectors, cleaning=ANY, progress=False)


def test_english_only(store, vectors, tmp_path):
    textset = build(store, tmp_path / "texts", vectors, cleaning=Cleaning(), progress=False)
    assert sum(textset.counts(split).title.not_english for split in textset.splits) > 0


def test_a_damaged_file_is_named(store, vectors, tmp_path):
    textset = build(store, tmp_path / "texts", vectors, cleaning=ANY, progress=False)
    path = textset.folder / "train.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=f"^{path}: the text set's file must have "):
        TextSet.open(textset.folder)
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path}: the text set's file is missing$"):
        TextSet.open(textset.folder)


def test_no_known_word_at_all(maker, vectors, tmp_path):
    maker.write("train.tfrecord", maker.videos("n", 30))
    (maker.folder / "text.jsonl").unlink()
    with_none = ingest(str(maker.folder / "train.tfrecord"), maker.schema, tmp_path / "none", progress=False)
    with pytest.raises(ValueError, match="^no video of .*none has a title or keywords with a word that has a vector"):
        build(with_none, tmp_path / "texts", vectors, cleaning=ANY, progress=False)


def rows_of(store):
    for split in store.splits:
        table = store.table(split).select(["id", "title", "keywords", "language"])
        yield from table.to_pylist()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet", "two files"])
def test_text_from_files_of_any_kind_gives_the_same_words(store, vectors, tmp_path, kind):
    rows = [*rows_of(store), {"id": "no such video", "title": "dog", "keywords": None, "language": None}]
    rows = [row for row in rows if row["title"] or row["keywords"]]
    place = tmp_path / f"given.{kind}"
    lines = [json.dumps(row) + "\n" for row in rows]
    if kind == "two files":
        (tmp_path / "part-0.jsonl").write_text("".join(lines[:5]))
        (tmp_path / "part-1.jsonl").write_text("".join(lines[5:]))
        place = tmp_path / "part-*.jsonl"
    elif kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), place)
    elif kind == "csv":
        frame = pa.Table.from_pylist([row | {"keywords": ",".join(row["keywords"] or [])} for row in rows]).to_pandas()
        frame.to_csv(place, index=False)
    else:
        opened = gzip.open if kind.endswith("gz") else open
        with opened(place, "wt") as file:
            file.writelines(lines)
    index = index_texts(find_row_files(str(place)), tmp_path / "gathered.jsonl")
    own = build(store, tmp_path / "own", vectors, cleaning=ANY, progress=False)
    given = build(store, tmp_path / "texts", vectors, cleaning=ANY, index=index, progress=False)
    for split in store.splits:
        for column in COLUMNS:
            field, choice = column.removesuffix("_unlabelled"), "removed" if "_" in column else "kept"
            one, other = own.tokens(split, field, choice), given.tokens(split, field, choice)
            assert np.array_equal(one.offsets, other.offsets)
            assert [own.words[id] for id in one.values] == [given.words[id] for id in other.values]
    source = given.contents.source
    assert (source.rows, source.joined, source.no_video) == (len(rows), len(rows) - 1, 1)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_captions_are_titles_of_the_videos_and_a_language_may_have_spaces_around_it(store, vectors, tmp_path, kind):
    ids, place = [row["id"] for row in rows_of(store)], tmp_path / f"captions.{kind}"
    lines = {
        "jsonl": [json.dumps({"id": id, "text": "dog car", "language": " en "}) for id in ids],
        "csv": ["id, text, language", *(f"{id}, dog car, en" for id in ids)],
    }[kind]
    place.write_text("".join(f"{line}\n" for line in lines))
    index = index_texts(find_row_files(str(place)), tmp_path / "gathered.jsonl")
    textset = build(store, tmp_path / "texts", vectors, cleaning=Cleaning(), index=index, progress=False)
    assert sorted(textset.words) == ["car", "dog"]
    assert textset.counts("train").title.known == store.count("train")


def test_texts_of_no_video_are_told(store, vectors, tmp_path):
    (tmp_path / "other.csv").write_text("id,title\nnobody,dog\nnone,car\n")
    index = index_texts(find_row_files(str(tmp_path / "other.csv")), tmp_path / "gathered.jsonl")
    with pytest.raises(ValueError, match="; of the 2 rows of .*other.csv 0 have a video's id$"):
        build(store, tmp_path / "texts", vectors, cleaning=ANY, index=index, progress=False)


def test_a_doubled_id_is_named_with_both_its_places(tmp_path):
    for number, ids in enumerate((["a", "b"], ["c", "b"])):
        (tmp_path / f"part-{number}.csv").write_text("id,title\n" + "".join(f"{id},words\n" for id in ids))
    sentence = "^id 'b' stands twice: row 2 of .*part-0.csv and row 2 of .*part-1.csv; an id has one row; "
    files = find_row_files(str(tmp_path / "part-*.csv"))
    with pytest.raises(ValueError, match=sentence + "repeats=first keeps the first$"):
        index_texts(files, tmp_path / "gathered.jsonl")


def test_the_first_row_of_an_id_may_count(tmp_path, monkeypatch):
    lines = [{"id": id, "title": f"{id} {number}"} for number, id in enumerate("abcbba")]
    place = tmp_path / "titles.jsonl"
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr("mmvid.records.text.hash64", lambda id: len(id))  # all ids share it: only equal ids are equal
    index = index_texts(find_row_files(str(place)), tmp_path / "gathered.jsonl", "first")
    assert len(index) == 3 and index.repeated == 3
    assert [index.find(id).title for id in "abc"] == ["a 0", "b 1", "c 2"] and index.find("d") is None


@pytest.mark.slow
def test_a_build_killed_at_random_moments_ends_with_the_same_bytes(store, vectors, tmp_path):
    expected = files(build(store, tmp_path / "whole", vectors, cleaning=ANY, progress=False).folder)
    draw, killed = random.Random(0), 0
    for number in range(3):
        folder, spent = tmp_path / f"killed-{number}", 0.0
        while not (folder / "manifest.json").exists():
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    build(store, folder, vectors, cleaning=ANY, progress=False)
                os._exit(0)
            spent += 0.04
            time.sleep(draw.uniform(0, 0.1) + spent)
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        build(store, folder, vectors, cleaning=ANY, progress=False)
        assert files(folder) == expected
        assert sorted(path.name for path in folder.iterdir()) == sorted([*expected, ".lock"])
    assert killed >= 3


def test_a_label_without_a_name_takes_no_word_and_is_no_word(maker, tmp_path):
    videos = [video for split in maker.whole().values() for video in split]
    with open(maker.folder / "text.jsonl", "w") as file:
        title = " ".join(f"label {number}" for number in range(len(NAMES)))
        file.writelines(json.dumps({"id": video.id, "title": title}) + "\n" for video in videos)
    (maker.folder / "vocabulary.csv").write_text("id,name\n" + "".join(f"{n},\n" for n in range(len(NAMES))))
    store = ingest(maker.folder, maker.schema, tmp_path / "store", progress=False)
    sentences = write_sentences(store, None, ANY, tmp_path / "sentences.txt")
    textset = build(store, tmp_path / "texts", train_vectors(sentences, tmp_path / "vectors"), cleaning=ANY)
    found = textset.counts("train").title
    assert found.known_words > 0 and found.removed_words == 0
    assert found.overlap.whole == found.overlap.labels == found.overlap.words == 0
    assert not report.commonest_label_words(store).words


def test_text_of_two_languages_has_words_of_both_and_label_words_of_either_are_removed(maker, tmp_path):
    made = maker.whole()
    videos = [video for split in made.values() for video in split]
    texts = [{"title": "The dog in the car", "language": "en"}, {"title": "El dog en la casa", "language": "es"}]
    with open(maker.folder / "text.jsonl", "w") as file:
        for number, video in enumerate(videos):
            file.write(json.dumps({"id": video.id} | texts[number % 2]) + "\n")
    (maker.folder / "vocabulary.csv").write_text("id,name\n" + "".join(f"{n},Dog\n" for n in range(len(NAMES))))
    store = ingest(maker.folder, maker.schema, tmp_path / "store", progress=False)
    for language, words in {"en": "dog car", "es": "dog casa en"}.items():
        lines = [f"{word} {number} 1\n" for number, word in enumerate(words.split())]
        (tmp_path / f"{language}.vec").write_text(f"{len(lines)} 2\n" + "".join(lines))
    vectors = open_any(f"en={tmp_path}/en.vec,es={tmp_path}/es.vec", tmp_path / "cache")
    cleaning = Cleaning(languages=("en", "es"))
    textset = build(store, tmp_path / "texts", vectors, cleaning=cleaning, progress=False)
    assert sorted(textset.words) == ["car", "dog", "es:casa", "es:dog", "es:en"] and textset.cleaning == cleaning
    assert textset.counts("train").title.not_english == 0
    kept = {textset.words[id] for id in textset.tokens("train", "title", "removed").values}
    labelled = {textset.words[id] for id in textset.tokens("train", "title").values}
    assert labelled == set(textset.words) and kept <= labelled
    rows = textset.vectors[[textset.words.index("dog"), textset.words.index("es:casa")]]
    assert rows.tolist() == [[0, 1], [1, 1]]
