"""TFRecords, their text and their labels' names become a store.

One source shard is one task. A killed ingest goes on with the shards that it had not finished, and ends with
the same bytes; so does one with another number of processes.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from mmvid import storage
from mmvid.durable import claimed, remove_leftovers, replacing
from mmvid.manifests import NAME
from mmvid.records.conversion import STATE, Task, convert, find_done, frames_type
from mmvid.records.distinct import check_distinct
from mmvid.records.manifest import (
    FORMAT,
    Counts,
    FileEntry,
    Manifest,
    OnError,
    Skipped,
    Source,
    TextCounts,
    add_counts,
    add_skipped,
    sizes_of,
    store_digest,
)
from mmvid.records.processes import run_in_processes
from mmvid.records.schema import Schema, load_schema
from mmvid.records.sources import Shards, Sources, absolute, find_sources, is_rows
from mmvid.records.splits import PAPER_DEV_SHARE, SPLITS
from mmvid.records.store import Store
from mmvid.records.text import TextIndex
from mmvid.records.vocabulary import read_vocabulary, unnamed
from mmvid.storage import File

__all__ = ["OnError", "fingerprint", "ingest"]

TEXT_FILE = "text.jsonl"


def ingest(
    data: str | os.PathLike,
    schema: Schema | str | os.PathLike,
    folder: str | os.PathLike,
    *,
    text: str | os.PathLike = "auto",
    vocabulary: str | os.PathLike = "auto",
    on_error: OnError = "stop",
    stream: bool = False,
    dev_share: float = PAPER_DEV_SHARE,
    seed: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> Store:
    """Makes a store of TFRecords, or finds it made.

    A process needs some 80 MiB for its libraries, and at most 16 MiB for each split that a shard gives to (three where
    dev is cut from train), whatever the size of shards and store. The text file adds 16 bytes a line, which all
    processes share; one on S3 is copied to the store's folder as long as the ingest runs.

    Args:
        data: a folder, a pattern or a list, on disk or on S3; see `sources.find_sources`.
        schema: a schema, the name of a built-in one, or a YAML file.
        folder: where the store goes: nothing, an empty folder, a store, or what a killed ingest left. A store of
            the same input is returned as it is, one of another input is replaced.
        text: JSON Lines of titles and keywords (see `text`); `auto` takes text.jsonl in `data` if it is there, or
            what files of rows say themselves, `none` takes no file.
        vocabulary: CSV of the labels' names (see `vocabulary`); `auto` takes the first of the schema's files that
            is in `data`, `none` takes none. Without one, labels are called `label 12`.
        on_error: `stop` raises at the first record that is damaged or does not fit; `skip` leaves such records out,
            and the manifest counts and lists them.
        stream: leaves the features of train in their shards, which must stay where they are and as they are: a
            training reads them from there (see `streaming`). Their ids, labels and texts are kept, and where each
            record begins.
        dev_share: share of train that becomes dev and gate where the source has no dev.
        seed: which videos of train that share takes.
        workers: processes; each does one shard at a time.
        progress: whether to show a progress bar, over bytes.

    Raises:
        ValueError: one sentence that says what is wrong, and in which file, at which byte and with which id. Also,
            whatever `on_error` is, if an id comes twice.
        OSError: if a file cannot be read or written, or a worker process died.
    """
    folder = Path(folder)
    schema = schema if isinstance(schema, Schema) else load_schema(schema)
    if not 0 < dev_share < 1:
        raise ValueError(f"dev_share must be between 0 and 1, got {dev_share}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if on_error not in ("stop", "skip"):
        raise ValueError(f"on_error must be stop or skip, got {on_error!r}")
    sources = find_sources(data)
    _check_rows(sources, on_error, stream)
    if stream and schema.segments is not None:
        raise ValueError(f"schema {schema.name} has rated segments, which cannot be streamed")
    vocabulary_file = _vocabulary_file(sources, schema, vocabulary)
    if vocabulary_file is None:
        names = [unnamed(label) for label in range(schema.classes)]
    else:
        names = read_vocabulary(vocabulary_file, schema.classes)
    text_file = _text_file(sources, text)
    with claimed(folder, (NAME, STATE), "a store", "ingests into"):
        index = None if text_file is None else _index(text_file, folder)
        tasks = _plan(schema, folder, sources.shards, index, (dev_share, seed, on_error, stream))
        request = _digest([FORMAT, names, [task.key() for task in tasks]])
        if (folder / NAME).exists():
            if Manifest.read(folder).source.request == request:
                shutil.rmtree(folder / STATE, ignore_errors=True)
                return Store.open(folder)
        (folder / STATE).mkdir(exist_ok=True)
        (folder / NAME).unlink(missing_ok=True)  # from here on there is no store until the new one is whole
        _remove_leftovers(folder)
        if index is not None:
            index.save(tasks[0].text_index)
        try:
            _run(tasks, workers, progress)
        finally:
            _remove_leftovers(folder)
        check_distinct(tasks)
        source = Source(
            folder=absolute(data),
            request=request,
            has_dev="dev" in sources.shards,
            dev_share=dev_share,
            seed=seed,
            on_error=on_error,
            vocabulary=None if vocabulary_file is None else storage.absolute(vocabulary_file),
        )
        _manifest(schema, names, source, index, tasks).write(folder)
        shutil.rmtree(folder / STATE)
        _remove_others(folder)
    return Store.open(folder)


def fingerprint(
    data: str | os.PathLike,
    *,
    schema: str | os.PathLike = "",
    text: str | os.PathLike = "auto",
    vocabulary: str | os.PathLike = "auto",
) -> str:
    """A cheap digest of what an ingest would read: names, sizes and versions of shards, text and labels' names.

    The schema is told by its content. Where the vocabulary is found by itself, every CSV file beside the shards
    counts. A version is the time of change, on S3 the ETag.

    Raises:
        ValueError: as `sources.find_sources`, or if a file that is named is not there.
    """
    sources = find_sources(data)
    named = [(split, name, file) for split, found in sources.shards.items() for name, file in found.items()]
    text_file = _text_file(sources, text)
    beside = [] if text_file is None else [text_file]
    if str(vocabulary) == "auto":
        listed = (file for folder in sources.folders for file in storage.list_files(folder))
        beside += [file for file in listed if file.name.endswith(".csv")]
    elif str(vocabulary) != "none":
        beside.append(_existing(vocabulary, "vocabulary"))
    named += [("", file.name, file) for file in beside]
    told = [(split, name, file.size, file.version) for split, name, file in named]
    return _digest([told, load_schema(schema).model_dump(mode="json") if str(schema) else None])


def _check_rows(sources: Sources, on_error: OnError, stream: bool) -> None:
    if not any(is_rows(file) for files in sources.shards.values() for file in files.values()):
        return
    if on_error == "skip":
        raise ValueError("on_error must be stop for files of rows: they are text, to be put right")
    if stream:
        raise ValueError("stream must be False for files of rows: they have no features to leave there")


def _digest(content: list) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def _text_file(sources: Sources, text: str | os.PathLike) -> File | None:
    if str(text) == "auto":
        rows = all(is_rows(file) for files in sources.shards.values() for file in files.values())
        return None if rows else sources.beside(TEXT_FILE)  # rows have text of their own
    return None if str(text) == "none" else _existing(text, "text")


def _vocabulary_file(sources: Sources, schema: Schema, vocabulary: str | os.PathLike) -> File | None:
    if str(vocabulary) == "auto":
        found = map(sources.beside, schema.vocabulary_files)
        return next((file for file in found if file is not None), None)
    return None if str(vocabulary) == "none" else _existing(vocabulary, "vocabulary")


def _existing(place: str | os.PathLike, option: str) -> File:
    file = storage.find_file(place)
    if file is None:
        raise ValueError(f"{option} must be auto, none or a file, there is none at {place}")
    return file


def _index(text: File, folder: Path) -> TextIndex:
    """The index of a text file, which is read here and there: one on S3 is copied first."""
    if not storage.is_remote(text):
        return TextIndex.build(Path(text))
    (folder / STATE).mkdir(exist_ok=True)
    copied = folder / STATE / TEXT_FILE
    try:
        with replacing(copied) as temporary, storage.opened(text) as source, open(temporary, "xb") as target:
            shutil.copyfileobj(source, target)
        return TextIndex.build(copied, called=text.place)
    except BaseException:
        copied.unlink(missing_ok=True)
        raise


def _plan(
    schema: Schema,
    folder: Path,
    shards: Shards,
    index: TextIndex | None,
    options: tuple[float, int, OnError, bool],
) -> list[Task]:
    dev_share, seed, on_error, stream = options
    frames = _first_frames(schema, shards)
    tasks = []
    for split, files in shards.items():
        for number, (name, file) in enumerate(files.items()):
            tasks.append(
                Task(
                    store=folder,
                    source=file,
                    relative=name,
                    split=split,
                    number=number,
                    schema=schema,
                    frames=frames,
                    has_dev="dev" in shards,
                    dev_share=dev_share,
                    seed=seed,
                    on_error=on_error,
                    streamed=stream,
                    text=None if index is None else index.path,
                    text_index=None if index is None else folder / STATE / "text.npy",
                    text_digest=None if index is None else index.digest,
                )
            )
    return tasks


def _first_frames(schema: Schema, shards: Shards) -> dict[str, str]:
    """The types of the frames of the first video that can be read; modalities that it lacks are of bytes."""
    for files in shards.values():
        for file in (file for file in files.values() if not is_rows(file)):
            for video in schema.read(file, on_bad=lambda problem: None):
                kinds = {modality: frames_type(rows) for modality, rows in video.frames.items()}
                framed = [modality for modality, spec in schema.features.items() if spec.frames and kinds]
                return {modality: kinds.get(modality, "uint8") for modality in framed}
    return {}


def _run(tasks: list[Task], workers: int, progress: bool) -> None:
    """Converts the shards that are not done yet."""
    shown = progress and sys.stderr.isatty()
    waiting = [task for task in tasks if find_done(task) is None]
    total, left = (sum(task.source.size for task in part) for part in (tasks, waiting))
    # What was there already is `initial`: it says nothing about speed.
    with tqdm(desc="ingest", total=total, initial=total - left, unit="B", unit_scale=True, disable=not shown) as bar:
        for task in _converted(waiting, min(workers, len(waiting))):
            bar.update(task.source.size)


def _converted(waiting: list[Task], workers: int) -> Iterator[Task]:
    """Yields each task when its shard is done."""
    if workers > 1:
        remote = any(storage.is_remote(task.source) for task in waiting)
        # The main module, which every process imports again, most likely imports this one.
        modules = (__name__, *(storage.REMOTE_MODULES if remote else ()))
        yield from run_in_processes(convert, waiting, workers, modules)
        return
    for task in waiting:
        convert(task)
        yield task


def _manifest(schema: Schema, names: list[str], source: Source, index: TextIndex | None, tasks: list[Task]) -> Manifest:
    """Adds up what the shards' notes say, one note at a time: thousands of them would not be small."""
    files: list[FileEntry] = []
    splits: dict[str, Counts] = {}
    skipped, hidden, joined = Skipped(), 0, 0
    for done in map(find_done, tasks):
        files += done.files
        for split, counts in done.counts.items():
            splits[split] = add_counts(splits[split], counts) if split in splits else counts
        skipped = add_skipped(skipped, done.skipped)
        hidden += done.hidden_ids
        joined += done.joined
    if not splits.keys() & {"train", "dev", "gate"}:
        first = f"; the first: {skipped.records[0].what}" if skipped.records else ""
        raise ValueError(f"{source.folder}: no record of train could be kept, {skipped.count} were skipped{first}")
    files.sort(key=lambda file: (SPLITS.index(file.split), file.name))
    text = None
    if index is not None:
        rows = len(index)
        text = TextCounts(file=storage.absolute(index.called), rows=rows, joined=joined, no_video=rows - joined)
    return Manifest(
        digest=store_digest(schema, names, files),
        schema=schema,
        features=sizes_of(schema, (counts.features for counts in splits.values())),
        frames=sizes_of(schema, (counts.frames for counts in splits.values())),
        names=names,
        splits={split: splits[split] for split in SPLITS if split in splits},
        files=files,
        skipped=skipped,
        hidden_ids=hidden,
        text=text,
        source=source,
    )


def _remove_leftovers(folder: Path) -> None:
    remove_leftovers(folder)
    remove_leftovers(folder / STATE)


def _remove_others(folder: Path) -> None:
    """Removes Arrow files of a store that was here before."""
    kept = {file.name for file in Manifest.read(folder).files}
    for path in folder.glob("*.arrow"):
        if path.name not in kept:
            path.unlink()
