"""How fast a shuffled epoch comes out of a store, beside a plain copy of the same bytes, and the memory it takes.

    python -m benchmarks.epoch [--videos 10000 1000000] [--repeats 5] [--folder DIR]

Makes a store of each number of video-level records of YouTube-8M's sizes (1024 + 128 floats, 3862 classes; 4.6 GB for a
million) with the store's own writer, in a temporary folder. An epoch is read in shuffled order in batches of 1024 from
the page cache, on one core and one thread: nothing is read ahead beside the training. Copies and epochs take turns in
one process, after a turn that warms the page cache; the memory is measured in a process of its own. Shown are GB of
vectors a CPU second, medians of the turns.

    copy     the same vectors copied in their order from the mapped files, over an array that is larger than the cache
    fresh    the same, each record batch's into a new array; its memory is mostly the last one's, still cached
    bare     an epoch without labels
    epoch    `mmvid.records.loader.Loader`: vectors, dense labels, presence, as training gets them
    of copy  epoch's share of copy, median over the turns
    all      the same share if the bytes of the labels, which are made and not copied, count as well
    anon     MiB of anonymous memory (RssAnon) at its highest after a batch, above that before the store was opened
"""

import argparse
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from mmvid.records.columns import matrix
from mmvid.records.loader import Loader
from mmvid.records.manifest import Manifest, Source, add_counts, sizes_of, store_digest
from mmvid.records.schema import Schema, Video, load_schema
from mmvid.records.shards import ShardWriter
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT

BATCH = 1024
SHARD = 50_000  # videos in a file
SPLIT = "train"
TARGET = 1 << 27  # floats that are copied over: 512 MiB
WATCHED = 16  # batches from one look at the memory to the next: a look takes a tenth of a millisecond


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes of the stores")
    parser.add_argument("--repeats", type=int, default=5, help="turns whose median is shown (default 5)")
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        what, store = options.measure
        print(json.dumps(MEASURES[what](store, options.repeats)))
        return
    heads = "".join(f"{head:>8}" for head in ("copy", "fresh", "bare", "epoch", "of copy", "all", "anon"))
    print(f"{'videos':>10}{'GB':>7}{heads}", flush=True)
    for videos in options.videos:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            make(Path(folder), videos)
            compare(folder, videos, options.repeats)


def compare(folder: str, videos: int, repeats: int) -> None:
    """Measures one store and prints its row."""

    def ask(what: str) -> dict:
        command = [sys.executable, "-m", "benchmarks.epoch", "--repeats", str(repeats), "--measure", what, folder]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    speed, memory = (ask(what) for what in MEASURES)
    gigabytes = speed["bytes"] / 1e9
    rates = "".join(f"{gigabytes / statistics.median(taken):>8.2f}" for taken in speed["seconds"].values())
    copies, epochs = speed["seconds"]["copy"], speed["seconds"]["epoch"]
    share = statistics.median(copy / epoch for copy, epoch in zip(copies, epochs, strict=True))
    both = share * (1 + speed["label bytes"] / speed["bytes"])
    print(f"{videos:>10,}{gigabytes:>7.2f}{rates}{share:>8.0%}{both:>8.0%}{memory['MiB']:>8.1f}", flush=True)


def make(folder: Path, videos: int) -> None:
    """Writes a store of normal features and about three labels a video."""
    schema = load_schema("youtube8m")
    files, splits = [], None
    for number, first in enumerate(range(0, videos, SHARD)):
        path = folder / f"{SPLIT}-{number:05d}.arrow"
        with ShardWriter(path, SPLIT, schema, {}) as writer:
            for video in draw(schema, number, min(SHARD, videos - first)):
                writer.add(video.id, video, NO_TEXT)
        files.append(writer.entry)
        splits = writer.counts if splits is None else add_counts(splits, writer.counts)
    names = [f"label {label}" for label in range(schema.classes)]
    source = Source(folder="made", request="", has_dev=False, dev_share=0.1, seed=0, on_error="stop")
    manifest = Manifest(
        digest=store_digest(schema, names, files),
        schema=schema,
        features=sizes_of(schema, [splits.features]),
        frames={},
        names=names,
        splits={SPLIT: splits},
        files=files,
        source=source,
    )
    manifest.write(folder)


def draw(schema: Schema, shard: int, videos: int) -> Iterator[Video]:
    random = np.random.default_rng(shard)
    for first in range(0, videos, BATCH):
        count = min(BATCH, videos - first)
        sizes = {modality: spec.size for modality, spec in schema.features.items()}
        features = {modality: random.standard_normal((count, size), np.float32) for modality, size in sizes.items()}
        labels = random.integers(0, schema.classes, (count, 3), dtype=np.int32)
        for row in range(count):
            vectors = {modality: matrix[row] for modality, matrix in features.items()}
            yield Video(f"{shard:04d}{first + row:06d}", np.unique(labels[row]), vectors)


def measure_speed(folder: str, repeats: int) -> dict:
    """CPU seconds of each turn of each kind of work, and the bytes of an epoch."""
    on_one_core()
    store = Store.open(folder)
    parts = vectors(store)
    runs = {
        "copy": functools.partial(copy_over, parts, np.ones(TARGET, np.float32)),
        "fresh": functools.partial(copy_fresh, parts),
        "bare": epochs(Loader(store, SPLIT, BATCH, shuffle=True, drop_labels=True)),
        "epoch": epochs(Loader(store, SPLIT, BATCH, shuffle=True)),
    }
    seconds = {what: [] for what in runs}
    for turn in range(repeats + 1):
        for what, run in runs.items():
            begin = time.process_time()
            run()
            if turn:
                seconds[what].append(time.process_time() - begin)
    labels = store.count(SPLIT) * store.shapes.classes  # a byte each
    return {"bytes": sum(part.nbytes for part in parts), "label bytes": labels, "seconds": seconds}


def vectors(store: Store) -> list[np.ndarray]:
    """The values of all features, one array a record batch and modality, views of the mapped files."""
    batches = store.batches(SPLIT)
    return [matrix(rows.column(f"features.{name}")).reshape(-1) for rows in batches for name in store.shapes.features]


def copy_over(parts: list[np.ndarray], into: np.ndarray) -> None:
    place = 0
    for part in parts:
        if place + part.size > into.size:
            place = 0
        np.copyto(into[place : place + part.size], part)
        place += part.size


def copy_fresh(parts: list[np.ndarray]) -> None:
    for part in parts:
        part.copy()


def epochs(loader: Loader) -> Callable[[], None]:
    """Reads the next epoch at each call."""
    numbers = itertools.count()

    def run() -> None:
        loader.set_epoch(next(numbers))
        if sum(len(batch) for batch in loader) != loader.count:
            raise RuntimeError(f"an epoch must have {loader.count} videos")

    return run


def measure_memory(folder: str, repeats: int) -> dict:
    """MiB of anonymous memory at most over two epochs."""
    before = anonymous()
    loader = Loader(Store.open(folder), SPLIT, BATCH, shuffle=True)
    most = 0.0
    for epoch in range(2):
        loader.set_epoch(epoch)
        for number, _ in enumerate(loader):
            if number % WATCHED == 0:
                most = max(most, anonymous())
    return {"MiB": most - before}


MEASURES = {"speed": measure_speed, "memory": measure_memory}


def on_one_core() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def anonymous() -> float:
    """MiB of this process's memory that no file backs (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
