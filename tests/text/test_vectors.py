"""Word vectors: every format read as gensim reads it, nothing run from a file, one clear sentence for each fault."""

import gzip
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from gensim.models import Word2Vec
from gensim.models.keyedvectors import KeyedVectors

from mmvid.text import vectors
from mmvid.text.vectors import WordVectors, open_vectors, train_vectors

WORDS = ["the", "Cat", "naïve", "貓", "new\u2028line", "a"]


@pytest.fixture
def keyed() -> KeyedVectors:
    made = KeyedVectors(7)
    made.add_vectors(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 7)).astype(np.float32))
    return made


def check(found: WordVectors, keyed: KeyedVectors) -> None:
    assert found.words == keyed.index_to_key and found.size == keyed.vector_size and len(found) == len(WORDS)
    np.testing.assert_array_equal(np.asarray(found.keyed.vectors), keyed.vectors)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_the_formats_of_word2vec_are_read_as_gensim_reads_them(keyed, tmp_path, binary, packed):
    path = tmp_path / ("file.gz" if packed else "file")
    keyed.save_word2vec_format(path, binary=binary)
    check(open_vectors(str(path), tmp_path / "cache"), KeyedVectors.load_word2vec_format(path, binary=binary))


def test_line_breaks_after_the_vectors_of_the_original_tool_are_read(keyed, tmp_path):
    records = [word.encode() + b" " + keyed[word].tobytes() + b"\n" for word in WORDS]
    (tmp_path / "file.bin").write_bytes(f"{len(WORDS)} 7\n".encode() + b"".join(records))
    check(open_vectors(str(tmp_path / "file.bin"), tmp_path / "cache"), keyed)


@pytest.mark.parametrize("beside", [True, False])
def test_gensims_own_format_is_read_and_a_large_array_is_not_copied(keyed, tmp_path, beside):
    path = tmp_path / "file.kv"
    keyed.save(str(path), sep_limit=0 if beside else 1 << 30)
    found = open_vectors(str(path), tmp_path / "cache")
    check(found, keyed)
    (folder,) = (each for each in (tmp_path / "cache").iterdir() if each.is_dir())
    assert (folder / "vectors.npy").is_symlink() == beside and isinstance(found.keyed.vectors, np.memmap)
    assert found.keyed.most_similar("the", topn=2) == keyed.most_similar("the", topn=2)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_nothing_is_run_from_a_pickle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.kv").write_bytes(pickle.dumps(Harmful(), protocol=4))
    with pytest.raises(ValueError, match="must hold gensim's KeyedVectors and nothing else, it has posix.system"):
        open_vectors("bad.kv", tmp_path / "cache")
    assert not (tmp_path / "harmed").exists()
    Word2Vec([["a", "b"]], min_count=1, vector_size=4).save(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="it has gensim.models.word2vec.Word2Vec; of a whole model save `model.wv`"):
        open_vectors(str(tmp_path / "model"), tmp_path / "cache")


@pytest.mark.parametrize("state", [{"index_to_key": ["a"]}, ["a"], {"index_to_key": [3], "vectors": None}])
def test_a_pickle_of_something_else_is_refused(tmp_path, state):
    (tmp_path / "file.kv").write_bytes(pickle.dumps(state, protocol=4))
    with pytest.raises(ValueError, match=r"file.kv: not word vectors of gensim 4"):
        open_vectors(str(tmp_path / "file.kv"), tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a file of word vectors with a first line `words size`, it has ''"),
        (b"\x00\x01 not vectors", "must be a file of word vectors with a first line"),
        (b"0 3\n", "must have words of 1 to 65536 numbers, it says 0 of 3"),
        (b"2 3\na 1 2 3\n", "says 2 words, the file holds 1; it is cut off"),
        (b"1 3\na 1 2 3\nb 1 2 3\n", "says 1 words, the file holds 2$"),
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3 must be a word and 3 numbers, it has 2"),
        (b"2 3\na 1 2 3\nb 1 x 3\n", "line 3 must be a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 1 inf 3\n", "the vector of 'b' must have finite numbers"),
        (b"2 1\na " + bytes(4) + b"b " + bytes(3), "says 2 words, the file holds 1; it is cut off"),
        (b"1 1\na " + bytes(4) + b"more", "goes on after the 1 words of its first line"),
        (b"9 1\n" + b"a" * 5000, "word 1 has no end"),
    ],
)
def test_what_is_no_file_of_word_vectors_is_told(tmp_path, content, sentence):
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as raised:
        open_vectors(str(path), tmp_path / "cache")
    assert str(path) in str(raised.value)
    assert [each for each in (tmp_path / "cache").iterdir() if each.is_dir()] == []


def test_a_gzip_file_that_is_cut_off_is_told(keyed, tmp_path):
    keyed.save_word2vec_format(tmp_path / "whole", binary=True)
    packed = gzip.compress((tmp_path / "whole").read_bytes())
    for length in (len(packed) // 2, len(packed) - 4):
        (tmp_path / "cut.gz").write_bytes(packed[:length])
        with pytest.raises(ValueError, match=r"cut.gz: the gzip file is cut off or damaged"):
            open_vectors(str(tmp_path / "cut.gz"), tmp_path / "cache")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="^vectors must be a file of word vectors, there is none at"):
        open_vectors(str(tmp_path / "none.bin"), tmp_path / "cache")


def test_words_that_cannot_be_kept_are_counted(tmp_path, capsys):
    values = np.arange(4, dtype="<f4")
    records = [b"a", b"b\xff", b"a", b"c"]
    content = b"".join(word + b" " + values[i : i + 1].tobytes() for i, word in enumerate(records))
    (tmp_path / "file.bin").write_bytes(b"4 1\n" + content)
    found = open_vectors(str(tmp_path / "file.bin"), tmp_path / "cache")
    assert found.words == ["a", "c"] and found["a"] == [0] and found["c"] == [3]
    assert "words left out of" in capsys.readouterr().err


def test_a_word_with_a_carriage_return_is_a_word(tmp_path):
    values = np.arange(2, dtype="<f4")
    (tmp_path / "file.bin").write_bytes(b"2 1\na\rb " + values[:1].tobytes() + b"c " + values[1:].tobytes())
    assert open_vectors(str(tmp_path / "file.bin"), tmp_path / "cache").words == ["a\rb", "c"]


def test_a_file_is_converted_once_and_anew_when_it_changes(keyed, tmp_path, capsys):
    path = tmp_path / "file.bin"
    keyed.save_word2vec_format(path, binary=True)
    first = open_vectors(str(path), tmp_path / "cache")
    assert "is converted once" in capsys.readouterr().err
    again = open_vectors(str(path), tmp_path / "cache")
    assert capsys.readouterr().err == "" and again.digest == first.digest
    keyed.add_vectors(["more"], np.ones((1, 7), np.float32))
    keyed.save_word2vec_format(path, binary=True)
    assert open_vectors(str(path), tmp_path / "cache").digest != first.digest


def test_words_and_rows(keyed, tmp_path):
    keyed.save_word2vec_format(tmp_path / "file", binary=True)
    found = open_vectors(str(tmp_path / "file"), tmp_path / "cache")
    rows = found.rows(["Cat", "cat", "貓"])
    assert rows.tolist() == [1, -1, 3] and rows.dtype == np.int64
    np.testing.assert_array_equal(found.of(rows[rows >= 0]), keyed[["Cat", "貓"]])
    with pytest.raises(ValueError, match="^rows must be at least 0 and below 6"):
        found.of(rows)
    with pytest.raises(ValueError, match="has no vector of 'cat'$"):
        found["cat"]


def test_a_damaged_conversion_is_told(keyed, tmp_path):
    keyed.save_word2vec_format(tmp_path / "file", binary=True)
    open_vectors(str(tmp_path / "file"), tmp_path)
    (folder,) = (each for each in tmp_path.iterdir() if each.is_dir())
    (folder / "words.txt").write_text("a\n")
    with pytest.raises(ValueError, match="the converted word vectors are damaged, remove the folder"):
        open_vectors(str(tmp_path / "file"), tmp_path)


def test_the_real_vectors_are_read_as_gensim_reads_them(shared, tmp_path):
    path = shared / "data" / "vectors" / "english-300d.bin.gz"
    found = open_vectors(str(path), tmp_path)
    theirs = KeyedVectors.load_word2vec_format(path, binary=True)
    assert found.words == theirs.index_to_key and found.size == 300
    np.testing.assert_array_equal(np.asarray(found.keyed.vectors), theirs.vectors)


TRAIN = """
import sys, pathlib
from mmvid.text.vectors import train_vectors
texts = [[f"w{(i * j) % 23}" for j in range(1, 9)] for i in range(200)]
print(train_vectors(texts, pathlib.Path(sys.argv[1]), size=12, epochs=2).digest)
"""


def test_trained_vectors_are_the_same_in_every_process(tmp_path):
    digests = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", TRAIN, str(tmp_path / seed)]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        digests.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert digests[0] == digests[1]
    assert WordVectors.open(tmp_path / "1").digest == digests[0].strip()


def test_words_that_stand_together_get_vectors_that_lie_together(tmp_path, capsys):
    random = np.random.default_rng(0)
    groups = [[f"{group}{i}" for i in range(5)] for group in "ab"]
    texts = [list(random.choice(groups[i % 2], 6)) for i in range(600)]
    found = train_vectors(texts, tmp_path / "made", size=16)
    assert "trained on the data set's own text" in capsys.readouterr().err
    assert {word[0] for word, _ in found.keyed.most_similar("a0", topn=4)} == {"a"}
    with pytest.raises(ValueError, match="^no word occurs 2 times"):
        train_vectors([["once"]], tmp_path / "none")


def test_google_news_would_fit_the_header():
    assert len(vectors._header(3_000_000, 300)) == len(vectors._header(1, 1)) == 128
