"""The words in batches: what the text set holds for each video, cut, renumbered, and only where there are some."""

import json

import numpy as np
import pytest
from gensim.models.keyedvectors import KeyedVectors

from mmvid.records import ingest
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.records.textset import TextSet, building
from mmvid.records.words import Words, numbers_for, word_counts
from mmvid.text.fields import Cleaning
from mmvid.text.vectors import open_vectors

KNOWN = ["red", "green", "blue", "dog", "cat", "house"]


@pytest.fixture
def texts(maker) -> dict[str, list[str]]:
    """The title of each video that has one: words of `KNOWN` and others."""
    made = maker.whole()
    random = np.random.default_rng(1)
    titles = {}
    for number, video in enumerate(video for split in made.values() for video in split):
        if number % 3:
            count = int(random.integers(1, 7))
            titles[video.id] = list(map(str, random.choice([*KNOWN[: 4 + number % 3], "unknownword"], count)))
    rows = [
        {"id": id, "title": " ".join(words), "keywords": words[:1], "language": "en"} for id, words in titles.items()
    ]
    (maker.folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return titles


@pytest.fixture
def opened(maker, texts, tmp_path) -> tuple[Store, TextSet]:
    (maker.folder / "vocabulary.csv").write_text("id,name\n" + "".join(f"{i},{n}\n" for i, n in enumerate("abcdefg")))
    (maker.folder / "schema.yaml").write_text(json.dumps(maker.schema.model_dump(mode="json", by_alias=True)))
    store = ingest.ingest(
        str(maker.folder), str(maker.folder / "schema.yaml"), tmp_path / "store", dev_share=0.2, seed=0
    )
    keyed = KeyedVectors(3)
    keyed.add_vectors(KNOWN, np.random.default_rng(2).normal(size=(len(KNOWN), 3)).astype(np.float32))
    keyed.save_word2vec_format(tmp_path / "vectors.bin", binary=True)
    vectors = open_vectors(str(tmp_path / "vectors.bin"), tmp_path / "cache")
    return store, building.build(store, tmp_path / "text", vectors, cleaning=Cleaning(), progress=False)


def read(loader: Loader, textset: TextSet, field: str = "title") -> dict[str, list[str]]:
    """The words of each video that a loader gives."""
    names = ["", *textset.words]
    found = {}
    for batch in loader:
        words, lengths = batch.tokens[field], batch.token_lengths[field]
        for row, id in enumerate(batch.ids):
            length = int(lengths[row])
            found[id] = [names[word] for word in words[row, :length]]
            assert not words[row, length:].any() and batch.presence[field][row] == (length > 0)
    return found


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_the_known_words_of_their_videos(opened, texts, shuffle):
    store, textset = opened
    for split in ("train", "dev", "validate"):
        loader = Loader(store, split, 9, modalities=[], words=Words(textset, ("title", "keywords")), shuffle=shuffle)
        found = read(loader, textset)
        assert len(found) == store.count(split)
        assert found == {id: [word for word in texts.get(id, []) if word in KNOWN] for id in found}


def test_texts_are_cut_and_counted(opened, texts):
    store, textset = opened
    words = Words(textset, ("title",), longest=2)
    found = read(Loader(store, "train", 9, modalities=[], words=words), textset)
    whole = {id: [word for word in texts.get(id, []) if word in KNOWN] for id in found}
    assert found == {id: each[:2] for id, each in whole.items()}
    assert words.cut("train") == {"title": sum(len(each) > 2 for each in whole.values())}


def test_only_videos_with_words_are_read_where_that_is_asked(opened):
    store, textset = opened
    words = Words(textset, ("title",))
    every = read(Loader(store, "train", 9, modalities=[], words=words), textset)
    loader = Loader(store, "train", 9, modalities=["visual"], words=words, only_with_words=True, shuffle=True)
    found = read(loader, textset)
    assert found == {id: each for id, each in every.items() if each} and 0 < loader.count < len(every)
    plain = {id: row for batch in Loader(store, "train", 50) for id, row in zip(batch.ids, batch.labels, strict=True)}
    for batch in loader:  # labels and features are those of the same videos
        assert all((plain[id] == row).all() for id, row in zip(batch.ids, batch.labels, strict=True))


def test_another_models_numbers_are_used(opened):
    store, textset = opened
    own = ["house", "nowhere", "dog"]
    words = Words(textset, ("title",), longest=3, numbers=numbers_for(textset, own))
    plain = read(Loader(store, "train", 9, modalities=[], words=Words(textset, ("title",))), textset)
    seen = {}
    for batch in Loader(store, "train", 9, modalities=[], words=words):
        for row, id in enumerate(batch.ids):
            seen[id] = [own[word - 1] for word in batch.tokens["title"][row] if word]
    assert seen == {id: [word for word in each if word in own][:3] for id, each in plain.items()}
    ids = [id for batch in Loader(store, "train", 9, modalities=[]) for id in batch.ids]
    assert words.known("train").tolist() == [bool(seen[id]) for id in ids]
    assert numbers_for(textset, textset.words) is None


def test_words_are_counted(opened):
    store, textset = opened
    plain = read(Loader(store, "train", 9, modalities=[], words=Words(textset, ("title",))), textset)
    every = [word for each in plain.values() for word in each]
    assert word_counts(Words(textset, ("title",))).tolist() == [every.count(word) for word in textset.words]


def test_a_text_set_must_be_there_and_of_the_store(opened, maker, tmp_path):
    store, textset = opened
    with pytest.raises(ValueError, match="^a text set must be given for the words of title and keywords to be read$"):
        Loader(store, "train", 9, words=Words(fields=("title", "keywords")))
    maker.write("validate/validate01.tfrecord", maker.videos("w", 5))
    schema = str(maker.folder / "schema.yaml")
    other = ingest.ingest(str(maker.folder), schema, tmp_path / "other", dev_share=0.2, seed=0)
    with pytest.raises(ValueError, match="must be the text set of .*, it is another store's$"):
        Loader(other, "train", 9, words=Words(textset, ("title",)))
