"""How fast a shuffled epoch comes out of a store, beside a plain copy of the same bytes, and the memory it takes.

    python -m benchmarks.epoch [--videos 10000 1000000] [--repeats 5] [--folder DIR]

Makes a store of each number of video-level records of YouTube-8M's sizes (1024 + 128 floats, 3862 classes; 4.6 GB for a
million) with the store's own writer, in a temporary folder. An epoch is read in shuffled order in batches of 1024 from
the page cache, after one epoch to warm it. Each measure has a process of its own, on one core. Shown are GB of vectors
a CPU second, medians of the repeats.

    copy   the same vectors copied in their order from the mapped files, over an array that is larger than the cache
    bare   an epoch without labels
    epoch  `mmvid.records.loader.Loader`: ids, vectors, dense labels, presence, as training gets them; its share of copy
    anon   MiB of anonymous memory (RssAnon) at its highest after a batch, above that before the store was opened
"""

import argparse
import functools
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

from mmvid.records.columns import matrix
from mmvid.records.loader import Loader
from mmvid.records.manifest import Manifest, Source, add_counts, sizes_of, store_digest, write_manifest
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
    parser.add_argument("--repeats", type=int, default=5, help="epochs whose median is shown (default 5)")
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        what, store = options.measure
        print(json.dumps(MEASURES[what](store, options.repeats)))
        return
    print(f"{'videos':>10}{'GB':>7}{'copy':>8}{'bare':>8}{'epoch':>8}{'of copy':>9}{'anon':>8}")
    for videos in options.videos:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            make(Path(folder), videos)
            compare(folder, videos, options.repeats)


def compare(folder: str, videos: int, repeats: int) -> None:
    """Measures one store and prints its row."""

    def ask(what: str) -> dict:
        command = [sys.executable, "-m", "benchmarks.epoch", "--repeats", str(repeats), "--measure", what, folder]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    copy, bare, epoch, memory = (ask(what) for what in MEASURES)
    gigabytes = copy["bytes"] / 1e9
    rates = [gigabytes / statistics.median(found["seconds"]) for found in (copy, bare, epoch)]
    shown = "".join(f"{rate:>8.2f}" for rate in rates) + f"{rates[2] / rates[0]:>9.0%}"
    print(f"{videos:>10,}{gigabytes:>7.2f}{shown}{memory['MiB']:>8.1f}", flush=True)


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
    write_manifest(
        folder,
        Manifest(
            digest=store_digest(schema, names, files),
            schema=schema,
            features=sizes_of(schema, [splits.features]),
            frames={},
            names=names,
            splits={SPLIT: splits},
            files=files,
            source=source,
        ),
    )


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


def measure_copy(folder: str, repeats: int) -> dict:
    parts = vectors(folder)
    into = np.ones(TARGET, np.float32)

    def run() -> None:
        place = 0
        for part in parts:
            if place + part.size > TARGET:
                place = 0
            np.copyto(into[place : place + part.size], part)
            place += part.size

    return {"bytes": sum(part.nbytes for part in parts), "seconds": timed(run, repeats)}


def vectors(folder: str) -> list[np.ndarray]:
    """The values of all features, one array a record batch and modality, views of the mapped files."""
    store = Store.open(folder)
    batches = store.batches(SPLIT)
    return [matrix(rows.column(f"features.{name}")).reshape(-1) for rows in batches for name in store.shapes.features]


def measure_epoch(folder: str, repeats: int, drop_labels: bool = False) -> dict:
    loader = Loader(Store.open(folder), SPLIT, BATCH, shuffle=True, drop_labels=drop_labels)
    epochs = iter(range(repeats + 1))

    def run() -> None:
        loader.set_epoch(next(epochs))
        if sum(len(batch) for batch in loader) != loader.count:
            raise RuntimeError(f"an epoch must have {loader.count} videos")

    return {"seconds": timed(run, repeats)}


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


MEASURES = {
    "copy": measure_copy,
    "bare": functools.partial(measure_epoch, drop_labels=True),
    "epoch": measure_epoch,
    "memory": measure_memory,
}


def timed(run: Callable[[], None], repeats: int) -> list[float]:
    """CPU seconds of each run on one core, after one that warms the page cache."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        run()
        seconds.append(time.process_time() - begin)
    return seconds[1:]


def anonymous() -> float:
    """MiB of this process's memory that no file backs (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
