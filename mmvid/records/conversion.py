"""One source shard to Arrow files: a pure function of the shard, so shards may be done in any order, by any
number of processes, and again after a kill."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from mmvid import storage
from mmvid.config import Options, option
from mmvid.durable import replacing
from mmvid.records.described import read_described
from mmvid.records.manifest import LISTED, Counts, FileEntry, OnError, ShardEntry, Skipped, SkippedRecord
from mmvid.records.schema import Problem, Schema
from mmvid.records.segments import decode_rows
from mmvid.records.shards import ShardWriter, Whereabouts
from mmvid.records.sources import is_rows
from mmvid.records.splits import hash64, split_of
from mmvid.records.text import NO_TEXT, Text, TextIndex
from mmvid.records.video import BadRecord, Video
from mmvid.storage import File
from mmvid.tfrecords.example import Parser
from mmvid.tfrecords.framing import CorruptRecord, masked_crc32c, read_records

STATE = ".ingest"  # folder in a store that is not complete yet


@dataclasses.dataclass(frozen=True)
class Task:
    """The conversion of one shard; all that its result depends on.

    Attributes:
        store: the folder to write into.
        source: the TFRecord file, or file of rows, by whose size and version it is known again; `relative` is its name
            in the source.
        split: the source split, and `number` the shard's place in it.
        schema: what its records hold.
        frames: modality -> type of its frames, see `shards.columns`.
        has_dev, dev_share, seed: see `splits.split_of`.
        on_error: whether a record that does not fit stops the ingest.
        streamed: whether the features of train stay in the shard.
        text, text_index, text_digest: the text file, its saved index and its digest; None without text.
    """

    store: Path
    source: File
    relative: str
    split: str
    number: int
    schema: Schema
    frames: dict[str, str]
    has_dev: bool
    dev_share: float
    seed: int
    on_error: OnError
    text: Path | None = None
    text_index: Path | None = None
    text_digest: str | None = None
    streamed: bool = False

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"

    def __str__(self) -> str:
        return self.relative

    def key(self) -> str:
        """A digest of everything that decides the result; where files lie does not."""
        told = [
            self.relative,
            self.split,
            self.number,
            self.source.size,
            self.source.version,
            self.schema.model_dump(mode="json"),
        ]
        told += [self.frames, self.has_dev, self.dev_share, self.seed, self.on_error, self.text_digest]
        told += [["streamed", self.source.place]] if self.streamed else []
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


class Done(Options):
    """The note that a shard is done, and what came of it."""

    key: str = option(..., "the task's key")
    files: list[FileEntry] = option(..., "the files, by split")
    counts: dict[str, Counts] = option(..., "counts of each split that got a video")
    skipped: Skipped = option(..., "records left out")
    hidden_ids: int = option(..., "videos whose id the source hides")
    joined: int = option(..., "videos whose id has a line in the text file")


def convert(task: Task) -> None:
    """Converts one shard.

    Writes the Arrow files, the hashes of the ids, and at last a note that the shard is done (see `find_done`), each
    whole or not at all. Memory: at most twice `shards.BATCH_BYTES` for each split that the shard gives to, and one
    record.

    Raises:
        CorruptRecord, BadRecord: at the first record that does not fit, if `on_error` is `stop`.
        ValueError: if the file changed since the ingest began. OSError: if it is gone, or cannot be read.
    """
    writers: dict[str, ShardWriter] = {}
    hashes, problems, joined, hidden = [], [], 0, 0
    texts = _texts(task)
    _note_path(task).unlink(missing_ok=True)  # it may be another ingest's, whose files are now replaced
    if task.source.size == 0:
        empty = CorruptRecord(task.source.place, 0, "truncated", "the file is empty")
        if task.on_error == "stop":
            raise empty
        problems.append(empty)
    with contextlib.ExitStack() as stack:
        for row, videos, text, whereabouts in _numbered(task, problems):
            # The id, the text and the split are the video's: segments of one are never divided between splits.
            id = _name(task, row, videos[0].id)
            hidden += not videos[0].id
            text = texts.find(videos[0].id) if texts is not None else text
            joined += texts is not None and text is not None
            split = split_of(id, task.split, has_dev=task.has_dev, seed=task.seed, share=task.dev_share)
            if split not in writers:
                path = task.store / f"{split}-{task.number:05d}.arrow"
                streamed = task.streamed and split == "train"
                writers[split] = stack.enter_context(ShardWriter(path, split, task.schema, task.frames, streamed))
            for video in videos:
                name = id if video.start is None else f"{id}:{video.start}"
                writers[split].add(name, video, text or NO_TEXT, whereabouts)
            hashes.append(hash64(id))
        storage.check_unchanged(task.source)
    done = Done(
        key=task.key(),
        files=[_entry(task, writers[split]) for split in sorted(writers)],
        counts={split: writers[split].counts for split in sorted(writers)},
        skipped=_skipped(task, problems),
        hidden_ids=hidden,
        joined=joined,
    )
    with replacing(hashes_path(task)) as path, open(path, "wb") as file:
        np.array(hashes, "<u8").tofile(file)
    with replacing(_note_path(task)) as path:
        path.write_text(done.model_dump_json(), encoding="utf-8")


def find_done(task: Task) -> Done | None:
    """What came of this very task, if it is done, by this process or an earlier one, and its files are there."""
    try:
        done = Done.model_validate_json(_note_path(task).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if done.key != task.key() or not hashes_path(task).exists():
        return None
    paths = [(task.store / file.name, file.bytes) for file in done.files]
    return done if all(path.exists() and path.stat().st_size == size for path, size in paths) else None


def hashes_path(task: Task) -> Path:
    """The file with the 64-bit hashes of the shard's ids, in the order of its records."""
    return task.store / STATE / f"{task.name}.hashes"


def named_videos(task: Task) -> Iterator[tuple[int, str]]:
    """The number of each record that is kept, and the id that its video has in the store."""
    for row, videos, _, _ in _numbered(task, []):
        yield row, _name(task, row, videos[0].id)


def frames_type(frames: np.ndarray) -> str:
    """The Arrow type of a modality's frames."""
    return "uint8" if frames.dtype == np.uint8 else "float"


def _entry(task: Task, writer: ShardWriter) -> FileEntry:
    if not writer.streamed:
        return writer.entry
    shard = ShardEntry(
        name=task.relative,
        place=storage.absolute(task.source),
        size=task.source.size,
        version=task.source.version,
    )
    return writer.entry.model_copy(update={"shard": shard})


def _numbered(task: Task, problems: list[Problem]) -> Iterator[tuple[int, list[Video], Text | None, Whereabouts]]:
    """Of each record its number, which skipped ones count for too, its rows, a video or its segments, its text, and
    where it is.
    """
    if is_rows(task.source):
        for number, (video, text) in enumerate(read_described(task.source, task.schema)):
            yield number, [video], text, (0, 0)
        return

    def report(problem: Problem) -> None:
        if task.on_error == "stop":
            raise problem
        problems.append(problem)

    parse, good = Parser().parse, 0
    for offset, payload in read_records(task.source, report):
        try:
            videos = decode_rows(task.schema, payload, parse)
            for video in videos:
                _check_frames(task, video)
        except BadRecord as error:
            report(error.at(task.source, offset))
            continue
        yield good + len(problems), videos, None, (offset, masked_crc32c(payload) if task.streamed else 0)
        good += 1


def _note_path(task: Task) -> Path:
    return task.store / STATE / f"{task.name}.json"


def _name(task: Task, row: int, id: str) -> str:
    return id or f"{task.relative}#{row}"


def _check_frames(task: Task, video: Video) -> None:
    for modality, rows in video.frames.items():
        kind = task.frames.get(modality)
        if kind is None:
            what = f"has frames of {modality!r}, the data set's first record has none"
            raise BadRecord("frames", what, video.id)
        if frames_type(rows) != kind:
            what = f"frames of {modality!r} are {frames_type(rows)}, those of the data set's first record {kind}"
            raise BadRecord("frames", what, video.id)


def _texts(task: Task) -> TextIndex | None:
    return None if task.text is None else _load_texts(task.text, task.text_index, task.text_digest)


_load_texts = functools.cache(TextIndex.load)  # once a process, not once a shard


def _skipped(task: Task, problems: list[Problem]) -> Skipped:
    reasons = collections.Counter(problem.reason for problem in problems)
    records = [
        SkippedRecord(
            file=task.relative,
            byte=problem.offset,
            reason=problem.reason,
            what=problem.what if (id := getattr(problem, "id", None)) is None else f"video {id!r}: {problem.what}",
        )
        for problem in problems[:LISTED]
    ]
    return Skipped(count=len(problems), reasons=dict(sorted(reasons.items())), records=records)
