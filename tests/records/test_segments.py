"""Rated segments: from records of ratings to rows, store and weights."""

import re

import numpy as np
import pytest
import torch

from mmvid.records.ingest import ingest
from mmvid.records.loader import Loader
from mmvid.records.schema import BadRecord, Schema, dequantise, load_schema
from mmvid.records.segments import decode_rows
from mmvid.records.splits import PAPER_DEV_SHARE, split_of
from mmvid.records.survey.proposal import rank_schemas
from mmvid.records.survey.scan import find_files, survey_files
from mmvid.tfrecords.encode import encode_example, encode_sequence_example
from mmvid.tfrecords.framing import write_records

SCHEMA = Schema(
    name="rated",
    classes=7,
    features={"visual": {"size": 12, "mean": "mean_rgb", "frames": "rgb"}, "audio": {"size": 5, "frames": "audio"}},
    segments={},
)
RATINGS = [(2, 15, 1), (5, 0, 0), (3, 15, 0), (6, 15, 1), (1, 0, 0), (2, 15, 1)]  # class, start, score
RANDOM = np.random.default_rng(0)


def record(ratings=RATINGS, id="abcd", frames=23, audio=None, schema=SCHEMA, **context) -> bytes:
    """A record; a key of `context` replaces what the ratings say, and None leaves it out."""
    lengths = {"visual": frames, "audio": frames if audio is None else audio}
    lists = {
        spec.frames: RANDOM.integers(0, 256, (lengths[name], spec.size), np.uint8)
        for name, spec in schema.features.items()
    }
    labels, starts, scores = zip(*ratings, strict=True) if ratings else ((), (), ())
    context = {
        "id": [id.encode()],
        "labels": np.array([0, 4]),
        "segment_labels": np.array(labels, np.int64),
        "segment_start_times": np.array(starts, np.int64),
        "segment_scores": np.array(scores, np.float32),
    } | context
    return encode_sequence_example({key: value for key, value in context.items() if value is not None}, lists)


def frames_of(payload: bytes, schema=SCHEMA) -> dict[str, np.ndarray]:
    return schema.decode(payload).frames


def test_each_start_time_is_a_row_with_what_was_rated():
    payload = record()
    whole = frames_of(payload)
    first, second = decode_rows(SCHEMA, payload)
    assert (first.id, first.start, second.id, second.start) == ("abcd", 0, "abcd", 15)
    assert (first.labels.tolist(), first.rated.tolist()) == ([], [1, 5])
    assert (second.labels.tolist(), second.rated.tolist()) == ([2, 6], [2, 3, 6])
    for row in (first, second):
        assert row.num_frames == 5 and row.labels.dtype == row.rated.dtype == np.int32
        for modality in ("visual", "audio"):
            frames = whole[modality][row.start : row.start + 5]
            assert np.array_equal(row.frames[modality], frames)
            mean = dequantise(frames).astype(np.float64).mean(axis=0)
            np.testing.assert_allclose(row.features[modality], mean, atol=1e-6)


def test_the_schema_of_the_challenge():
    schema = load_schema("youtube8m_segments")
    assert schema.segments.frames == 5 and Schema(**schema.model_dump(mode="json")) == schema
    (row,) = decode_rows(schema, record([(3861, 115, 1)], frames=120, schema=schema))
    assert (row.start, row.labels.tolist(), row.rated.tolist()) == (115, [3861], [3861])
    assert row.features["visual"].shape == (1024,) and row.frames["audio"].shape == (5, 128)


def test_other_schemas_do_not_know_of_segments_in_keys_and_digests():
    assert "segments" not in load_schema("youtube8m").model_dump(mode="json")
    plain = SCHEMA.model_copy(update={"segments": None})
    (video,) = decode_rows(plain, record())
    assert video.start is None and video.rated is None and video.labels.tolist() == [0, 4]


@pytest.mark.parametrize("keys", [{}, dict.fromkeys(("segment_labels", "segment_start_times", "segment_scores"))])
def test_a_video_without_ratings_is_cut_into_segments(keys):
    payload = record([], **keys)
    rows = decode_rows(SCHEMA, payload)
    assert [row.start for row in rows] == [0, 5, 10, 15]
    assert all(row.labels is None and row.rated is None for row in rows)
    assert np.array_equal(np.concatenate([row.frames["visual"] for row in rows]), frames_of(payload)["visual"][:20])


def test_a_modality_that_ends_early_is_absent_from_later_segments():
    early, late = decode_rows(SCHEMA, record([(1, 5, 1), (1, 10, 1)], audio=7))
    assert early.frames["audio"].shape == (2, 5) and set(late.frames) == set(late.features) == {"visual"}


BAD = {
    "negative": ([(1, -1, 1)], {}, "the segment of seconds -1 to 3 is outside the video, which has 23 frames"),
    "late": ([(1, 19, 1)], {}, "the segment of seconds 19 to 23 is outside the video, which has 23 frames"),
    "huge": ([(1, 2**62, 1)], {}, f"the segment of seconds {2**62} to {2**62 + 4} is outside the video"),
    "score": ([(1, 5, 0.5)], {}, "'segment_scores' must be 0 or 1, got 0.5 for class 1 at 5 s"),
    "nan": ([(1, 5, np.nan)], {}, "'segment_scores' must be 0 or 1, got nan for class 1 at 5 s"),
    "class": ([(7, 5, 1)], {}, "label 7 is outside 0 to 6, the classes of schema rated"),
    "both": ([(1, 5, 1), (2, 5, 1), (1, 5, 0)], {}, "class 1 at 5 s is rated both 0 and 1"),
    "lengths": (
        RATINGS,
        {"segment_scores": np.ones(5, np.float32)},
        "'segment_labels', 'segment_start_times' and 'segment_scores' must have one length, they have 6, 6 and 5 ",
    ),
    "absent": (RATINGS, {"segment_labels": None}, "'segment_labels', .* they have 0, 6 and 6 values"),
    "kind": (RATINGS, {"segment_scores": np.ones(6, np.int64)}, "'segment_scores': .* holds integers, expected floats"),
}


@pytest.mark.parametrize("case", BAD)
def test_ratings_that_do_not_fit_are_one_sentence(case):
    ratings, keys, what = BAD[case]
    what = what if ".*" in what else re.escape(what)
    with pytest.raises(BadRecord, match=f"^video 'abcd': {what}") as caught:
        decode_rows(SCHEMA, record(ratings, **keys))
    assert "\n" not in str(caught.value)


def test_videos_without_a_segment_are_refused():
    with pytest.raises(BadRecord, match="^video 'abcd': a segment has 5 frames, the video has 4$"):
        decode_rows(SCHEMA, record([], frames=4))
    means = encode_example({"id": [b"abcd"], "mean_rgb": np.zeros(12, np.float32)})
    with pytest.raises(BadRecord, match="^video 'abcd': no frames to cut segments from; the record has the features"):
        decode_rows(SCHEMA, means)


@pytest.fixture
def folder(tmp_path):
    """Train with ratings, some ids and titles; a test split without."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_records(folder / "train.tfrecord", [record(id=f"v{number:02d}") for number in range(40)])
    write_records(folder / "test.tfrecord", [record([], id="") for _ in range(3)])
    lines = [f'{{"id": "v{number:02d}", "title": "a title"}}\n' for number in range(0, 40, 2)]
    (folder / "text.jsonl").write_text("".join(lines))
    return folder


def test_the_store_keeps_segments_and_the_rated_classes(folder, tmp_path):
    store = ingest(folder, SCHEMA, tmp_path / "store")
    for split in ("train", "dev", "gate"):
        ids = [f"v{n:02d}" for n in range(40)]
        ids = [id for id in ids if split_of(id, "train", has_dev=False, seed=0, share=PAPER_DEV_SHARE) == split]
        rows = store.table(split).to_pylist()
        assert [row["id"] for row in rows] == [f"{id}:{start}" for id in ids for start in (0, 15)]
        assert [row["rated"] for row in rows] == [[1, 5], [2, 3, 6]] * len(ids)
        assert [row["labels"] for row in rows] == [[], [2, 6]] * len(ids)
        assert all(np.shape(row["frames.visual"]) == (5, 12) and row["num_frames"] == 5 for row in rows)
        assert store.has_text(split).tolist() == [int(id[1:]) % 2 == 0 for id in ids for _ in range(2)]
    unrated = store.table("test").to_pylist()
    assert [row["id"] for row in unrated] == [
        f"test.tfrecord#{n}:{start}" for n in range(3) for start in (0, 5, 10, 15)
    ]
    assert all(row["rated"] is None and row["labels"] is None for row in unrated)
    assert store.contents.hidden_ids == 3
    assert (store.contents.text.joined, store.contents.text.no_video) == (20, 0)
    assert ingest(folder, SCHEMA, tmp_path / "two", workers=2).digest == store.digest
    store.verify()


def test_an_ingest_names_or_counts_ratings_that_do_not_fit(folder, tmp_path):
    bad = record(BAD["both"][0], id="bad")
    write_records(folder / "train.tfrecord", [record(id="good"), bad])
    sentence = f"^{folder}/train.tfrecord: record at byte [0-9]+: video 'bad': class 1 at 5 s is rated both 0 and 1$"
    with pytest.raises(BadRecord, match=sentence):
        ingest(folder, SCHEMA, tmp_path / "store")
    store = ingest(folder, SCHEMA, tmp_path / "store", on_error="skip")
    assert store.manifest["skipped"]["reasons"] == {"rating": 1}


def test_a_video_in_two_records_is_refused(folder, tmp_path):
    write_records(folder / "validate.tfrecord", [record([(1, 3, 1)], id="v07")])
    with pytest.raises(ValueError, match="^video 'v07' comes twice: in .*train.tfrecord .* and in .*validate.tfrecord"):
        ingest(folder, SCHEMA, tmp_path / "store")


def test_the_loader_gives_weights_of_the_rated_classes(folder, tmp_path):
    store = ingest(folder, SCHEMA, tmp_path / "store")
    rows = {row["id"]: row for row in store.table("train").to_pylist()}
    for batch in Loader(store, "train", 7, shuffle=True):
        assert batch.weights.dtype == torch.float32 and batch.labels.dtype == torch.bool
        expected = [[float(c in rows[id]["rated"]) for c in range(7)] for id in batch.ids]
        assert batch.weights.tolist() == expected
        assert batch.labels.tolist() == [[c in rows[id]["labels"] for c in range(7)] for id in batch.ids]
        scores = torch.rand(len(batch), 7)
        assert torch.equal(batch.weigh(scores), scores * torch.tensor(expected))
    assert all(batch.weights is None for batch in Loader(store, "test", 7))
    assert all(batch.weights is None for batch in Loader(store, "train", 7, drop_labels=True))


def test_a_survey_tells_rated_records_from_others(tmp_path):
    schema = load_schema("youtube8m_segments")
    for name, keys, best in (
        ("rated", {}, "youtube8m_segments"),
        ("plain", dict.fromkeys(("segment_labels", "segment_start_times", "segment_scores")), "youtube8m"),
    ):
        path = tmp_path / f"{name}.tfrecord"
        write_records(path, [record(schema=schema, id=f"v{number}", **keys) for number in range(3)])
        assert rank_schemas(survey_files(find_files(str(path))), [])[0].schema.name == best
