"""Writes a made collection as TFRecords with their vocabulary and text, as a user would have a real data set."""

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

from mmvid.durable import replacing
from mmvid.records.made.collection import Collection, Made
from mmvid.records.made.words import LABELS
from mmvid.records.schema import Schema, encode_video
from mmvid.records.text import Text
from mmvid.records.video import Video
from mmvid.tfrecords.framing import write_records

UNLABELLED = "test"  # the split whose records have no labels
COUNTED = "train"  # the split whose label counts the vocabulary gives

Level = Literal["video", "frame"]


class LevelWriter:
    """Writes one level of a collection into a folder.

    Attributes:
        texts: videos written so far with `keywords`, with a `title`, with `both`.
        bytes: length of the TFRecords written so far.
    """

    def __init__(self, folder: Path, level: Level, collection: Collection, schema: Schema, longest: int):
        """Args: longest: frames of the longest video, at frame level."""
        self.texts: Counter[str] = Counter()
        self.bytes = 0
        self._folder, self._level, self._longest = folder, level, longest
        self._collection, self._schema = collection, schema
        self._label_counts = [0] * len(LABELS)

    def write(self, ranges: dict[str, tuple[int, int]], shards: int) -> None:
        """Writes splits and what belongs to them.

        Args:
            ranges: split -> number of its first video, and of the one after its last.
            shards: files of each split; one that has fewer videos has as many files.
        """
        self._folder.mkdir()
        with replacing(self._folder / "text.jsonl") as path:
            with open(path, "w", encoding="utf-8", newline="\n") as lines:
                for split, (start, stop) in ranges.items():
                    self._write_split(split, start, stop, shards, lines)
        self._write_vocabulary()

    def _write_split(self, split: str, start: int, stop: int, shards: int, lines: TextIO) -> None:
        (self._folder / split).mkdir()
        files = min(shards, stop - start)
        bounds = [start + (stop - start) * shard // files for shard in range(files + 1)]
        for shard, (first, end) in enumerate(itertools.pairwise(bounds)):
            path = self._folder / split / f"{split}{shard:04d}.tfrecord"
            write_records(path, self._payloads(split, self._collection.videos(first, end), lines))
            self.bytes += path.stat().st_size

    def _payloads(self, split: str, videos: Iterator[Made], lines: TextIO) -> Iterator[bytes]:
        for made in videos:
            video = made.video if self._level == "video" else self._collection.with_frames(made, self._longest)
            if split == COUNTED:
                for label in video.labels.tolist():
                    self._label_counts[label] += 1
            if split == UNLABELLED:
                video = Video(video.id, None, video.features, video.frames, video.num_frames)
            self._write_text(video.id, made.text, lines)
            yield encode_video(self._schema, video, self._level)

    def _write_text(self, id: str, text: Text, lines: TextIO) -> None:
        row = {"title": text.title, "keywords": text.keywords, "language": text.language}
        row = {key: value for key, value in row.items() if value is not None}
        if row:
            lines.write(json.dumps({"id": id} | row, ensure_ascii=False) + "\n")
        present = [kind for kind in ("keywords", "title") if kind in row]
        self.texts.update(present if len(present) < 2 else [*present, "both"])

    def _write_vocabulary(self) -> None:
        with replacing(self._folder / "vocabulary.csv") as path:
            with open(path, "w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(["Index", "TrainVideoCount", "Name"])
                rows.writerows([label.id, self._label_counts[label.id], label.name] for label in LABELS)
