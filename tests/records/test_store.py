"""An ingested store: what it says of itself, and how it notices that it is not whole."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest

from mmvid.records.ingest import ingest
from mmvid.records.shards import BATCH_BYTES, ShardWriter
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT


@pytest.fixture
def store(maker, tmp_path):
    maker.whole(frames=True)
    return ingest(maker.folder, maker.schema, tmp_path / "store")


def test_labels_of_a_split(store):
    labels, offsets = store.labels_of("train")
    expected = store.table("train").column("labels").to_pylist()
    assert [labels[a:b].tolist() for a, b in zip(offsets, offsets[1:], strict=False)] == expected
    assert labels.dtype == np.int32 and offsets.dtype == np.int64
    labels, offsets = store.labels_of("test")
    assert len(labels) == 0 and np.array_equal(offsets, np.zeros(store.count("test") + 1))


def test_other_readers_open_its_files(store):
    with pa.memory_map(str(store.folder / "train-00000.arrow")) as file:
        frame = pa.ipc.open_file(file).read_pandas()
    assert frame["id"][0].startswith("t0-") and frame["features.audio"][0].shape == (5,)


def test_what_it_says_of_itself(store):
    assert store.profile()["videos"] == {split: store.count(split) for split in store.splits}
    assert store.name == store.title == "small" and store.names[6] == "label 6"
    assert json.loads((store.folder / "manifest.json").read_text()) == store.manifest
    assert store.manifest["skipped"]["count"] == 0 and store.manifest["schema"]["classes"] == 7
    assert pickle.loads(pickle.dumps(store)).digest == store.digest
    with pytest.raises(ValueError, match="^split must be among train, dev, gate, validate, test, got 'trian'$"):
        store.count("trian")


def test_a_split_without_videos(maker, tmp_path):
    maker.write("train.tfrecord", maker.videos("t", 30))
    store = ingest(maker.folder, maker.schema, tmp_path / "store")
    assert store.count("validate") == 0 and len(store.has_text("validate")) == 0
    assert store.label_counts("validate").tolist() == [0] * 7 and store.labels_of("validate")[1].tolist() == [0]
    with pytest.raises(ValueError, match="^the data set has no videos in validate; there are train, dev, gate$"):
        store.table("validate")


def test_a_file_that_is_missing_short_or_changed_is_named(store):
    path = store.folder / store.contents.files[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    sentence = f"^{path}: the store's file must have {len(whole)} bytes, it has {len(whole) - 1}$"
    with pytest.raises(ValueError, match=sentence):
        Store.open(store.folder)
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path}: the store's file is missing$"):
        Store.open(store.folder)
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(ValueError, match=f"^{path}: the digest is .*, the manifest says "):
        Store.open(store.folder).verify()
    path.write_bytes(bytes(len(whole)))
    with pytest.raises(ValueError, match=f"^{path}: not an Arrow file: "):
        Store.open(store.folder).table("train")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: None, "is not a store: it has no manifest.json"),
        (lambda m: "{", "manifest.json: not JSON: "),
        (lambda m: "[]", "manifest.json: a manifest must be an object, got list"),
        (lambda m: json.dumps(m | {"format": 2}), "manifest.json: the store's format must be 1, got 2"),
        (lambda m: json.dumps(m | {"digest": 5}), "manifest.json: digest: Input should be a valid string"),
        (lambda m: json.dumps(m | {"more": 5}), "manifest.json: more must not be given"),
    ],
)
def test_manifests_that_do_not_fit(store, change, sentence):
    path = store.folder / "manifest.json"
    text = change(store.manifest)
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Store.open(store.folder)


def test_record_batches_are_bounded_in_bytes(maker, tmp_path):
    writer = ShardWriter(tmp_path / "train-00000.arrow", "train", maker.schema, {"visual": "uint8"})
    video = maker.video("a", frames=True)
    video = type(video)("a", video.labels, video.features, {"visual": np.zeros((300, 12), np.uint8)}, 300)
    with writer:
        for number in range(6000):
            writer.add(str(number), video, NO_TEXT)
    with pa.memory_map(str(writer.path)) as file:
        reader = pa.ipc.open_file(file)
        sizes = [reader.get_batch(number).nbytes for number in range(reader.num_record_batches)]
    assert sum(sizes) > 2 * BATCH_BYTES and max(sizes) <= BATCH_BYTES
    assert writer.entry.rows == writer.counts.videos == 6000
