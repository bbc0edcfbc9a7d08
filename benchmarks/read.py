"""How fast TFRecords become arrays, beside the `tfrecord` package, TensorFlow, and a plain read.

    python -m benchmarks.read [--repeats 7] [--folder DIR]

Makes 2000 video-level and 200 frame-level records of YouTube-8M's format (230 frames each) and reads them with each
reader in a process of its own, bound to one core, after one pass to warm up. Shown are records a CPU second, the
median of the repeats. Peers come with the extra `bench`; one that is not installed is said to be so.

    plain read     the whole file read at once, each record copied from its known place: no checks, no parsing
    plain stream   each record read from its known place and copied: what no reader that copies can go below
    mmvid arrays   checksums, wire format: id, labels and features as arrays (`framing`, `example`)
    mmvid videos   `Schema.read`: the same, values checked against the schema; means of the frames at frame level
    tfrecord       the `tfrecord` package: no checksums
    tensorflow     tf.data with checksums: parse_example of batches of 256; parse_single_sequence_example
"""

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmvid.records.schema import Video, encode_video, load_schema
from mmvid.tfrecords import framing
from mmvid.tfrecords.example import Parser, Record
from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows

COUNTS = {"video": 2000, "frame": 200}
FRAMES = 230
READERS = ("plain read", "plain stream", "mmvid arrays", "mmvid videos", "tfrecord", "tensorflow")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="passes whose median is shown (default 7)")
    parser.add_argument("--folder", help="where the records are made (default: a temporary folder)")
    parser.add_argument("--measure", nargs=3, metavar=("READER", "LEVEL", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        print(json.dumps(measure(*options.measure, options.repeats)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for level in COUNTS:
            file = make(Path(folder) / f"{level}.tfrecord", level)
            print(f"\n{level} level: {COUNTS[level]} records, {file.stat().st_size / 1e6:.1f} MB")
            print(f"{'reader':<14}{'records/CPU s':>14}{'slowest':>10}{'fastest':>10}{'of plain':>10}")
            compare(level, file, options.repeats)


def compare(level: str, file: Path, repeats: int) -> None:
    """Measures every reader on one file and prints a row for each."""
    plain = None
    for reader in READERS:
        if reader in ("tfrecord", "tensorflow") and importlib.util.find_spec(reader) is None:
            print(f"{reader:<14}{'not installed':>14}")
            continue
        command = [sys.executable, "-m", "benchmarks.read", "--repeats", str(repeats)]
        process = subprocess.run(
            [*command, "--measure", reader, level, str(file)], check=True, stdout=subprocess.PIPE, text=True
        )
        seconds = json.loads(process.stdout.splitlines()[-1])
        rates = [COUNTS[level] / value for value in seconds]
        middle = statistics.median(rates)
        plain = plain or middle
        print(f"{reader:<14}{middle:>14,.0f}{min(rates):>10,.0f}{max(rates):>10,.0f}{middle / plain:>10.0%}")


def measure(reader: str, level: str, file: str, repeats: int) -> list[float]:
    """CPU seconds of each pass over `file`, on one core, all threads of this process together."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    read = {
        "plain read": plain_reader,
        "plain stream": stream_reader,
        "mmvid arrays": array_reader,
        "mmvid videos": video_reader,
        "tfrecord": tfrecord_reader,
        "tensorflow": tensorflow_reader,
    }[reader](level)
    seconds = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        count = read(file)
        seconds.append(time.process_time() - begin)
        if count != COUNTS[level]:
            raise RuntimeError(f"{reader} read {count} records of {file}, expected {COUNTS[level]}")
    return seconds[1:]


def make(path: Path, level: str) -> Path:
    """Writes the records of one level: normal features, uniform bytes, about three labels each."""
    schema, draw = load_schema("youtube8m"), np.random.default_rng(0)

    def video(number: int) -> Video:
        features, frames = {}, {}
        for modality, spec in schema.features.items():
            features[modality] = draw.normal(size=spec.size).astype(np.float32)
            frames[modality] = draw.integers(0, 256, (FRAMES, spec.size), dtype=np.uint8)
        labels = np.unique(draw.integers(0, schema.classes, draw.integers(1, 6)))
        return Video(f"{number:04d}", labels, features, frames, FRAMES)

    framing.write_records(path, (encode_video(schema, video(n), level) for n in range(COUNTS[level])))
    return path


def plain_reader(level: str) -> Callable[[str], int]:
    def read(file: str) -> int:
        content = Path(file).read_bytes()
        for start, size in places(file):
            np.frombuffer(content, np.uint8, size, start).copy()
        return len(places(file))

    return read


def stream_reader(level: str) -> Callable[[str], int]:
    def read(file: str) -> int:
        with open(file, "rb") as stream:
            for start, size in places(file):
                stream.seek(start)
                np.frombuffer(stream.read(size), np.uint8).copy()
        return len(places(file))

    return read


@functools.cache
def places(file: str) -> list[tuple[int, int]]:
    """Start and size of every payload, found before the clock that counts: in the pass that warms up."""
    return [(offset + 12, len(payload)) for offset, payload in framing.read_records(file)]


def array_reader(level: str) -> Callable[[str], int]:
    def read_video(record: Record) -> None:
        data, context = record.data, record.context
        read_bytes(data, context["id"])
        read_ints(data, context["labels"])
        read_floats(data, context["mean_rgb"])
        read_floats(data, context["mean_audio"])

    def read_frames(record: Record) -> None:
        data, context, lists = record
        read_bytes(data, context["id"])
        read_ints(data, context["labels"])
        read_rows(data, lists["rgb"]).copy()
        read_rows(data, lists["audio"]).copy()

    def read(file: str) -> int:
        parser = Parser()
        read_one, count = read_video if level == "video" else read_frames, 0
        for _, payload in framing.read_records(file):
            read_one(parser.parse(payload))
            count += 1
        return count

    return read


def video_reader(level: str) -> Callable[[str], int]:
    schema = load_schema("youtube8m")
    return lambda file: sum(1 for _ in schema.read(file))


def tfrecord_reader(level: str) -> Callable[[str], int]:
    from tfrecord.reader import tfrecord_loader

    context = {"id": "byte", "labels": "int"}
    if level == "video":
        wanted = {"description": context | {"mean_rgb": "float", "mean_audio": "float"}}
    else:
        wanted = {"description": context, "sequence_description": {"rgb": "byte", "audio": "byte"}}
    return lambda file: sum(1 for _ in tfrecord_loader(file, None, **wanted))


def tensorflow_reader(level: str) -> Callable[[str], int]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    context = {"id": tf.io.FixedLenFeature([], tf.string), "labels": tf.io.VarLenFeature(tf.int64)}
    floats = {key: tf.io.FixedLenFeature([size], tf.float32) for key, size in (("mean_rgb", 1024), ("mean_audio", 128))}
    steps = {key: tf.io.FixedLenSequenceFeature([], tf.string) for key in ("rgb", "audio")}

    def frames(payload):
        values, lists = tf.io.parse_single_sequence_example(payload, context, steps)
        return values["id"], values["labels"], {key: tf.io.decode_raw(lists[key], tf.uint8) for key in steps}

    def read(file: str) -> int:
        records = tf.data.TFRecordDataset(file)
        if level == "frame":
            return sum(1 for _ in records.map(frames))
        batches = records.batch(256).map(lambda payloads: tf.io.parse_example(payloads, context | floats))
        return sum(batch["id"].shape[0] for batch in batches)

    return read


if __name__ == "__main__":
    main(sys.argv[1:])
