"""Records: the original readers' output, real and made records, one sentence for each thing that can be wrong."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvid.records.schema import (
    BadRecord,
    FeatureSpec,
    Schema,
    Video,
    encode_video,
    load_schema,
    mean_frame,
    pad_frames,
)
from mmvid.tfrecords.encode import encode_example, encode_sequence_example
from mmvid.tfrecords.framing import CorruptRecord, write_records

SMALL = Schema(
    name="small",
    classes=10,
    features={
        "visual": FeatureSpec(size=4, mean="mean_rgb", frames="rgb"),
        "audio": FeatureSpec(size=2, mean="mean_audio", frames="audio"),
    },
    max_frames=3,
)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def small_video(**changes) -> Video:
    features = {"visual": np.array([1, 2, 3, 4], np.float32), "audio": np.array([5, 6], np.float32)}
    return dataclasses.replace(Video("abc", np.array([1, 7], np.int32), features), **changes)


def frame_record(rows: dict, labels=(1,)) -> bytes:
    return encode_sequence_example({"id": [b"abc"], "labels": list(labels)}, rows)


def assert_same(got: Video, expected: Video) -> None:
    assert (got.id, got.num_frames) == (expected.id, expected.num_frames)
    assert (got.labels is None) == (expected.labels is None)
    assert got.labels is None or (got.labels.dtype == np.int32 and np.array_equal(got.labels, expected.labels))
    for part, dtypes in (("features", [np.float32]), ("frames", [np.uint8, np.float32])):
        ours, theirs = getattr(got, part), getattr(expected, part)
        assert ours.keys() == theirs.keys()
        for modality, values in ours.items():
            assert values.dtype in dtypes and values.flags.writeable and values.flags.c_contiguous
            assert np.array_equal(values, theirs[modality])


def test_video_level_as_the_original_reader(golden):
    file = np.load(golden / "model_reader_video.npz")
    schema = load_schema("youtube8m_v1")
    videos = list(schema.read(golden / "reader_video4.tfrecord"))
    assert [video.id for video in videos] == file["ids"].tolist()
    joined = np.stack([np.concatenate([video.features[name] for name in schema.features]) for video in videos])
    assert np.array_equal(joined, file["x"])
    assert [[row, label] for row, video in enumerate(videos) for label in video.labels] == file["label_rows"].tolist()
    assert [video.num_frames for video in videos] == file["num_frames"].tolist()


def test_frame_level_as_the_original_reader(golden):
    """The golden file keeps every 37th of the 300 rows."""
    file = np.load(golden / "model_reader_frame.npz")
    schema = load_schema("youtube8m_v1")
    videos = list(schema.read(golden / "reader_frame2.tfrecord"))
    assert [video.id for video in videos] == file["ids"].tolist()
    assert [video.num_frames for video in videos] == file["n"].tolist()
    for number, video in enumerate(videos):
        matrix = np.hstack([pad_frames(video.frames[name], schema.max_frames) for name in schema.features])
        assert matrix.shape == (300, 1152)
        assert np.array_equal(matrix[::37], file[f"x{number}"])
        assert not matrix[video.num_frames :].any()
        assert video.labels.tolist() == file[f"labels{number}"].tolist()


def test_real_audioset_shards(shared):
    schema = load_schema("audioset")
    videos = list(schema.read(shared / "data/audioset/dev/dev00.tfrecord"))
    assert len(videos) == 2236
    for video in videos:
        frames = video.frames["audio"]
        assert len(video.id) == 11 and frames.dtype == np.uint8
        assert frames.shape == (video.num_frames, 128) and 0 < video.num_frames <= 10
        assert video.features["audio"].shape == (128,)
        assert 0 < len(video.labels) and (np.diff(video.labels) > 0).all()
    assert sum(len(video.labels) for video in videos) / len(videos) == pytest.approx(2.5, abs=0.2)


def test_a_real_youtube8m_video_goes_through_its_record(shared):
    file = np.load(shared / "data/yt8m/frame_example.npz")
    arrays = {array.shape[1]: array for array in (file[key] for key in file.files) if array.ndim == 2}
    frames = {"visual": arrays[1024], "audio": arrays[128]}
    features = {modality: mean_frame(rows) for modality, rows in frames.items()}
    video = Video("SjJ3", np.array([11], np.int32), features, frames, 170)
    schema = load_schema("youtube8m")
    assert_same(schema.decode(encode_video(schema, video, "frame")), video)
    assert_same(schema.decode(encode_video(schema, video)), dataclasses.replace(video, frames={}, num_frames=1))


@given(
    st.text(max_size=12),
    st.none() | st.sets(st.integers(0, 9), max_size=10),
    st.lists(FINITE, min_size=4, max_size=4),
    st.none() | st.lists(FINITE, min_size=2, max_size=2),
)
def test_video_level_round_trip(id, labels, visual, audio):
    features = {"visual": np.array(visual, np.float32)}
    if audio is not None:
        features["audio"] = np.array(audio, np.float32)
    video = Video(id, None if labels is None else np.array(sorted(labels), np.int32), features)
    assert_same(SMALL.decode(encode_video(SMALL, video)), video)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@given(count=st.integers(1, 6), seed=st.integers(0, 99))
def test_frame_level_round_trip_keeps_the_first_frames(dtype, count, seed):
    rows = np.random.default_rng(seed).integers(0, 256, (count, 4)).astype(dtype)
    kept = rows[:3]
    expected = Video("abc", np.array([1], np.int32), {"visual": mean_frame(kept)}, {"visual": kept}, len(kept))
    assert_same(
        SMALL.decode(encode_video(SMALL, dataclasses.replace(expected, frames={"visual": rows}), "frame")),
        expected,
    )


def test_each_modality_keeps_its_own_frames_and_the_first_listed_counts():
    rows = {"audio": np.ones((3, 2), np.uint8), "rgb": np.ones((2, 4), np.uint8)}
    video = SMALL.decode(frame_record(rows))
    assert video.num_frames == 2
    assert {modality: len(frames) for modality, frames in video.frames.items()} == {"visual": 2, "audio": 3}


def test_an_absent_or_empty_modality_is_absent():
    record = encode_example({"id": [b"abc"], "mean_rgb": [], "mean_audio": np.ones(2, np.float32)})
    assert list(SMALL.decode(record).features) == ["audio"]
    record = frame_record({"rgb": np.empty((0, 4), np.uint8), "audio": np.ones((2, 2), np.uint8)})
    video = SMALL.decode(record)
    assert list(video.frames) == list(video.features) == ["audio"] and video.num_frames == 2


def test_a_stored_mean_goes_before_the_mean_of_the_frames():
    context = {"id": [b"abc"], "mean_rgb": np.full(4, 0.5, np.float32)}
    video = SMALL.decode(encode_sequence_example(context, {"rgb": np.zeros((2, 4), np.uint8)}))
    assert video.features["visual"].tolist() == [0.5] * 4 and video.num_frames == 2


def test_ratings_of_segments_do_not_disturb():
    context = {
        "id": [b"abc"],
        "labels": [3],
        "segment_labels": [3, 9],
        "segment_start_times": [5, 70],
        "segment_scores": np.array([1.0, 0.0]),
    }
    video = SMALL.decode(encode_sequence_example(context, {"rgb": np.ones((2, 4), np.uint8)}))
    assert video.labels.tolist() == [3] and list(video.frames) == ["visual"]


@pytest.mark.parametrize("key", ["id", "video_id"])
def test_either_key_of_the_id_is_accepted_and_an_empty_id_too(key):
    features = {"mean_audio": np.ones(2, np.float32)}
    assert SMALL.decode(encode_example({key: [b"abc"]} | features)).id == "abc"
    assert SMALL.decode(encode_example({key: [b""]} | features)).id == ""
    assert SMALL.decode(encode_example({key: []} | features)).id == ""


def test_labels_are_sorted_and_distinct():
    record = encode_example({"id": [b"a"], "labels": [7, 1, 7], "mean_audio": np.ones(2, np.float32)})
    assert SMALL.decode(record).labels.tolist() == [1, 7]
    record = encode_example({"id": [b"a"], "labels": [], "mean_audio": np.ones(2, np.float32)})
    assert SMALL.decode(record).labels.tolist() == []


NAN, INF = np.array([1, np.nan, 3, 4], np.float32), np.array([1, 2, 3, -np.inf], np.float32)
ONES = np.ones(4, np.float32)
BAD = {
    "label": (
        encode_example({"id": [b"abc"], "labels": [1, 10], "mean_rgb": ONES}),
        "label",
        "video 'abc': label 10 is outside 0 to 9, the classes of schema small",
    ),
    "negative label": (
        encode_example({"id": [b"abc"], "labels": [-1, 3], "mean_rgb": ONES}),
        "label",
        "video 'abc': label -1 is outside 0 to 9, the classes of schema small",
    ),
    "length": (
        encode_example({"id": [b"abc"], "mean_rgb": ONES[:3]}),
        "length",
        "video 'abc': 'mean_rgb' has 3 values, expected 4",
    ),
    "frame length": (
        frame_record({"rgb": np.ones((2, 5), np.uint8)}),
        "length",
        "video 'abc': frames of 'rgb' have 5 values, expected 4",
    ),
    "NaN": (
        encode_example({"id": [b"abc"], "mean_rgb": NAN}),
        "not finite",
        "video 'abc': 'mean_rgb' holds nan at position 1; values must be finite",
    ),
    "infinity": (
        encode_example({"id": [b"abc"], "mean_rgb": INF}),
        "not finite",
        "video 'abc': 'mean_rgb' holds -inf at position 3; values must be finite",
    ),
    "NaN in a frame": (
        frame_record({"rgb": np.stack([ONES, NAN])}),
        "not finite",
        "video 'abc': 'rgb' holds nan at position 5; values must be finite",
    ),
    "no id": (
        encode_example({"name": [b"abc"], "mean_rgb": ONES}),
        "id",
        "no id under 'id' or 'video_id'; the record has the features ('mean_rgb', 'name') and the feature lists ()",
    ),
    "two ids": (encode_example({"id": [b"a", b"b"], "mean_rgb": ONES}), "id", "'id' holds 2 ids, expected 1"),
    "id not text": (encode_example({"id": [b"\xff"], "mean_rgb": ONES}), "id", "'id' is not UTF-8: b'\\xff'"),
    "no feature": (
        encode_sequence_example({"id": [b"abc"]}, {"mfcc": np.ones((1, 2), np.uint8)}),
        "no feature",
        "video 'abc': no feature of schema small; the record has the features ('id') and the feature lists ('mfcc')",
    ),
    "another kind": (
        encode_example({"id": [b"abc"], "mean_rgb": [1, 2, 3, 4]}),
        "unreadable",
        "video 'abc': 'mean_rgb': malformed Example at byte 35 of the record: "
        "a feature holds integers, expected floats",
    ),
    "frames that differ": (
        encode_sequence_example({"id": [b"abc"]}, {"rgb": [[b"1234"], [b"123"]]}),
        "unreadable",
        "video 'abc': 'rgb': malformed Example at byte 40 of the record: "
        "step 1 of a feature list has 3 bytes, step 0 has 4 bytes",
    ),
    "not a record": (
        b"\x0a\xff",
        "unreadable",
        "malformed Example at byte 2 of the record: a field runs past the end",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_one_sentence_for_each_fault(name, tmp_path):
    payload, reason, sentence = BAD[name]
    with pytest.raises(BadRecord) as caught:
        SMALL.decode(payload)
    assert (str(caught.value), caught.value.reason) == (sentence, reason)

    good = encode_video(SMALL, small_video())
    path = tmp_path / "a.tfrecord"
    write_records(path, [good, payload, good])
    with pytest.raises(BadRecord) as caught:
        list(SMALL.read(path))
    assert str(caught.value) == f"{path}: record at byte {len(good) + 16}: {sentence}"
    faults = []
    assert [video.id for video in SMALL.read(path, faults.append)] == ["abc", "abc"]
    assert [str(fault) for fault in faults] == [str(caught.value)]
    assert (faults[0].path, faults[0].offset) == (str(path), len(good) + 16)
    assert str(pickle.loads(pickle.dumps(faults[0]))) == str(faults[0])


def test_finite_values_of_any_size_pass():
    huge = np.array([3e38, -3e38, 3e38, 1e-45], np.float32)
    assert np.array_equal(SMALL.decode(encode_example({"id": [b"a"], "mean_rgb": huge})).features["visual"], huge)


def test_many_keys_are_not_all_listed():
    record = encode_example({"id": [b"abc"]} | {f"k{n:03}": [b""] for n in range(500)})
    with pytest.raises(BadRecord, match=r"'k008' and 491 more\)") as caught:
        SMALL.decode(record)
    assert len(str(caught.value)) < 300


def test_damaged_bytes_go_to_the_same_callback(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [encode_video(SMALL, small_video())] * 3)
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    faults = []
    assert len(list(SMALL.read(path, faults.append))) == 2
    assert [type(fault) for fault in faults] == [CorruptRecord]
    with pytest.raises(CorruptRecord, match="record at byte 0: payload checksum is "):
        list(SMALL.read(path))


@settings(max_examples=300)
@given(st.sampled_from(["video", "frame"]), st.data())
def test_mutated_records_are_videos_or_bad_records(level, data):
    frames = {"visual": np.arange(8, dtype=np.uint8).reshape(2, 4)}
    payload = bytearray(encode_video(SMALL, small_video(frames=frames), level))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        video = SMALL.decode(bytes(payload))
    except BadRecord:
        return
    assert video.features
    assert video.labels is None or ((video.labels >= 0) & (video.labels < SMALL.classes)).all()
    assert all(np.isfinite(vector).all() for vector in video.features.values())


@pytest.mark.parametrize("level", ["video", "frame"])
def test_what_a_schema_has_no_key_for_is_not_written(level):
    schema = Schema(name="s", classes=2, features={"visual": FeatureSpec(size=4, mean="a", frames="b")})
    video = small_video(frames={"audio": np.ones((1, 2), np.uint8)})
    with pytest.raises(ValueError, match=f"^schema s has no {level}-level key for 'audio'$"):
        encode_video(schema, video, level)
