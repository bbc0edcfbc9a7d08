"""One Arrow file of a store to words: a pure function of the file, so files may be done again after a kill.

Ids are those of the file's own words, in the order they were met; `building` makes the set's of them. In memory are
one record batch, and each distinct word once.
"""

import collections
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from mmvid.config import Options, option
from mmvid.durable import replacing
from mmvid.records import manifest as stored
from mmvid.records.segments import video_of
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT, Text, TextIndex
from mmvid.records.textset.manifest import FieldCounts, Overlap, SplitCounts
from mmvid.records.textset.tokens import COLUMNS, FIELDS
from mmvid.text.fields import Cleaning, clean_keywords, clean_title
from mmvid.text.labels import LabelNames, Removal, overlap, remove
from mmvid.text.marks import unmark
from mmvid.text.multilingual import AlignedVectors
from mmvid.text.vectors import WordVectors

STATE = ".build"  # folder in a text set that is not complete yet
_MISSES = 1_000_000  # words without a vector that are remembered at a time

_SCHEMA = pa.schema([pa.field(column, pa.list_(pa.int32())) for column in COLUMNS])


@dataclass(frozen=True)
class Task:
    """What the words of one file depend on.

    Attributes:
        folder: the text set's folder.
        store, file: the file and its store.
        index: titles and keywords from elsewhere; None for the store's own.
        vectors: words without a vector are dropped.
        cleaning, removal: see `fields` and `labels`.
        names: the names of the labels, cleaned.
        request: digest of all that, but for the file.
    """

    folder: Path
    store: Store
    file: stored.FileEntry
    index: TextIndex | None
    vectors: WordVectors | AlignedVectors
    cleaning: Cleaning
    removal: Removal
    names: LabelNames
    request: str

    @property
    def key(self) -> str:
        told = json.dumps([self.request, self.file.digest])
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    @property
    def path(self) -> Path:
        return self.folder / STATE / self.file.name


class Done(Options):
    """The note that a file is done, and what came of it."""

    key: str = option(..., "the task's key")
    counts: SplitCounts = option(..., "counts of its videos")
    joined: int = option(..., "videos whose id has a row in the text files")
    words: list[str] = option(..., "its words, by their ids in the file")
    occurrences: list[tuple[int, int]] = option(..., "how often each stands in titles and in keywords")


def convert(task: Task) -> None:
    """Writes the words of one file, and at last the note that it is done, each whole or not at all."""
    words = _Words(task.vectors, task.cleaning.lower_case)
    tally = _Tally()
    joined, last = 0, ""
    with replacing(task.path) as temporary, pa.ipc.new_file(str(temporary), _SCHEMA) as written:
        for batch in _batches(task.store.folder / task.file.name):
            rows = []
            for id, labels, text in read_rows(batch, task.store, task.index):
                joined += text is not None and id != last  # segments of a video follow one another
                last = id
                rows.append(_row(task, labels, text or NO_TEXT, tally))
            words.learn(word for row in rows for column in FIELDS for word in row[column] or ())
            ids = {column: [words.ids(row[column] or ()) for row in rows] for column in COLUMNS}
            _count(tally, rows, ids)
            words.count(ids)
            written.write_batch(
                pa.RecordBatch.from_pydict(
                    {column: pa.array(ids[column], pa.list_(pa.int32())) for column in COLUMNS}, _SCHEMA
                )
            )
    done = Done(
        key=task.key,
        counts=tally.counts(),
        joined=joined,
        words=list(words.known),
        occurrences=[(words.occurrences["title", each], words.occurrences["keywords", each]) for each in words],
    )
    with replacing(_note_path(task)) as path:
        path.write_text(done.model_dump_json(), encoding="utf-8")


def find_done(task: Task) -> Done | None:
    """What came of this very task, if it is done, by this process or an earlier one."""
    try:
        done = Done.model_validate_json(_note_path(task).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return done if done.key == task.key and task.path.exists() else None


def read_ids(task: Task) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The ids that `convert` wrote: for each column the lengths and the values of some videos."""
    for batch in _batches(task.path):
        yield {
            column: (
                np.diff(batch.column(column).offsets.to_numpy()),
                batch.column(column).flatten().to_numpy(),
            )
            for column in COLUMNS
        }


def read_rows(
    batch: pa.RecordBatch, store: Store, index: TextIndex | None
) -> Iterator[tuple[str, list[int], Text | None]]:
    """The id, the labels and the text of each row; of a segment the id and the text are its video's."""
    ids = batch.column("id").to_pylist()
    if store.schema.segments is not None:
        ids = [video_of(id) for id in ids]
    labels = batch.column("labels").to_pylist()
    if index is not None:
        texts = map(index.find, ids)
    else:
        columns = (batch.column(name).to_pylist() for name in ("title", "keywords", "language"))
        texts = (
            Text(title, keywords, language) if title is not None or keywords is not None else None
            for title, keywords, language in zip(*columns, strict=True)
        )
    yield from zip(ids, (each or [] for each in labels), texts, strict=True)


Row = dict[str, list[str] | None]


@dataclass
class _Field:
    """Sums over one field, as `FieldCounts`."""

    sums: collections.Counter = field(default_factory=collections.Counter)
    overlap: collections.Counter = field(default_factory=collections.Counter)


class _Tally:
    def __init__(self):
        self.videos = self.both = self.either = 0
        self.fields = {name: _Field() for name in FIELDS}

    def counts(self) -> SplitCounts:
        return SplitCounts(
            videos=self.videos,
            both=self.both,
            either=self.either,
            **{name: FieldCounts(**each.sums, overlap=Overlap(**each.overlap)) for name, each in self.fields.items()},
        )


class _Words:
    """The words of a file that have a vector: ids in the order they were met, and how often each occurs."""

    def __init__(self, vectors: WordVectors | AlignedVectors, lower_case: bool):
        self.vectors, self.lower_case = vectors, lower_case
        self.known: dict[str, int] = {}
        self.spelt: dict[str, int] = {}  # words as they stand in the text, that have an id
        self.missed: set[str] = set()
        self.occurrences: collections.Counter[tuple[str, int]] = collections.Counter()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.known)))

    def learn(self, words: Iterator[str]) -> None:
        """Looks up the words that were not met yet."""
        if len(self.missed) > _MISSES:
            self.missed.clear()
        new = [word for word in dict.fromkeys(words) if word not in self.spelt and word not in self.missed]
        found = dict(zip(new, self._found(new), strict=True))
        lower = [word for word in new if not found[word]] if self.lower_case else []
        folded = [word.lower() for word in lower]
        spelling = {word: low for word, low, here in zip(lower, folded, self._found(folded), strict=True) if here}
        for word in new:
            kept = word if found[word] else spelling.get(word)
            if kept is None:
                self.missed.add(word)
            else:
                self.spelt[word] = self.known.setdefault(kept, len(self.known))

    def ids(self, words: list[str]) -> list[int]:
        spelt = self.spelt
        return [spelt[word] for word in words if word in spelt]

    def count(self, ids: dict[str, list[list[int]]]) -> None:
        for name in FIELDS:
            self.occurrences.update((name, id) for row in ids[name] for id in row)

    def _found(self, words: list[str]) -> list[bool]:
        return (self.vectors.rows(words) >= 0).tolist()


def _row(task: Task, labels: list[int], text: Text, tally: _Tally) -> Row:
    """The words of one video, in each column; None in a field that it lacks or that is not English."""
    row: Row = {}
    given = {"title": text.title, "keywords": text.keywords}
    clean = {"title": clean_title, "keywords": clean_keywords}
    for name in FIELDS:
        sums = tally.fields[name].sums
        words = None
        if not given[name]:
            sums["absent"] += 1
        elif (words := clean[name](given[name], text.language, task.cleaning)) is None:
            sums["not_english"] += 1
        row[name] = row[f"{name}_unlabelled"] = words
        if words and labels:
            names = task.names.of(name, labels)
            before, plain = unmark(words)
            row[f"{name}_unlabelled"] = [before + word for word in remove(plain, names, task.removal)]
            shares = overlap(plain, names, len(labels))
            tally.fields[name].overlap.update(
                {"videos": 1, "whole": int(shares.whole), "labels": shares.labels, "words": shares.words}
            )
    return row


def _count(tally: _Tally, rows: list[Row], ids: dict[str, list[list[int]]]) -> None:
    for place, row in enumerate(rows):
        known = []
        for name in FIELDS:
            words, found = row[name], ids[name][place]
            known.append(bool(found))
            if words is None:
                continue
            rest = len(ids[f"{name}_unlabelled"][place])
            tally.fields[name].sums.update(
                {
                    "known" if found else "unknown": 1,
                    "known_unlabelled": rest > 0,
                    "words": len(words),
                    "known_words": len(found),
                    "removed_words": len(found) - rest,
                }
            )
        tally.videos += 1
        tally.both += all(known)
        tally.either += any(known)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _note_path(task: Task) -> Path:
    return task.path.with_suffix(".json")
