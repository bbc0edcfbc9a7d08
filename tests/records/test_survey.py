"""What a survey says about records is what plain loops over them say."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmvid.records.ingest import ingest
from mmvid.records.schema import load_schema
from mmvid.records.survey.findings import interpret
from mmvid.records.survey.scan import MOST_KEYS, find_files, survey_files, survey_store
from mmvid.records.survey.tally import LONGEST, Bytes, Floats, Integers, Lengths, Strings
from mmvid.tfrecords.encode import encode_example, encode_sequence_example
from mmvid.tfrecords.framing import read_records, write_records


def survey(*paths, **options):
    return survey_files(list(paths), progress=False, **options)


def written(path: Path, payloads) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, payloads)
    return path


@given(st.lists(arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)), max_size=6))
def test_floats_are_counted_as_plain_numpy_counts_them(blocks):
    tally = Floats()
    finite = [bool(np.isfinite(block).all()) for block in blocks]
    assert [tally.add(block) for block in blocks] == finite
    values = np.concatenate([np.empty(0, np.float32), *blocks])
    kept = values[np.isfinite(values)].astype(np.float64)
    summary = tally.summary(bins=5)
    assert (summary.nan, summary.infinite) == (np.isnan(values).sum(), np.isinf(values).sum())
    assert (summary.count, summary.zeros) == (len(kept), (kept == 0).sum())
    assert summary.histogram.sum() == len(kept)
    if len(kept):
        assert (summary.low, summary.high) == (kept.min(), kept.max())
        assert summary.mean == pytest.approx(kept.mean(), rel=1e-9, abs=1e-9 * np.abs(kept).max())


def test_a_histogram_is_numpys_to_the_width_of_its_codes():
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    tally = Floats()
    tally.add(values)
    summary = tally.summary(bins=20)
    edges = summary.edges
    assert edges == pytest.approx(np.quantile(values, [0.001, 0.999]), rel=0.01)
    plain, _ = np.histogram(values.clip(*edges), 20, edges)
    assert np.abs(summary.histogram - plain).max() < 0.03 * plain.max()


@given(st.lists(arrays(np.uint8, st.integers(0, 30)), max_size=5))
def test_bytes_are_counted_as_plain_numpy_counts_them(blocks):
    tally = Bytes()
    for block in blocks:
        tally.add(block)
    values = np.concatenate([np.empty(0, np.uint8), *blocks])
    assert tally.counts.tolist() == np.bincount(values, minlength=256).tolist()
    summary = tally.summary()
    assert (summary.count, summary.zeros) == (len(values), (values == 0).sum())
    if len(values):
        assert (summary.low, summary.high) == (values.min(), values.max())
        assert summary.mean == pytest.approx(values.mean())


@given(st.lists(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 9), max_size=5), max_size=5))
def test_integers_are_counted_one_by_one_unless_too_wide(blocks):
    tally = Integers()
    for block in blocks:
        tally.add(np.array(block, np.int64))
    values = [value for block in blocks for value in block]
    narrow = all(0 <= value < 1 << 20 for value in values)
    assert (tally.counts is not None) == narrow
    if values:
        assert (tally.low, tally.high, tally.zeros) == (min(values), max(values), values.count(0))
        if narrow:
            assert tally.counts.tolist() == np.bincount(values).tolist()


@given(st.lists(st.integers(0, 500), min_size=1))
def test_bins_of_lengths_hold_each_length_once(lengths):
    tally = Lengths()
    for length in lengths:
        tally.add(length)
    bins = tally.bins(most=7)
    assert len(bins) <= 7 and sum(count for _, count in bins) == len(lengths)
    for word, count in bins:
        low, _, high = word.partition("-")
        assert count == sum(int(low) <= length <= int(high or low) for length in lengths)
    assert (tally.low, tally.high, tally.mean) == (min(lengths), max(lengths), pytest.approx(np.mean(lengths)))


def test_endless_lengths_share_one_count():
    tally = Lengths()
    for length in (LONGEST + 5, LONGEST + 9, 3):
        tally.add(length)
    assert len(tally.counts) == 2 and tally.high == LONGEST + 9


def test_ids_that_come_again_are_counted_and_long_strings_are_no_ids():
    tally = Strings()
    for value in (b"a", b"b", b"a", b"", b"", b"a"):
        tally.add([value])
    count, hashes = tally.doubled()
    assert (count, hashes, tally.empty) == (2, {hash(b"a")}, 2)
    tally.add([b"x" * 65])
    assert tally.hashes is None and tally.doubled() == (0, set())


@pytest.mark.parametrize("frames", [False, True])
def test_a_survey_says_what_the_videos_hold(maker, frames):
    made = maker.whole(frames=frames)
    videos = [video for split in made.values() for video in split]
    found = interpret(survey(*find_files(str(maker.folder)), source=str(maker.folder), schema=maker.schema), [])
    told = found.survey
    assert (told.records, told.broken, len(told.parts), found.has_splits) == (len(videos), 0, 5, True)
    for modality, spec in maker.schema.features.items():
        key = told.key(spec.frames if frames else spec.mean, steps=frames)
        held = [
            part for video in videos if (part := (video.frames if frames else video.features).get(modality)) is not None
        ]
        values = np.concatenate([part.reshape(-1) for part in held]).astype(np.float64)
        summary = key.summary()
        assert (key.records, key.size, summary.count) == (len(held), spec.size, len(values))
        assert (summary.low, summary.high, summary.nan) == (values.min(), values.max(), 0)
        assert summary.mean == pytest.approx(values.mean()) and summary.zeros == (values == 0).sum()
    labels = [video.labels for video in videos if video.labels is not None]
    assert found.labels.counts.tolist() == np.bincount(np.concatenate(labels)).tolist()
    assert found.unlabelled == len(videos) - len(labels)
    counts = [len(each) for each in labels]
    assert found.labels_a_video() == [(str(n), counts.count(n)) for n in range(min(counts), max(counts) + 1)]
    if frames:
        first = [len(video.frames["visual"]) for video in videos if "visual" in video.frames]
        assert sum(count for _, count in found.frames_a_video()) == len(first)
        assert found.frames.lengths.mean == pytest.approx(np.mean(first))
    assert found.doubled == (0, "") and found.fits[0].objections == () == found.faults


@pytest.mark.parametrize("frames", [False, True])
def test_a_store_and_its_records_are_surveyed_alike(maker, tmp_path, frames):
    maker.whole(frames=frames)
    store = ingest(maker.folder, maker.schema, tmp_path / "store", progress=False)
    ours = interpret(survey_store(store, progress=False), [])
    theirs = interpret(survey(*find_files(str(maker.folder)), schema=maker.schema), [])
    assert (ours.survey.records, ours.survey.broken) == (theirs.survey.records, 0)
    assert ours.labels.counts.tolist() == theirs.labels.counts.tolist()
    assert (ours.labels_a_video(), ours.frames_a_video()) == (theirs.labels_a_video(), theirs.frames_a_video())
    assert (ours.unlabelled, ours.doubled) == (theirs.unlabelled, theirs.doubled)
    for modality, spec in maker.schema.features.items():
        name, key = ("frames", spec.frames) if frames else ("features", spec.mean)
        one = ours.survey.key(f"{name}.{modality}", steps=frames).summary()
        other = theirs.survey.key(key, steps=frames).summary()
        assert (one.count, one.low, one.high, one.zeros) == (other.count, other.low, other.high, other.zeros)
        assert one.mean == pytest.approx(other.mean) and one.histogram.tolist() == other.histogram.tolist()
    part = survey_store(store, limit=7, progress=False)
    assert [each.records for each in part.parts] == [7] * len(store.splits)


def test_a_store_whose_bytes_changed_is_told(maker, tmp_path):
    maker.whole()
    store = ingest(maker.folder, maker.schema, tmp_path / "store", progress=False)
    path = store.folder / store.contents.files[0].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    told = survey_store(store, progress=False)
    assert told.broken == 1 and told.first.startswith(f"{path}: the digest is ")


def test_broken_records_are_counted_and_the_first_is_told(maker):
    whole = maker.write("train/train0.tfrecord", maker.videos("a", 20))
    offsets = [offset for offset, _ in read_records(whole)]
    damaged = bytearray(whole.read_bytes())
    damaged[offsets[4] + 20] ^= 1
    whole.write_bytes(damaged)
    cut = maker.write("train/train1.tfrecord", maker.videos("b", 20))
    cut.write_bytes(cut.read_bytes()[:-3])
    told = survey(whole, cut)
    assert told.first.startswith(f"{whole}: record at byte {offsets[4]}: payload checksum is ")
    assert told.reasons == {"payload checksum": 1, "truncated": 1}
    assert [(part.records, part.broken) for part in told.parts] == [(20, 1), (20, 1)]
    assert told.key("id").records == told.intact == 38


def test_a_given_schema_tells_what_an_ingest_would_refuse(maker):
    videos = maker.videos("a", 9)
    videos[5].features["visual"][3] = np.nan
    path = maker.write("train/train0.tfrecord", videos)
    told = survey(path, schema=maker.schema)
    offset = [offset for offset, _ in read_records(path)][5]
    assert told.reasons == {"not finite": 1}
    assert told.first == (
        f"{path}: record at byte {offset}: video 'a-0005': 'mean_rgb' holds nan at position 3; values must be finite"
    )
    (fault,) = interpret(told, []).faults
    assert fault == f"'mean_rgb' holds NaN or infinity, first in {path}: record at byte {offset}"


def test_a_key_of_two_kinds_is_a_broken_record(tmp_path):
    payloads = [encode_example({"id": [b"a"], "x": np.ones(2, np.float32)}), encode_example({"id": [b"b"], "x": [1]})]
    told = survey(written(tmp_path / "a.tfrecord", payloads))
    assert told.reasons == {"kind": 1} and told.first.endswith("'x' holds integers, in records before it held floats")


def test_any_kind_of_feature_list_is_looked_into(tmp_path):
    lists = {"words": [[b"one"], [b"three"]], "numbers": [[1], [2, 3]], "ragged": [[0.5], [1.0, 2.0]], "none": []}
    told = survey(written(tmp_path / "a.tfrecord", [encode_sequence_example({"id": [b"a"]}, lists)] * 2))
    words, numbers, ragged, none = (told.key(name, steps=True) for name in lists)
    assert (words.kind, words.lengths.constant, words.strings.lengths.total, words.example) == (
        "bytes",
        2,
        16,
        [b"one"],
    )
    assert words.summary() is None and words.size is None
    assert (numbers.kind, numbers.summary().mean) == ("integers", 2.0)
    assert (ragged.kind, ragged.size, ragged.sizes.high, ragged.summary().high) == ("floats", None, 2, 2.0)
    assert (none.kind, none.empty) == (None, 2)
    assert told.broken == 0


def test_an_id_that_comes_twice_is_told_with_its_places(maker):
    one = maker.write("train/train0.tfrecord", maker.videos("a", 5))
    other = maker.write("train/train1.tfrecord", [maker.video("b"), maker.video("a-0003")])
    first = [offset for offset, _ in read_records(one)][3]
    second = [offset for offset, _ in read_records(other)][1]
    found = interpret(survey(one, other), [])
    assert found.doubled == (1, f"'a-0003' in {one} (byte {first}) and in {other} (byte {second})")


@pytest.mark.parametrize("name", ["youtube8m", "youtube8m_v1", "audioset"])
def test_the_schema_that_fits_is_found(tmp_path, name):
    schema, random = load_schema(name), np.random.default_rng(0)
    features = {spec.mean: random.standard_normal(spec.size, np.float32) for spec in schema.features.values()}
    key = schema.id_keys[0]
    payloads = [encode_example({key: [b"%d" % n], "labels": [n, schema.classes - 1], **features}) for n in range(9)]
    found = interpret(survey(written(tmp_path / "train0.tfrecord", payloads)), [tmp_path])
    assert found.schema.name == name and found.proposed == ""


def test_a_vocabulary_tells_schemas_with_equal_keys_apart(tmp_path):
    vector = {"mean_rgb": np.ones(1024, np.float32), "mean_audio": np.ones(128, np.float32)}
    path = written(tmp_path / "train.tfrecord", [encode_example({"id": [b"a"], "labels": [2], **vector})])
    assert interpret(survey(path), [tmp_path]).schema.name == "youtube8m"
    rows = "".join(f"{n},thing {n}\n" for n in range(100))
    (tmp_path / "vocabulary.csv").write_text(f"index,name\n{rows}")
    found = interpret(survey(path), [tmp_path])
    assert found.schema.name == "demo" and found.commonest(5) == [(2, "thing 2", 1)]
    assert {fit.schema.name for fit in found.fits if not fit.objections} == {
        "demo",
        "youtube8m",
        "youtube8m_v1",
        "youtube8m_segments",
        "audioset",
    }


def test_what_does_not_fit_is_said(tmp_path):
    payloads = [encode_example({"id": [b"a"], "labels": [5000], "mean_rgb": np.ones(7, np.float32)})]
    found = interpret(survey(written(tmp_path / "a.tfrecord", payloads)), [])
    nearest = next(fit for fit in found.fits if fit.schema.name == "youtube8m")
    assert nearest.objections == (
        "'mean_rgb' has vectors of 7 values, expected 1024",
        "the labels are 5000 to 5000, expected 0 to 3861",
    )
    assert found.schema is None


@pytest.mark.parametrize("frames", [False, True])
def test_the_proposed_schema_is_one_that_an_ingest_accepts(tmp_path, frames):
    random = np.random.default_rng(0)

    def talk(number: int) -> bytes:
        context = {"talk_id": [b"talk %d" % number], "topics_label": [number % 5], "seconds": np.ones(1, np.float32)}
        context |= {"mean_clip": random.standard_normal(16, np.float32), "title": random.standard_normal(4, np.float32)}
        steps = int(random.integers(1, 400))
        lists = {"clip": random.standard_normal((steps, 16)).astype(np.float32), "words": [[b"a"], [b"bcd"]]}
        return encode_sequence_example(context, lists) if frames else encode_example(context)

    data = tmp_path / "My talks"
    written(data / "train" / "train0.tfrecord", map(talk, range(40)))
    found = interpret(survey(*find_files(str(data)), source=str(data)), [data])
    assert found.schema is None and found.fits == []
    (tmp_path / "talks.yaml").write_text(found.proposed)
    schema = load_schema(tmp_path / "talks.yaml")
    assert (schema.name, schema.classes, schema.labels_key, schema.id_keys) == (
        "my_talks",
        5,
        "topics_label",
        ("talk_id",),
    )
    assert set(schema.features) == {"clip", "title_features"} and schema.features["clip"].mean == "mean_clip"
    store = ingest(data, schema, tmp_path / "store", progress=False)
    assert sum(store.count(split) for split in store.splits) == 40
    assert dict(store.shapes.frames) == ({"clip": 16} if frames else {})


def test_without_ids_or_vectors_there_is_no_proposal(tmp_path):
    found = interpret(survey(written(tmp_path / "a.tfrecord", [encode_example({"x": [1]})])), [])
    assert found.proposed == "" and found.id is None and found.doubled is None


def test_a_limit_is_of_each_file(maker):
    maker.whole(shards=2)
    told = survey(*find_files(str(maker.folder)), limit=5)
    assert [(part.records, part.whole) for part in told.parts] == [(5, False)] * 4


def test_keys_without_end_are_counted_not_kept(tmp_path):
    payloads = (encode_example({f"key {n}": [1]}) for n in range(MOST_KEYS + 10))
    told = survey(written(tmp_path / "a.tfrecord", payloads))
    assert (len(told.keys), told.other_keys, told.records) == (MOST_KEYS, 10, MOST_KEYS + 10)


def test_files_are_found_by_folder_pattern_and_name(tmp_path):
    names = ["a/x.tfrecord", "a/y.tfrecord.gz", "z.tfrecord-00000-of-00010", "t.tfrec", ".hidden/x.tfrecord", "n.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(str(tmp_path))]
    assert found == ["a/x.tfrecord", "a/y.tfrecord.gz", "t.tfrec", "z.tfrecord-00000-of-00010"]
    assert find_files(f"{tmp_path}/a/*") == [tmp_path / "a/x.tfrecord", tmp_path / "a/y.tfrecord.gz"]
    assert find_files(f"{tmp_path}/n.txt") == [tmp_path / "n.txt"]


def test_what_holds_no_records_is_one_sentence(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.tfrecord").touch()
    (tmp_path / "text.txt").write_text("These are no records, but a text of more than twelve bytes.\n")
    with pytest.raises(ValueError, match=f"^data must hold TFRecord files, none below {tmp_path}/folder ends in "):
        find_files(str(tmp_path / "folder"))
    with pytest.raises(
        ValueError, match="^data must be a TFRecord file, a folder, a pattern or a store, there is noth"
    ):
        find_files(str(tmp_path / "nowhere*"))
    with pytest.raises(ValueError, match=r"empty\.tfrecord holds no records: 1 file\(s\), all empty$"):
        survey(tmp_path / "empty.tfrecord")
    sentence = rf"^not one record can be read, is this a TFRecord file\? {tmp_path}/text.txt: record at byte 0: length"
    with pytest.raises(ValueError, match=sentence):
        survey(tmp_path / "text.txt")


def test_gzip_is_read_alike(maker):
    plain = maker.write("train/train0.tfrecord", maker.videos("a", 300))
    packed = plain.with_suffix(".tfrecord.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = survey(plain), survey(packed)
    assert one.records == other.records == 300
    assert one.key("mean_rgb").summary().mean == other.key("mean_rgb").summary().mean


def test_audioset_is_known_by_its_keys(shared):
    data = shared / "data" / "audioset"
    told = survey(*find_files(str(data)), source=str(data), limit=300)
    found = interpret(told, [data])
    assert found.schema.name == "audioset" and found.vocabulary.name == "class_labels_indices.csv"
    assert told.key("audio_embedding", steps=True).size == 128
    assert found.commonest(1)[0][1] in ("Music", "Speech")
    plain = [
        video.frames["audio"]
        for path in find_files(str(data))
        for video, _ in zip(load_schema("audioset").read(path), range(300), strict=False)
    ]
    values = np.concatenate([rows.reshape(-1) for rows in plain])
    summary = found.frames.summary()
    assert (summary.count, summary.zeros) == (len(values), (values == 0).sum())
    assert summary.mean == pytest.approx(values.mean())


def test_the_starter_codes_records_are_of_2017(golden):
    found = interpret(survey(*find_files(str(golden / "*.tfrecord"))), [])
    assert found.schema.name == "youtube8m_v1" and found.survey.broken == 0
    assert (found.survey.records, found.frames.lengths.low, found.frames.lengths.high) == (6, 216, 287)
