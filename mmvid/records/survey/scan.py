"""One pass over TFRecord files, or a store, that tells what is in them.

Memory: 8 bytes a record for each key that may be the id, and some 2 MiB for each key of floats, whatever the number of
records.
"""

import collections
import contextlib
import dataclasses
import glob
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from mmvid.records.schema import Problem, Schema
from mmvid.records.segments import decode_rows
from mmvid.records.store import Store
from mmvid.records.survey.keys import Key, Where
from mmvid.records.video import BadRecord
from mmvid.tfrecords.example import Parser, Record
from mmvid.tfrecords.framing import read_records
from mmvid.tfrecords.values import read_bytes
from mmvid.tfrecords.wire import MalformedExample

MOST_KEYS = 256  # keys that are looked into; no data set has as many
_RECORD_FILE = re.compile(r"\.tfrec(ord)?s?(-\d+-of-\d+)?(\.gz)?$")


@dataclasses.dataclass
class Part:
    """A file, or a split of a store."""

    name: str
    bytes: int
    records: int = 0
    broken: int = 0
    whole: bool = True


@dataclasses.dataclass
class Survey:
    """What is in some records.

    Attributes:
        source: what was looked at. kind: of what it is.
        parts: its files, or a store's splits.
        keys: the keys that were found, by whether they are feature lists, and by name.
        other_keys: how often a key came that was not looked into, because there were `MOST_KEYS` already.
        reasons: how many records are broken, by the kind of fault. first: the first fault, in words.
        limit: records that were read of each part; 0 for all.
        schema: the schema that every record was held to, if one was given or it is a store's.
        seconds: how long it took.
    """

    source: str
    kind: Literal["TFRecord", "store"]
    parts: list[Part]
    keys: dict[tuple[bool, str], Key] = dataclasses.field(default_factory=dict)
    other_keys: int = 0
    reasons: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first: str = ""
    limit: int = 0
    schema: Schema | None = None
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """Records that were read, broken ones too."""
        return sum(part.records for part in self.parts)

    @property
    def broken(self) -> int:
        return self.reasons.total()

    @property
    def intact(self) -> int:
        """Records that are not broken."""
        return self.records - self.broken

    def key(self, name: str | None, steps: bool = False) -> Key | None:
        return self.keys.get((steps, name)) if name is not None else None

    def open_key(self, name: str, steps: bool = False) -> Key | None:
        """The key of this name, a new one if it was not there; None if there are too many."""
        key = self.keys.get((steps, name))
        if key is None:
            if len(self.keys) == MOST_KEYS:
                self.other_keys += 1
                return None
            key = self.keys[steps, name] = Key(name, steps)
        return key

    def report(self, problem: Problem | ValueError) -> None:
        self.reasons[getattr(problem, "reason", "store")] += 1
        self.first = self.first or str(problem)


def find_files(data: str) -> list[Path]:
    """The TFRecord files that a path stands for, in the order of their names.

    Args:
        data: a file; a folder, whose files ending in .tfrecord, .tfrecords, .tfrec (-00000-of-00010, .gz) are taken
            with those of its subfolders, hidden ones excepted; or a pattern with `*`, `?`, `[...]` or `**`.

    Raises:
        ValueError: if there are none.
    """
    path = Path(data)
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if _RECORD_FILE.search(each.name) and each.is_file())
        found = [each for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts)]
        if not found:
            raise ValueError(
                f"data must hold TFRecord files, none below {data} ends in .tfrecord, .tfrecords, .tfrec or these with"
                " .gz; name other files by a pattern such as 'folder/*'"
            )
        return found
    if path.exists():
        return [path]
    found = sorted(Path(each) for each in glob.glob(data, recursive=True) if Path(each).is_file())
    if not found:
        raise ValueError(f"data must be a TFRecord file, a folder, a pattern or a store, there is nothing at {data}")
    return found


def survey_files(
    paths: list[Path], *, source: str = "", schema: Schema | None = None, limit: int = 0, progress: bool = True
) -> Survey:
    """Reads TFRecord files of any schema.

    Args:
        paths: the files, plain or gzip.
        source: what they are together.
        schema: if given, each record is held to it as an ingest would, and those that do not fit count as broken.
        limit: records to read of each file; 0 for all.
        progress: whether to show a progress bar, over bytes, where standard error is a terminal.

    Raises:
        ValueError: if not one record of all files can be read. OSError: if a file cannot be opened.
    """
    survey = Survey(source or str(paths[0]), "TFRecord", [], limit=limit, schema=schema)
    began, total = time.perf_counter(), sum(path.stat().st_size for path in paths)
    with _bar(total, progress) as bar:
        for path in paths:
            survey.parts.append(Part(str(path), path.stat().st_size))
            _read_file(survey, path, bar)
    return _finished(survey, began)


def survey_store(store: Store, *, limit: int = 0, progress: bool = True) -> Survey:
    """Reads a store: `limit` rows of each split, or all, whose digests are then checked, too."""
    began, files = time.perf_counter(), store.contents.files
    parts = [
        Part(split, sum(file.bytes for file in files if file.split == split), whole=not limit) for split in store.splits
    ]
    survey = Survey(str(store.folder), "store", parts, limit=limit, schema=store.schema)
    with _bar(sum(store.count(part.name) for part in parts), progress, "rows") as bar:
        for part in parts:
            for batch in store.batches(part.name):
                batch = batch[: limit - part.records] if limit else batch
                _read_batch(survey, batch, (f"split {part.name}", part.records))
                part.records += len(batch)
                bar.update(len(batch))
                if limit and part.records == limit:
                    break
    if not limit:
        try:
            store.verify()
        except ValueError as error:
            survey.report(error)
    return _finished(survey, began)


def find_doubled(survey: Survey, name: str, hashes: set[int]) -> str:
    """Where an id stands that comes twice; found by reading the files again, up to its second place."""
    places: dict[bytes, str] = {}
    for place, id in _ids(survey, name):
        if hash(id) not in hashes:
            continue
        if id in places:
            return f"{id.decode(errors='replace')!r} in {places[id]} and in {place}"
        places[id] = place
    return ""


def _ids(survey: Survey, name: str) -> Iterator[tuple[str, bytes]]:
    if survey.kind == "store":
        store = Store.open(survey.source)
        for part in survey.parts:
            for row, id in enumerate(store.table(part.name).column("id").to_pylist()):
                yield f"row {row} of {part.name}", id.encode()
        return
    for part in survey.parts:
        parse = Parser().parse
        for count, (offset, payload) in enumerate(read_records(part.name, lambda problem: None)):
            if survey.limit and count == survey.limit:
                break
            with contextlib.suppress(MalformedExample):  # counted as broken already
                record = parse(payload)
                if name in record.context:
                    for value in read_bytes(record.data, record.context[name]):
                        yield f"{part.name} (byte {offset})", value


def _read_file(survey: Survey, path: Path, bar: tqdm) -> None:
    part, parse, begun = survey.parts[-1], Parser().parse, bar.n

    def report(problem: Problem) -> None:
        part.records += 1
        part.broken += 1
        survey.report(problem)

    for offset, payload in read_records(path, report):
        if survey.limit and part.records >= survey.limit:
            part.whole = False
            break
        problem = _read_record(survey, parse, payload, (str(path), offset))
        if problem is None:
            part.records += 1
        else:
            report(problem.at(path, offset))
        if part.records % 256 == 0:
            bar.update(min(offset, part.bytes) - (bar.n - begun))  # a gzip file's offsets run ahead of its bytes
    bar.update(part.bytes - (bar.n - begun))


def _read_record(survey: Survey, parse, payload: bytes, where: Where) -> BadRecord | None:
    """Adds a record to the survey; the first thing that is wrong with it, or None."""
    try:
        record = parse(payload)
    except MalformedExample as error:
        return BadRecord("unreadable", str(error))
    problem = None
    for steps, places in ((False, record.context), (True, record.lists)):
        for name, place in places.items():
            key = survey.keys.get((steps, name)) or survey.open_key(name, steps)
            if key is None:
                continue
            try:
                (key.add_steps if steps else key.add)(record.data, place, where)
            except MalformedExample as error:
                problem = problem or BadRecord("unreadable", f"{name!r}: {error}")
            except BadRecord as error:
                problem = problem or error
    return _misfit(survey.schema, payload, record) or problem if survey.schema else problem


def _misfit(schema: Schema, payload: bytes, record: Record) -> BadRecord | None:
    try:
        decode_rows(schema, payload, lambda _: record)
    except BadRecord as error:
        return error
    return None


def _read_batch(survey: Survey, batch: pa.RecordBatch, where: Where) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind, valid = column.type, column.drop_null()
        key = survey.open_key(name, steps=name.startswith("frames."))
        if not len(valid):
            continue
        if name.startswith("features."):
            key.add_vectors(valid.flatten().to_numpy().reshape(-1, kind.list_size), None, where)
        elif name.startswith("frames."):
            values = valid.flatten().flatten().to_numpy().reshape(-1, kind.value_type.list_size)
            key.add_vectors(values, np.diff(valid.offsets.to_numpy()), where)
        elif pa.types.is_integer(kind):
            key.add_integers(valid.to_numpy().astype(np.int64), np.ones(len(valid), np.int64))
        elif pa.types.is_string(kind):
            for value in valid.to_pylist():
                key.add_strings([value.encode()])
        elif pa.types.is_string(kind.value_type):
            for values in valid.to_pylist():
                key.add_strings([value.encode() for value in values])
        else:
            key.add_integers(valid.flatten().to_numpy().astype(np.int64), np.diff(valid.offsets.to_numpy()))


def _finished(survey: Survey, began: float) -> Survey:
    for key in survey.keys.values():
        key.flush()
    survey.seconds = time.perf_counter() - began
    if not survey.records:
        raise ValueError(f"{survey.source} holds no records: {len(survey.parts)} file(s), all empty")
    if survey.kind == "TFRecord" and survey.broken == survey.records and not survey.keys:
        raise ValueError(f"not one record can be read, is this a TFRecord file? {survey.first}")
    return survey


def _bar(total: int, progress: bool, unit: str = "B") -> tqdm:
    shown = progress and sys.stderr.isatty()
    return tqdm(desc="inspect", total=total, unit=unit, unit_scale=True, disable=not shown)
