"""How fast frame-level TFRecords become shuffled, padded batches, beside tf.data doing the same.

    python -m benchmarks.frames [--videos 2048] [--repeats 5] [--folder DIR] [--peer PYTHON]

Makes records of YouTube-8M's format (uint8 rgb (T, 1024) and audio (T, 128), made of random bytes, about three labels)
in eight shards: once of 150 to 300 frames, once of 300. Each reader goes through them in a process of its own, which
makes batches of 64 from a shuffle buffer of 128 videos, after an epoch to warm up; the files are in the page cache.
Shown are videos a CPU second of all threads and processes together, which is what a core does, and videos a second
of the clock; medians of the epochs.

    bytes    padded uint8 batches with labels, numbers of frames and ids
    floats   the same, dequantised on the device (here the CPU), zeros after a video's end
    workers  readers; mmvid's are processes, tf.data's parallel calls and interleaved files

mmvid also checks that the records fit the schema; `mmvid 0` reads in the process that trains. Checksums are verified by
both. Of tf.data, one worker is a pipeline in order: shuffle, parse, decode, padded_batch; two have two threads and two
parallel calls. TensorFlow comes with the extra `bench`; where it is in another environment, name its Python by --peer.
"""

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH = 64
BUFFER = 128
SHARDS = 8
CLASSES = 3862
LENGTHS = {"150-300 frames": (150, 300), "300 frames": (300, 300)}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2048, help="records of each kind (default 2048)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs whose median is shown (default 5)")
    parser.add_argument("--folder", help="where the records are made (default: a temporary folder)")
    parser.add_argument("--peer", default=sys.executable, help="a Python that has TensorFlow (default: this one)")
    parser.add_argument("--measure", nargs=4, metavar=("READER", "WHAT", "WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        reader, what, workers, folder = options.measure
        print(json.dumps(measure(reader, what, int(workers), Path(folder), options.repeats)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind, lengths in LENGTHS.items():
            place = Path(folder) / str(lengths[0])
            size = make(place, options.videos, *lengths)
            print(f"\n{kind}: {options.videos} records, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
            print(f"{'reader':<10}{'workers':>8}{'batches':>9}{'videos/CPU s':>14}{'videos/s':>10}{'of tf.data':>12}")
            compare(place, options.videos, options.repeats, options.peer)


def compare(folder: Path, videos: int, repeats: int, peer: str) -> None:
    """Measures every reader on one folder and prints a row for each; readers of equal work stand beside each other."""
    for what in ("bytes", "floats"):
        for workers in (1, 2):
            theirs = None
            for reader, count in (("tf.data", workers), *((("mmvid", 0),) if workers == 1 else ()), ("mmvid", workers)):
                python = peer if reader == "tf.data" else sys.executable
                if reader == "tf.data" and not has_tensorflow(python):
                    print(f"{reader:<10}{count:>8}{what:>9}{'not installed':>14}")
                    continue
                command = [python, "-m", "benchmarks.frames", "--repeats", str(repeats)]
                words = [reader, what, str(count), str(folder)]
                process = subprocess.run([*command, "--measure", *words], check=True, stdout=subprocess.PIPE, text=True)
                seconds = json.loads(process.stdout.splitlines()[-1])
                rates = [videos / statistics.median(each) for each in seconds]
                theirs = rates[0] if reader == "tf.data" else theirs
                times = f"{rates[0] / theirs:.2f} x" if theirs else ""
                print(f"{reader:<10}{count:>8}{what:>9}{rates[0]:>14,.0f}{rates[1]:>10,.0f}{times:>12}", flush=True)


def has_tensorflow(python: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec("tensorflow") is not None
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorflow') is None)"
    return subprocess.run([python, "-c", code]).returncode == 0


def make(folder: Path, videos: int, shortest: int, longest: int) -> int:
    """Writes the records of one kind; how many bytes."""
    from mmvid.records.schema import Video, encode_video, load_schema
    from mmvid.tfrecords import framing

    schema, draw = load_schema("youtube8m"), np.random.default_rng(0)

    def video(number: int) -> Video:
        length = int(draw.integers(shortest, longest + 1))
        frames = {
            modality: draw.integers(0, 256, (length, spec.size), dtype=np.uint8)
            for modality, spec in schema.features.items()
        }
        labels = np.unique(draw.integers(0, CLASSES, draw.integers(1, 6)))
        return Video(f"{number:04d}", labels, {}, frames, length)

    folder.mkdir()
    for shard in range(SHARDS):
        numbers = range(shard * videos // SHARDS, (shard + 1) * videos // SHARDS)
        path = folder / f"train{shard:04d}.tfrecord"
        framing.write_records(path, (encode_video(schema, video(number), "frame") for number in numbers))
    return sum(path.stat().st_size for path in folder.iterdir())


def measure(reader: str, what: str, workers: int, folder: Path, repeats: int) -> tuple[list[float], list[float]]:
    """CPU seconds of each epoch, of this process and its readers together, and seconds of the clock."""
    files = sorted(map(str, folder.glob("*.tfrecord")))
    epoch = {"mmvid": mmvid_epoch, "tf.data": tensorflow_epoch}[reader](files, what, workers)
    cpu, clock, counts = [], [], set()
    for _ in range(repeats + 1):
        begin, start = time.process_time(), time.perf_counter()
        count, others = epoch()
        cpu.append(time.process_time() - begin + others)
        clock.append(time.perf_counter() - start)
        counts.add(count)
    if len(counts) != 1:
        raise RuntimeError(f"{reader} had epochs of {counts} videos")
    return cpu[1:], clock[1:]


Epoch = Callable[[], tuple[int, float]]
"""Goes through an epoch; its videos, and the CPU seconds of other processes than this one."""


def mmvid_epoch(files: list[str], what: str, workers: int) -> Epoch:
    import torch

    from mmvid.records.schema import load_schema
    from mmvid.records.streaming.loader import Stream
    from mmvid.records.streaming.reading import scan
    from mmvid.storage import find_file

    torch.set_num_threads(1)
    shards = [scan(find_file(file)) for file in files]
    options = dict(means=False, buffer=BUFFER // max(1, workers), workers=workers)
    stream = Stream(load_schema("youtube8m"), shards, BATCH, **options)
    numbers, before = itertools.count(), 0.0

    def epoch() -> tuple[int, float]:
        nonlocal before
        stream.set_epoch(next(numbers))
        count, spent_by_readers = 0, 0.0
        for taken, batch in enumerate(stream, 1):
            batch = batch.to("cpu") if what == "floats" else batch
            count += len(batch)
            if taken == len(stream):  # its readers, which stay for all epochs, are there
                spent_by_readers = sum(map(spent, multiprocessing.active_children()))
        others, before = spent_by_readers - before, spent_by_readers
        return count, others

    return epoch


def spent(process: multiprocessing.process.BaseProcess) -> float:
    """CPU seconds of a process that still runs."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def tensorflow_epoch(files: list[str], what: str, workers: int) -> Epoch:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    context = {"id": tf.io.FixedLenFeature([], tf.string), "labels": tf.io.VarLenFeature(tf.int64)}
    sizes = {"rgb": 1024, "audio": 128}
    steps = {key: tf.io.FixedLenSequenceFeature([], tf.string) for key in sizes}

    def parse(payload):
        values, lists = tf.io.parse_single_sequence_example(payload, context, steps)
        frames = {key: tf.reshape(tf.io.decode_raw(lists[key], tf.uint8), [-1, size]) for key, size in sizes.items()}
        labels = tf.scatter_nd(values["labels"].values[:, None], tf.ones_like(values["labels"].values), [CLASSES])
        return {"id": values["id"], "labels": tf.cast(labels, tf.bool), "num": tf.shape(frames["rgb"])[0], **frames}

    def dequantise(batch):
        valid = tf.sequence_mask(batch["num"], tf.shape(batch["rgb"])[1], tf.float32)[..., None]
        floats = {key: (tf.cast(batch[key], tf.float32) * (4 / 255) + (4 / 512 - 2)) * valid for key in sizes}
        return {**batch, **floats}

    calls = None if workers == 1 else workers
    names = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files), reshuffle_each_iteration=True)
    data = names.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=calls)
    data = data.shuffle(BUFFER).map(parse, num_parallel_calls=calls).padded_batch(BATCH)
    data = data.map(dequantise, num_parallel_calls=calls) if what == "floats" else data
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.autotune.enabled = False
    data = (data if workers == 1 else data.prefetch(workers)).with_options(options)
    return lambda: (sum(int(batch["id"].shape[0]) for batch in data), 0.0)


if __name__ == "__main__":
    main(sys.argv[1:])
