"""Videos under attack: any record is a video that fits the schema, or a `BadRecord` of one line.

    python -m fuzz.video CORPUS -max_total_time=60

A video that is written again reads the same.
"""

import sys

import atheris
import numpy as np

with atheris.instrument_imports(include=["mmvid.tfrecords", "mmvid.records.payloads", "mmvid.records.quantised"]):
    from mmvid.records.schema import BadRecord, Schema, Video, decode_video, encode_video
    from mmvid.tfrecords.example import Parser

SCHEMA = Schema(
    name="fuzzed",
    classes=300,
    features={"visual": {"size": 3, "mean": "v", "frames": "vs"}, "audio": {"size": 2, "mean": "a", "frames": "as"}},
    max_frames=4,
)
VIDEO = Video(
    "abcd",
    np.array([3, 299], np.int32),
    {"visual": np.ones(3, np.float32), "audio": np.zeros(2, np.float32)},
    {"visual": np.arange(15, dtype=np.uint8).reshape(5, 3), "audio": np.ones((2, 2), np.float32)},
    5,
)
SEEDS = [encode_video(SCHEMA, VIDEO, level) for level in ("video", "frame")]

PARSE = Parser().parse


def check(data: bytes) -> None:
    try:
        video = decode_video(SCHEMA, data, PARSE)
    except BadRecord as error:
        assert "\n" not in str(error)
        return
    check_fits(video)
    for level in ("frame", "video"):
        if video.frames or level == "video":
            check_same(decode_video(SCHEMA, encode_video(SCHEMA, video, level)), video, level)


def check_fits(video: Video) -> None:
    if video.labels is not None:
        assert video.labels.dtype == np.int32 and (np.diff(video.labels) > 0).all()
        assert not len(video.labels) or (0 <= video.labels[0] and video.labels[-1] < SCHEMA.classes)
    assert video.features and set(video.frames) <= set(video.features)
    for modality, vector in video.features.items():
        assert vector.dtype == np.float32 and vector.shape == (SCHEMA.features[modality].size,)
        assert np.isfinite(vector).all()
    for modality, rows in video.frames.items():
        assert rows.dtype in (np.uint8, np.float32) and rows.shape[1] == SCHEMA.features[modality].size
        assert 1 <= len(rows) <= SCHEMA.max_frames and np.isfinite(rows).all()
    assert video.num_frames == (len(next(iter(video.frames.values()))) if video.frames else 1)


def check_same(again: Video, video: Video, level: str) -> None:
    part = {"frame": "frames", "video": "features"}[level]
    assert again.id == video.id
    assert (again.labels is None) == (video.labels is None)
    assert video.labels is None or np.array_equal(again.labels, video.labels)
    expected, got = getattr(video, part), getattr(again, part)
    assert expected.keys() == got.keys()
    assert all(rows.dtype == got[key].dtype and np.array_equal(rows, got[key]) for key, rows in expected.items())


if __name__ == "__main__":
    from fuzz.corpus import start

    start(sys.argv, check, SEEDS)
