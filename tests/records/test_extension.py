"""More features beside a store: they read as columns of it, and are the same bytes however often they were stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmvid.records import extension, ingest
from mmvid.records.loader import Loader
from mmvid.records.store import Store

SIZES = {"title": 6, "keywords": 3}
MADE = {"by": "a test"}


@pytest.fixture
def store(maker, tmp_path) -> Store:
    maker.whole(frames=False)
    return ingest.ingest(str(maker.folder), str(write_schema(maker)), tmp_path / "store", dev_share=0.2, seed=0)


def write_schema(maker):
    (maker.folder / "vocabulary.csv").write_text("id,name\n" + "".join(f"{i},{n}\n" for i, n in enumerate("abcdefg")))
    path = maker.folder / "schema.yaml"
    path.write_text(maker.schema.model_dump_json(by_alias=True))
    return path


def drawn(split: str, row: int, modality: str) -> np.ndarray | None:
    """What a video has, or None: depends on the row alone."""
    random = np.random.default_rng([len(split), row, len(modality)])
    vector = random.standard_normal(SIZES[modality], np.float32)
    return None if random.random() < 0.4 else vector


def make(split: str, rows: np.ndarray) -> extension.Made:
    answer = {}
    for modality, size in SIZES.items():
        found = [drawn(split, row, modality) for row in rows]
        # What is not there must not be read: NaN in its place.
        values = np.array([np.full(size, np.nan, np.float32) if each is None else each for each in found])
        answer[modality] = values, np.array([each is not None for each in found])
    return answer


def extend(store: Store, folder, make=make, request: str = "r") -> Store:
    return extension.extend(store, folder, SIZES, make, request=request, made=MADE, progress=False)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_loader_reads_the_features_beside_the_store_s_own(store, tmp_path, monkeypatch, size):
    monkeypatch.setattr(extension, "BATCH_BYTES", 18 * 5)  # five videos a record batch
    extended = extend(store, tmp_path / "more")
    assert Store.open(tmp_path / "more").shapes.features == store.shapes.features | SIZES
    assert extended.base.digest == store.digest != extended.digest and store.base is store
    extended.verify()
    for split in store.splits:
        own, whole = (list(Loader(each, split, size, shuffle=True, seed=3)) for each in (store, extended))
        rows = {id: row for row, id in enumerate(store.table(split).column("id").to_pylist())}
        for less, more in zip(own, whole, strict=True):
            assert list(less.ids) == list(more.ids)
            assert less.labels is None or less.labels.equal(more.labels)
            for modality, values in less.features.items():
                assert values.equal(more.features[modality])
                assert less.presence[modality].equal(more.presence[modality])
            for modality in SIZES:
                expected = [drawn(split, rows[id], modality) for id in more.ids]
                assert more.presence[modality].tolist() == [each is not None for each in expected]
                zeros = np.zeros(SIZES[modality], np.float16)
                exact = np.array([zeros if each is None else each.astype(np.float16) for each in expected])
                assert np.array_equal(more.features[modality].numpy(), exact.astype(np.float32))
        counts = extended.counts(split)
        assert counts.features["title"] == sum(drawn(split, row, "title") is not None for row in range(counts.videos))


def test_a_stopped_call_goes_on(store, tmp_path):
    expected = extend(store, tmp_path / "undisturbed")
    asked = []

    def failing(split: str, rows: np.ndarray) -> extension.Made:
        asked.append((split, rows[0]))
        if len(asked) == 3:
            raise OSError("no space left on device")
        return make(split, rows)

    with pytest.raises(OSError, match="^no space left"):
        extend(store, tmp_path / "more", failing)
    with pytest.raises(ValueError, match="no manifest.json"):
        Store.open(tmp_path / "more")
    assert extend(store, tmp_path / "more", failing).digest == expected.digest
    assert len(asked) - 1 == len(set(asked)) == len(store.contents.files)  # only the third was asked for again
    assert sorted(path.name for path in (tmp_path / "more").iterdir()) == sorted(
        [".lock", "manifest.json", *(file.name for file in store.contents.files)]
    )
    extend(store, tmp_path / "more", lambda split, rows: 1 / 0)  # found, not made again
    with pytest.raises(ZeroDivisionError):
        extend(store, tmp_path / "more", lambda split, rows: 1 / 0, request="another")


CHILD = """
import sys, time
sys.path[:0] = [sys.argv[3]]
from test_extension import extend, make
from mmvid.records.store import Store

def slow(split, rows):
    time.sleep(1)  # long enough to be killed meanwhile on a busy machine
    return make(split, rows)

print("ready", flush=True)
extend(Store.open(sys.argv[1]), __import__("pathlib").Path(sys.argv[2]), slow)
"""


def test_a_killed_process_leaves_what_can_be_gone_on_with(store, tmp_path):
    expected = extend(store, tmp_path / "undisturbed")
    words = [sys.executable, "-c", CHILD, store.folder, tmp_path / "more", Path(__file__).parent]
    child = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 600
    while not list((tmp_path / "more").glob(f"{extension.STATE}/*.json")):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "more" / "manifest.json").exists()
    again = extend(store, tmp_path / "more")
    assert again.digest == expected.digest
    again.verify()


def test_what_does_not_fit_is_told(store, tmp_path):
    extended = extend(store, tmp_path / "more")
    with pytest.raises(ValueError, match="has title already; more features must have other names$"):
        extend(extended, tmp_path / "twice")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="^folder must be empty or hold features, .* holds 'notes.txt'"):
        extend(store, tmp_path / "other")
    with pytest.raises(ValueError, match="is a store of its own; features to add to one must go elsewhere$"):
        extend(store, store.folder)
    first = tmp_path / "more" / extended.contents.files[0].name
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(ValueError, match="the store's file must have"):
        Store.open(tmp_path / "more")


def test_features_of_a_store_that_was_made_anew_are_refused(maker, store, tmp_path):
    extend(store, tmp_path / "more")
    maker.write("train/train01.tfrecord", maker.videos("new", 25))
    ingest.ingest(str(maker.folder), str(write_schema(maker)), tmp_path / "store", dev_share=0.2, seed=0)
    with pytest.raises(ValueError, match="has features of the videos of store [0-9a-f]{32}; .* is [0-9a-f]{32} now$"):
        Store.open(tmp_path / "more")


def test_numbers_beyond_half_precision_are_told(store, tmp_path, capsys):
    def large(split: str, rows: np.ndarray) -> extension.Made:
        there = np.ones(len(rows), bool)
        return {modality: (np.full((len(rows), size), 1e9), there) for modality, size in SIZES.items()}

    extended = extend(store, tmp_path / "more", large)
    count = sum(extended.count(split) for split in extended.splits) * sum(SIZES.values())
    assert f"{count} numbers beyond 65504, the range of half precision, were set to it" in capsys.readouterr().err
    assert (next(iter(Loader(extended, "dev", 4))).features["title"] == 65504).all()
