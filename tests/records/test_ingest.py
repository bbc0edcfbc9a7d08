"""From TFRecords to a store: what arrives, what is refused and in which words, and text and names beside it."""

import gzip
import json
import struct

import numpy as np
import pytest

from mmvid.records.ingest import fingerprint, ingest
from mmvid.records.payloads import encode_video
from mmvid.records.schema import BadRecord, Video, mean_frame
from mmvid.records.splits import PAPER_DEV_SHARE, split_of
from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import CorruptRecord, read_records, write_records


def make(maker, folder, **options):
    return ingest(maker.folder, maker.schema, folder, **options)


def expected_split(video: Video, source: str) -> str:
    return split_of(video.id, source, has_dev=False, seed=0, share=PAPER_DEV_SHARE)


@pytest.mark.parametrize("frames", [False, True])
def test_every_video_arrives_with_all_it_has(maker, tmp_path, frames):
    made = maker.whole(frames=frames)
    store = make(maker, tmp_path / "store")
    for split in ("train", "dev", "gate", "validate", "test"):
        expected = [v for source in made for v in made[source] if expected_split(v, source) == split]
        assert store.count(split) == len(expected) > 0
        rows = store.table(split).to_pylist()
        assert [row["id"] for row in rows] == [video.id for video in expected]
        for row, video in zip(rows, expected, strict=True):
            assert row["labels"] == (None if video.labels is None else video.labels.tolist())
            assert row["num_frames"] == video.num_frames
            for modality in maker.schema.features:
                found, feature = row[f"features.{modality}"], video.features.get(modality)
                assert (found is None) == (feature is None)
                if feature is not None:
                    feature = mean_frame(video.frames[modality]) if frames else feature
                    assert np.array_equal(np.array(found, np.float32), feature)
                if frames and modality in video.frames:
                    assert np.array_equal(row[f"frames.{modality}"], video.frames[modality])
    assert store.shapes.features == {"visual": 12, "audio": 5}
    assert store.shapes.frames == ({"visual": 12, "audio": 5} if frames else {})
    labels = np.concatenate([v.labels for v in made["validate"]])
    assert np.array_equal(store.label_counts("validate"), np.bincount(labels, minlength=7))
    assert store.label_counts("test").sum() == 0 and store.counts("test").labelled == 0
    store.verify()


def test_a_dev_of_the_source_becomes_dev_and_gate(maker, tmp_path):
    maker.write("train/a.tfrecord", maker.videos("t", 50))
    maker.write("dev/a.tfrecord", maker.videos("d", 50))
    store = make(maker, tmp_path / "store")
    assert store.count("train") == 50 and store.count("dev") + store.count("gate") == 50
    assert store.count("gate") > 10 and store.splits == ["train", "dev", "gate"]


def test_a_modality_that_no_video_has_is_not_in_the_shapes(maker, tmp_path):
    maker.write("train.tfrecord", maker.videos("t", 20, without=("audio",)))
    assert make(maker, tmp_path / "store").shapes.features == {"visual": 12}


def test_hidden_ids_are_named_by_file_and_record(maker, tmp_path):
    maker.write("train.tfrecord", maker.videos("t", 20))
    maker.write("test1.tfrecord", [maker.video("", labels=False) for _ in range(3)])
    store = make(maker, tmp_path / "store")
    assert store.table("test").column("id").to_pylist() == [f"test1.tfrecord#{row}" for row in range(3)]
    assert store.contents.hidden_ids == 3


def test_gzip_shards_are_read(maker, tmp_path):
    path = maker.write("train.tfrecord", maker.videos("t", 30))
    plain = make(maker, tmp_path / "plain").table("train")
    path.with_name("train.tfrecord.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert make(maker, tmp_path / "packed").table("train").equals(plain)


def offsets(path) -> list[int]:
    return [offset for offset, _ in read_records(path)]


def example(**features) -> bytes:
    return encode_example({"id": [b"bad"], "labels": [1], "mean_rgb": np.zeros(12, np.float32)} | features)


BAD = {
    "label": (example(labels=[9]), "video 'bad': label 9 is outside 0 to 6, the classes of schema small"),
    "length": (example(mean_rgb=np.zeros(11, np.float32)), "video 'bad': 'mean_rgb' has 11 values, expected 12"),
    "not finite": (
        example(mean_rgb=np.array([0, np.nan] * 6, np.float32)),
        "video 'bad': 'mean_rgb' holds nan at position 1; values must be finite",
    ),
    "unreadable": (b"\x0a\xff\xff", "malformed Example at byte 3"),
    "id": (encode_example({"mean_rgb": np.zeros(12, np.float32)}), "no id under 'id' or 'video_id'"),
}


@pytest.fixture
def spoilt(maker):
    """A shard with a record that does not fit in its middle; the sentence it must give."""

    def spoil(payload: bytes):
        good = [encode_video(maker.schema, video) for video in maker.videos("t", 30)]
        maker.write("validate.tfrecord", maker.videos("v", 5))
        path = maker.folder / "train.tfrecord"
        write_records(path, [*good[:10], payload, *good[10:]])
        return path

    return spoil


@pytest.mark.parametrize("reason", BAD)
def test_a_record_that_does_not_fit_stops_the_ingest_with_one_sentence(maker, tmp_path, spoilt, reason):
    payload, what = BAD[reason]
    path = spoilt(payload)
    with pytest.raises(BadRecord) as caught:
        make(maker, tmp_path / "store")
    assert str(caught.value).startswith(f"{path}: record at byte {offsets(path)[10]}: {what}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert not list((tmp_path / "store").rglob("*.part")) and not list((tmp_path / "store").glob("train*"))


@pytest.mark.parametrize("reason", BAD)
def test_or_is_skipped_counted_and_listed(maker, tmp_path, spoilt, reason):
    payload, what = BAD[reason]
    path = spoilt(payload)
    store = make(maker, tmp_path / "store", on_error="skip")
    assert sum(store.count(split) for split in ("train", "dev", "gate")) == 30
    skipped = store.manifest["skipped"]
    assert skipped["count"] == 1 and skipped["reasons"] == {reason: 1}
    assert skipped["records"][0] | {"what": what} == {
        "file": "train.tfrecord",
        "byte": offsets(path)[10],
        "reason": reason,
        "what": what,
    }
    assert skipped["records"][0]["what"].startswith(what)


@pytest.mark.parametrize(
    ("damage", "reason", "lost", "sentence"),
    [
        (lambda data, at: data[: at + 40], "truncated", 20, "the file ends early"),
        (lambda data, at: data[: at + 30] + b"!" + data[at + 31 :], "payload checksum", 1, "payload checksum is"),
        (lambda data, at: data[:at] + b"!" + data[at + 1 :], "length checksum", 20, "length checksum is"),
        (
            lambda data, at: data[:at] + struct.pack("<QI", 1 << 60, 0) + data[at + 12 :],
            "length checksum",
            20,
            "length checksum is",
        ),
    ],
)
def test_damaged_files(maker, tmp_path, damage, reason, lost, sentence):
    path = maker.write("train.tfrecord", maker.videos("t", 30))
    at = offsets(path)[10]
    path.write_bytes(damage(path.read_bytes(), at))
    with pytest.raises(CorruptRecord) as caught:
        make(maker, tmp_path / "store")
    assert str(caught.value).startswith(f"{path}: record at byte {at}: {sentence}")
    store = make(maker, tmp_path / "store", on_error="skip")
    assert sum(store.count(split) for split in store.splits) == 30 - lost
    assert store.manifest["skipped"]["reasons"] == {reason: 1}


def test_levels_are_not_mixed_in_silence(maker, tmp_path):
    maker.write("train/a.tfrecord", maker.videos("t", 5))
    path = maker.write("train/b.tfrecord", maker.videos("f", 5, frames=True))
    fault = "has frames of 'visual', the data set's first record has none"
    sentence = f"^{path}: record at byte 0: video 'f-0000': {fault}$"
    with pytest.raises(BadRecord, match=sentence):
        make(maker, tmp_path / "store")


def test_frames_of_floats_are_kept_as_they_are(maker, tmp_path):
    frames = {"visual": maker.random.standard_normal((4, 12), np.float32)}
    maker.write("train.tfrecord", [Video(f"f{n}", np.array([1]), {}, frames, 4) for n in range(3)])
    store = make(maker, tmp_path / "store", dev_share=1e-9)
    assert np.array_equal(store.table("train").to_pylist()[0]["frames.visual"], frames["visual"])
    odd = maker.video("odd", frames=True, without=("audio",))
    maker.write("validate.tfrecord", [odd])
    with pytest.raises(BadRecord, match="video 'odd': frames of 'visual' are uint8, .* first record float$"):
        make(maker, tmp_path / "store")


def test_nothing_kept_is_an_error(maker, tmp_path):
    write_records(maker.write("train.tfrecord", []), [BAD["label"][0]])
    with pytest.raises(ValueError, match="no record of train could be kept, 1 were skipped; the first: video 'bad'"):
        make(maker, tmp_path / "store", on_error="skip")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", ["train/a.tfrecord", "train/b.tfrecord", "validate/a.tfrecord"])
def test_an_id_that_comes_twice_is_named_with_both_places(maker, tmp_path, workers, second):
    videos = {"train/a.tfrecord": maker.videos("a", 9), "validate/a.tfrecord": maker.videos("v", 9)}
    videos.setdefault(second, []).append(maker.video("a-0004"))
    for name, held in videos.items():
        maker.write(name, held)
    place = f"{maker.folder / second} \\(record {len(videos[second]) - 1}\\)"
    sentence = f"^video 'a-0004' comes twice: in {maker.folder}/train/a.tfrecord \\(record 4\\) and in {place}"
    with pytest.raises(ValueError, match=sentence):
        make(maker, tmp_path / "store", workers=workers, on_error="skip")


def test_errors_come_out_of_worker_processes_as_they_are(maker, tmp_path, spoilt):
    path = spoilt(BAD["label"][0])
    with pytest.raises(BadRecord, match=f"^{path}: record at byte .*: video 'bad': label 9 "):
        make(maker, tmp_path / "store", workers=2)


def test_the_same_bytes_with_any_number_of_workers(maker, tmp_path):
    maker.whole(frames=True)
    one, two = make(maker, tmp_path / "one"), make(maker, tmp_path / "two", workers=2)
    assert one.digest == two.digest and one.manifest == two.manifest
    for file in one.contents.files:
        assert (one.folder / file.name).read_bytes() == (two.folder / file.name).read_bytes()
    assert {path.name for path in two.folder.iterdir()} == {path.name for path in one.folder.iterdir()}


def test_made_once_and_replaced_when_the_input_changes(maker, tmp_path):
    maker.whole()
    first = make(maker, tmp_path / "store")
    stamp = (first.folder / "manifest.json").stat().st_mtime_ns
    assert make(maker, tmp_path / "store").digest == first.digest
    assert (first.folder / "manifest.json").stat().st_mtime_ns == stamp
    assert make(maker, tmp_path / "store", seed=1).digest != first.digest
    (maker.folder / "train/train02.tfrecord").unlink()
    last = make(maker, tmp_path / "store")
    assert not (last.folder / "train-00002.arrow").exists()
    assert last.count("validate") == first.count("validate")


def test_a_folder_with_other_things_is_left_alone(maker, tmp_path):
    maker.whole()
    with pytest.raises(ValueError, match="^folder must be empty or a store, .* holds 'test' and no manifest.json$"):
        make(maker, maker.folder)


def write_text(maker, rows, name="text.jsonl"):
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (maker.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_text_is_joined_by_id(maker, tmp_path):
    maker.write("train.tfrecord", maker.videos("t", 6))
    rows = [
        {"id": "t-0001", "title": "Кошка 🐈 \u0000", "keywords": ["cat", " dog ", ""], "language": "ru", "split": "x"},
        {"id": "t-0003", "title": "  ", "keywords": "one, two words,, three"},
        {"id": "t-0004", "title": None, "keywords": []},
        {"id": "t-0005", "title": "only a title"},
        {"id": "elsewhere", "title": "no such video"},
    ]
    write_text(maker, rows)
    store = make(maker, tmp_path / "store", dev_share=1e-9)
    found = store.table("train").select(["title", "keywords", "language"]).to_pylist()
    nothing = {"title": None, "keywords": None, "language": None}
    assert found[1] == {"title": "Кошка 🐈 \u0000", "keywords": ["cat", "dog"], "language": "ru"}
    assert found[3] == nothing | {"keywords": ["one", "two words", "three"]}
    assert found[0] == found[2] == found[4] == nothing and found[5] == nothing | {"title": "only a title"}
    assert store.has_text("train").tolist() == [False, True, False, True, False, True]
    groups = store.text_groups("train")
    assert np.flatnonzero(groups["with_text"]).tolist() == [1, 3, 5]
    assert np.flatnonzero(groups["without_text"]).tolist() == [0, 2, 4]
    counts, text = store.counts("train"), store.contents.text
    assert (counts.title, counts.keywords, counts.text) == (2, 2, 3)
    assert (text.rows, text.joined, text.no_video) == (5, 4, 1)
    without = make(maker, tmp_path / "without", text="none", dev_share=1e-9)
    assert without.contents.text is None and not without.has_text("train").any()
    assert without.text_groups("train") == {}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"id": "a", ', "line 2: not JSON: "),
        ("[1]", "line 2: must be an object with an id, got list"),
        ({"title": "x"}, "line 2: must have an id, a string that is not empty"),
        ({"id": 7}, "line 2: id must hold text, got 7"),
        ({"id": "a", "title": ["x"]}, r"line 2: title must hold text, got \['x'\]"),
        ({"id": "a", "keywords": [1]}, "line 2: keywords must hold text, got 1"),
        ({"id": "a", "keywords": 5}, "line 2: keywords must be a list of strings or one string, got 5"),
        ('{"id": "a", "title": "\\ud800"}', "line 2: title holds half of a surrogate pair"),
        ({"id": "t-0001"}, "id 't-0001' stands on lines 1 and 2; an id has one line"),
    ],
)
def test_text_that_does_not_fit_names_file_and_line(maker, tmp_path, row, sentence):
    maker.write("train.tfrecord", maker.videos("t", 3))
    write_text(maker, [{"id": "t-0001"}, row], "words.jsonl")
    path = maker.folder / "words.jsonl"
    with pytest.raises(ValueError, match=f"^{path}: {sentence}"):
        make(maker, tmp_path / "store", text=path)


@pytest.mark.parametrize("header", ["index,mid,display_name", "Index,TrainVideoCount,Name", "label_id,x,label_name"])
def test_names_of_labels(maker, tmp_path, header):
    maker.write("train.tfrecord", maker.videos("t", 20))
    names = ["Game", "Car, red", "Game", "Ünë", "", "e", "f"]
    rows = [f'{label},9,"{name}"' for label, name in enumerate(names)]
    (maker.folder / "vocabulary.csv").write_text("\n".join([header, *reversed(rows)]), encoding="utf-8")
    assert make(maker, tmp_path / "a").names == ["Game", "Car, red", "Game", "Ünë", "label 4", "e", "f"]
    assert make(maker, tmp_path / "b", vocabulary="none").names[:2] == ["label 0", "label 1"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("index,name\n0,a\n1,b", ": must name the labels 0 to 6 of the schema, names 2 labels up to 1"),
        ("index,name\n", ": must name the labels 0 to 6 of the schema, names no labels"),
        ("number,name\n0,a", ": the header must have a column index or label_id or id, it has number, name"),
        ("", ": the header must have a column index or label_id or id, it has nothing"),
        ("index,name\n0,a\n0,b", ": line 3: label 0 stands here a second time"),
        ("index,name\n0,a\nx,b", ": line 3: a label's id must be a whole number, got 'x'"),
        ("index,name\n0,a\n1", ": line 3: must have at least 2 fields, has 1"),
    ],
)
def test_vocabularies_that_do_not_fit(maker, tmp_path, text, sentence):
    maker.write("train.tfrecord", maker.videos("t", 3))
    path = maker.folder / "names.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}{sentence}$"):
        make(maker, tmp_path / "store", vocabulary=path)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"text": "nowhere.jsonl"}, "^text must be auto, none or a file, there is none at nowhere.jsonl$"),
        ({"vocabulary": "no.csv"}, "^vocabulary must be auto, none or a file, there is none at no.csv$"),
        ({"dev_share": 1}, "^dev_share must be between 0 and 1, got 1$"),
        ({"workers": 0}, "^workers must be at least 1, got 0$"),
        ({"on_error": "ignore"}, "^on_error must be stop or skip, got 'ignore'$"),
    ],
)
def test_options_that_do_not_fit(maker, tmp_path, option, sentence):
    maker.write("train.tfrecord", maker.videos("t", 3))
    with pytest.raises(ValueError, match=sentence):
        make(maker, tmp_path / "store", **option)


def test_the_fingerprint_moves_with_all_that_is_read_and_nothing_else(maker, tmp_path):
    maker.whole()
    schema = tmp_path / "schema.yaml"
    text = "name: s\nclasses: {}\nfeatures:\n  visual: {{size: 4, mean: m}}\n"
    schema.write_text(text.format(3))
    seen = [fingerprint(maker.folder, schema=schema)]
    (maker.folder / "README.md").write_text("not read")
    assert fingerprint(maker.folder, schema=schema) == seen[0]
    write_text(maker, [{"id": "a"}])
    seen.append(fingerprint(maker.folder, schema=schema))
    (maker.folder / "vocabulary.csv").write_text("index,name")
    seen.append(fingerprint(maker.folder, schema=schema))
    maker.write("train/train09.tfrecord", maker.videos("n", 3))
    seen.append(fingerprint(maker.folder, schema=schema))
    schema.write_text(text.format(4))
    seen += [fingerprint(maker.folder, schema=schema), fingerprint(maker.folder, schema=schema, text="none")]
    assert len(set(seen)) == len(seen) == 6


def test_audioset(shared, tmp_path):
    """A real shard for each split, with the captions of MusicCaps."""
    source = shared / "data" / "audioset"
    data = tmp_path / "audioset"
    for split in ("train", "dev", "validate"):
        (data / split).mkdir(parents=True)
        (data / split / f"{split}00.tfrecord").symlink_to(source / split / f"{split}00.tfrecord")
    for name in ("text.jsonl", "class_labels_indices.csv"):
        (data / name).symlink_to(source / name)
    store = ingest(data, "audioset", tmp_path / "store")
    records = {split: sum(1 for _ in read_records(data / split / f"{split}00.tfrecord")) for split in ("train", "dev")}
    assert store.count("train") == records["train"]
    assert store.count("dev") + store.count("gate") == records["dev"]
    assert store.shapes.features == store.shapes.frames == {"audio": 128}
    assert store.names[0] == "Speech" and store.names[137] == "Music" and len(store.names) == 527
    assert store.contents.text.rows == 2663
    assert store.contents.text.joined == sum(int(store.has_text(split).sum()) for split in store.splits) > 600
    row = store.table("train").slice(5, 1).to_pylist()[0]
    frames = np.array(row["frames.audio"], np.uint8)
    assert frames.shape[0] == row["num_frames"] and np.array_equal(mean_frame(frames), row["features.audio"])


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_an_empty_shard_is_a_fault_or_counted(maker, tmp_path, on_error):
    maker.whole()
    path = maker.folder / "train" / "train99.tfrecord"
    path.write_bytes(b"")
    if on_error == "stop":
        with pytest.raises(CorruptRecord, match=f"^{path}: record at byte 0: the file is empty$"):
            make(maker, tmp_path / "store")
        return
    skipped = make(maker, tmp_path / "store", on_error="skip").contents.skipped
    assert skipped.count == 1 and skipped.records[0].what == "the file is empty"
