"""Made demo data: a small data set in YouTube-8M's formats, so that the whole real path is used without a download.

    demo/video/{train,validate,test}/train0000.tfrecord    Examples: mean_rgb (1024,), mean_audio (128,), labels
    demo/frame/{train,validate,test}/train0000.tfrecord    SequenceExamples: rgb and audio, uint8 (T, D), labels
    demo/{video,frame}/vocabulary.csv, text.jsonl          names of the 100 classes; titles and keywords by id

The splits' sizes are the real ones': 70 % train, 20 % validate, 10 % test, whose records have no labels. There is no
dev, which is cut from train when the data are ingested. The frame level holds the first videos of each split again,
under the same ids.

Equal configs make equal bytes on every machine: `mmvid.draws` says how, and its neighbours what the
labels, features and texts are like and which real figures they were fitted to.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import model_validator

from mmvid.config import Options, option
from mmvid.durable import exclusively, replacing
from mmvid.records.made.collection import MOST_VIDEOS, Collection
from mmvid.records.made.words import LABELS
from mmvid.records.made.writing import LevelWriter
from mmvid.records.schema import load_schema

GENERATOR = 1  # to be raised when the same config makes other bytes: older data are then made anew

_SHARES = {"validate": 20, "test": 10}  # of a hundred, the rest is train; YouTube-8M v1 has 20.0 and 10.0
_NOTE = "demo.json"
_FORMAT = "mmvid demo data (made)"
_README = """# Demo data (made)

These videos do not exist: labels, features, titles and keywords were drawn from a seed to look like YouTube-8M's.
Scores reached on them say nothing about real videos.

Parameters: {config}. Equal parameters make equal bytes.

- `video/`: {videos}; one feature of 1024 (visual) and one of 128 (audio) values each
- `frame/`: {frame_videos}; the first of each split once more, as {fewest} to {frames} frames each
- `train/`, `validate/`, `test/` (without labels): TFRecords, to be read with the schema `demo`
- `vocabulary.csv`: names of the {classes} classes, not all distinct, and their counts in `train`
- `text.jsonl`: of the {total} videos {keywords} have keywords, {title} a title and {both} both
"""


class DemoConfig(Options):
    """The made demo data."""

    videos: int = option(5000, "videos of all splits together", ge=50, le=MOST_VIDEOS)
    frame_videos: int = option(1000, "how many of them are there at frame level, too; 0, or 50 or more", ge=0)
    frames: int = option(30, "frames of the longest videos; the shortest have half as many", ge=1, le=300)
    shards: int = option(4, "files of each split and level", ge=1, le=10_000)
    seed: int = option(0, "seed of all draws", ge=0)

    @model_validator(mode="after")
    def _check(self) -> "DemoConfig":
        if 0 < self.frame_videos < 50:
            raise ValueError(f"frame_videos must be 0 or at least 50, got {self.frame_videos}")
        return self


def is_made(folder: Path, config: DemoConfig) -> bool:
    """Whether `folder` holds the demo data of this config: what is there is complete."""
    note = _read_note(folder)
    return note is not None and (note["generator"], note["config"]) == (GENERATOR, config.model_dump())


def make_demo(folder: Path, config: DemoConfig) -> dict[str, Any]:
    """Makes the demo data, all of it or nothing; where this config's data are already there, nothing is done.

    Everything is written to a hidden folder beside `folder`, which is renamed at the end; what a killed process
    leaves of it is removed by the next. Demo data of another config are replaced. Of several processes one
    makes the data, and the others wait.

    Returns:
        What was made: `videos` and `frame_videos` by split, `frames` (fewest, most), `text` (videos with
        `keywords`, with a `title`, with `both`), `bytes` of the TFRecords of each level.

    Raises:
        ValueError: if `folder` holds something else than demo data, which stays as it is.
    """
    with exclusively(_hidden(folder, "lock"), f"another process makes {folder}; waiting for it"):
        if is_made(folder, config):
            return _read_note(folder)["summary"]
        if folder.exists() and _read_note(folder) is None and (folder.is_file() or any(folder.iterdir())):
            raise ValueError(f"{folder} must be absent, empty or demo data, it holds something else")
        fresh, old = _hidden(folder, "new"), _hidden(folder, "old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            summary = _write(fresh, config)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        finally:
            for leftover in (fresh, old):
                shutil.rmtree(leftover, ignore_errors=True)
        return summary


def _write(folder: Path, config: DemoConfig) -> dict[str, Any]:
    folder.mkdir()
    collection, schema = Collection(config.seed), load_schema("demo")
    ranges = {
        "video": _ranges(config.videos),
        "frame": _first(_ranges(config.videos), _ranges(min(config.frame_videos, config.videos))),
    }
    writers = {}
    for level, splits in ranges.items():
        writers[level] = LevelWriter(folder / level, level, collection, schema, config.frames)
        if level == "video" or config.frame_videos:
            writers[level].write(splits, config.shards)
    counts = {level: {split: stop - start for split, (start, stop) in ranges[level].items()} for level in ranges}
    summary = {
        "videos": counts["video"],
        "frame_videos": counts["frame"],
        "frames": [config.frames - config.frames // 2, config.frames],
        "text": {kind: writers["video"].texts[kind] for kind in ("keywords", "title", "both")},
        "bytes": {level: writer.bytes for level, writer in writers.items()},
    }
    note = {"format": _FORMAT, "generator": GENERATOR, "config": config.model_dump(), "summary": summary}
    for name, text in (("README.md", _readme(config, summary)), (_NOTE, json.dumps(note, indent=2) + "\n")):
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return summary


def _ranges(videos: int) -> dict[str, tuple[int, int]]:
    """Split -> number of its first video, and of the one after its last."""
    validate, test = (videos * share // 100 for share in _SHARES.values())
    train = videos - validate - test
    return {"train": (0, train), "validate": (train, train + validate), "test": (train + validate, videos)}


def _first(ranges: dict[str, tuple[int, int]], sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The first videos of each of `ranges`, as many as the split has in `sizes`."""
    return {split: (start, start + sizes[split][1] - sizes[split][0]) for split, (start, _) in ranges.items()}


def _readme(config: DemoConfig, summary: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {split}" for split, count in counts.items())

    return _README.format(
        config=", ".join(f"{name} {value}" for name, value in config.model_dump().items()),
        videos=listed(summary["videos"]),
        frame_videos=listed(summary["frame_videos"]),
        fewest=summary["frames"][0],
        frames=summary["frames"][1],
        classes=len(LABELS),
        total=config.videos,
        **summary["text"],
    )


def _read_note(folder: Path) -> dict[str, Any] | None:
    """The note that complete demo data carry, or None."""
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and note.get("format") == _FORMAT else None


def _hidden(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.{kind}")
