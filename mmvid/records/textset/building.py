"""A store's titles and keywords become a text set.

One Arrow file of the store is one task. A killed build goes on with the files that it had not finished and ends with
the same bytes. Memory is bounded by the vocabulary and, where the text comes from elsewhere, 16 bytes an id.
"""

import collections
import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmvid.durable import claimed, remove_leftovers, replacing
from mmvid.manifests import NAME, digest_of
from mmvid.records.store import Store
from mmvid.records.text import TextIndex
from mmvid.records.textset.conversion import STATE, Done, Task, convert, find_done, read_ids
from mmvid.records.textset.manifest import (
    FORMAT,
    FileEntry,
    Manifest,
    SplitCounts,
    TextSource,
    Vectors,
    add_counts,
)
from mmvid.records.textset.reading import TextSet
from mmvid.records.textset.tokens import write_tokens
from mmvid.records.vocabulary import stated
from mmvid.text.fields import Cleaning
from mmvid.text.labels import LabelNames, Removal
from mmvid.text.vectors import WordVectors

_ROWS = 4096  # vectors that are copied at a time


def build(
    store: Store,
    folder: Path,
    vectors: WordVectors,
    *,
    cleaning: Cleaning,
    removal: Removal = "words",
    index: TextIndex | None = None,
    progress: bool = True,
) -> TextSet:
    """Makes a text set, or finds it made.

    Args:
        store: whose videos' text it is.
        folder: where it goes: nothing, an empty folder, a text set, or what a killed build left. One of other input
            is replaced.
        vectors: words without a vector are dropped and counted.
        cleaning: what becomes of titles and keywords.
        removal: how the words of the labels are removed.
        index: titles and keywords by id; None takes the store's own.
        progress: whether to show a progress bar, over videos.

    Raises:
        ValueError: if the folder holds something else, or no video has a known word.
    """
    names = LabelNames(stated(store.names))
    text = None if index is None else index.digest
    options = {"cleaning": cleaning.model_dump(mode="json"), "removal": removal}
    request = _digest([FORMAT, store.digest, options, vectors.digest, text])
    with _exclusively(folder):
        if (folder / NAME).exists() and Manifest.read(folder).request == request:
            shutil.rmtree(folder / STATE, ignore_errors=True)
            return TextSet.open(folder)
        (folder / STATE).mkdir(exist_ok=True)
        (folder / NAME).unlink(missing_ok=True)  # from here on there is no text set until the new one is whole
        tasks = [
            Task(folder, store, file, index, vectors, cleaning, removal, names, request)
            for file in store.contents.files
        ]
        _run(tasks, progress)
        words, files, distinct = _assemble(folder, tasks, vectors)
        splits: dict[str, SplitCounts] = {}
        joined = 0
        for task, done in _done(tasks):
            split = task.file.split
            splits[split] = add_counts(splits[split], done.counts) if split in splits else done.counts
            joined += done.joined
        source = TextSource()
        if index is not None:
            source = TextSource(place=index.called, rows=len(index), joined=joined, no_video=len(index) - joined)
        told = [store.digest, options, [[file.name, file.digest] for file in files]]
        manifest = Manifest(
            digest=_digest(told),
            store_digest=store.digest,
            request=request,
            options=options,
            vectors=Vectors(place=vectors.place, digest=vectors.digest, size=vectors.size),
            source=source,
            words=words,
            distinct_keywords=distinct,
            splits=splits,
            files=files,
        )
        manifest.write(folder)
        shutil.rmtree(folder / STATE)
        kept = {file.name for file in files}
        for path in folder.glob("*.arrow"):  # of a text set that was here before
            if path.name not in kept:
                path.unlink()
    return TextSet.open(folder)


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other builds out of it; they wait, and then find the text set made."""
    with claimed(folder, (NAME, STATE), "a text set", "builds"):
        for leftover in folder.glob(".tokens-*"):
            shutil.rmtree(leftover)
        for place in (folder, folder / STATE):
            remove_leftovers(place)
        yield


def _run(tasks: list[Task], progress: bool) -> None:
    """Converts the files that are not done yet."""
    shown = progress and sys.stderr.isatty()
    total = sum(task.file.rows for task in tasks)
    with tqdm(desc="text", total=total, unit=" videos", disable=not shown) as bar:
        for task in tasks:
            if find_done(task) is None:
                convert(task)
            bar.update(task.file.rows)


def _done(tasks: list[Task]) -> Iterator[tuple[Task, Done]]:
    """The tasks and their notes, one note at a time."""
    for task in tasks:
        yield task, find_done(task)


def _assemble(folder: Path, tasks: list[Task], vectors: WordVectors) -> tuple[int, list[FileEntry], int]:
    """Writes all files but the manifest: how many words there are, the files, and how many words stand in keywords."""
    train: collections.Counter[str] = collections.Counter()
    counts: dict[str, list[int]] = {}  # of train's titles and keywords
    in_keywords: set[str] = set()
    for task, done in _done(tasks):
        for word, (titles, keywords) in zip(done.words, done.occurrences, strict=True):
            each = counts.setdefault(word, [0, 0])
            if keywords:
                in_keywords.add(word)
            if task.file.split == "train":
                each[0] += titles
                each[1] += keywords
                train[word] += titles + keywords
    if not counts:
        where, index = f"{tasks[0].store.folder} has a title or keywords", tasks[0].index
        joined = sum(done.joined for _, done in _done(tasks))
        told = "" if index is None else f"; of the {len(index)} rows of {index.called} {joined} have a video's id"
        raise ValueError(f"no video of {where} with a word that has a vector in {vectors.place}{told}")
    words = sorted(counts, key=lambda word: (-train[word], word))
    place = {word: id for id, word in enumerate(words)}
    with replacing(folder / "words.txt") as path:
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    with replacing(folder / "counts.npy") as path, open(path, "wb") as file:
        np.save(file, np.array([counts[word] for word in words], np.int64))
    with replacing(folder / "vectors.npy") as path:
        chosen = np.lib.format.open_memmap(path, "w+", np.float32, (len(words), vectors.size))
        for begin in range(0, len(words), _ROWS):
            part = words[begin : begin + _ROWS]
            chosen[begin : begin + len(part)] = vectors.of(vectors.rows(part))
        chosen.flush()
        del chosen
    files = ["words.txt", "counts.npy", "vectors.npy"]
    for split in dict.fromkeys(task.file.split for task in tasks):
        write_tokens(folder / f"{split}.arrow", _ids([task for task in tasks if task.file.split == split], place))
        files.append(f"{split}.arrow")
    return len(words), [_entry(folder / name) for name in files], len(in_keywords)


def _ids(tasks: list[Task], place: dict[str, int]) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The words of one split's files in their order, by the ids of the set."""
    for task, done in _done(tasks):
        ids = np.array([place[word] for word in done.words], np.int32)
        for part in read_ids(task):
            yield {column: (lengths, ids[values]) for column, (lengths, values) in part.items()}


def _entry(path: Path) -> FileEntry:
    return FileEntry(name=path.name, bytes=path.stat().st_size, digest=digest_of(path))


def _digest(content: list) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
