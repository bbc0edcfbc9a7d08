"""Small data sets in the real formats, made by a test as it needs them."""

from pathlib import Path

import numpy as np
import pytest

from mmvid.records.schema import Schema, Video, encode_video
from mmvid.tfrecords.framing import write_records

SCHEMA = Schema(
    name="small",
    classes=7,
    features={
        "visual": {"size": 12, "mean": "mean_rgb", "frames": "rgb"},
        "audio": {"size": 5, "mean": "mean_audio", "frames": "audio"},
    },
    vocabulary_files=("vocabulary.csv",),
)


class Maker:
    """Writes shards of drawn videos and remembers what they hold."""

    schema = SCHEMA

    def __init__(self, folder: Path):
        self.folder = folder
        self.random = np.random.default_rng(0)

    def video(self, id: str, *, labels: bool = True, frames: bool = False, without: tuple = ()) -> Video:
        count = int(self.random.integers(0, 4))
        drawn = np.sort(self.random.choice(SCHEMA.classes, count, replace=False)).astype(np.int32)
        length = int(self.random.integers(1, 9))
        kept = {modality: spec for modality, spec in SCHEMA.features.items() if modality not in without}
        return Video(
            id,
            drawn if labels else None,
            {m: self.random.standard_normal(spec.size, np.float32) for m, spec in kept.items()},
            {m: self.random.integers(0, 256, (length, spec.size), np.uint8) for m, spec in kept.items()}
            if frames
            else {},
            length if frames else 1,
        )

    def videos(self, name: str, count: int, **options) -> list[Video]:
        return [self.video(f"{name}-{number:04d}", **options) for number in range(count)]

    def write(self, name: str, videos: list[Video]) -> Path:
        """A shard such as `train/train00.tfrecord`; frame level if its videos have frames."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, (encode_video(SCHEMA, v, "frame" if v.frames else "video") for v in videos))
        return path

    def whole(self, *, frames: bool = False, shards: int = 3, size: int = 40) -> dict[str, list[Video]]:
        """A data set with train, validate and a test without labels; what it holds by source split."""
        made = {"train": [], "validate": [], "test": []}
        for number in range(shards):
            videos = self.videos(f"t{number}", size, frames=frames)
            videos[3] = self.video(videos[3].id, frames=frames, without=("visual",))
            videos[7] = self.video(videos[7].id, frames=frames, without=("audio",))
            self.write(f"train/train{number:02d}.tfrecord", videos)
            made["train"] += videos
        made["validate"] = self.videos("v", size, frames=frames)
        self.write("validate/validate00.tfrecord", made["validate"])
        made["test"] = self.videos("x", size, frames=frames, labels=False)
        self.write("test/test00.tfrecord", made["test"])
        return made


@pytest.fixture
def maker(tmp_path) -> Maker:
    return Maker(tmp_path / "data")
