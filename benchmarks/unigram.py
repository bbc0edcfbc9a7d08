"""Training and scoring of the unigram model on made videos: seconds, and memory at the peak.

    python -m benchmarks.unigram [--videos 1000000] [--words 48000] [--labels 4716]

The videos are drawn as they are read and never held: about 8 words each, from a vocabulary with Zipf's frequencies,
shifted by each video's labels so that labels have words of their own, and 1 to 6 labels, also by Zipf. Beside it stands
the sum over batches of the product of two sparse matrices, labels by videos and videos by words (scipy), which gives
the same counts. Drawing alone is timed, too, and is part of both times. A row has a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from mmvid.classifiers import unigram
from mmvid.records.batches import Batch, Shapes
from mmvid.records.words import pad

BATCH = 1024
ROWS = ("drawing alone", "unigram", "sparse products")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1_000_000, help="videos to train on (default 1,000,000)")
    parser.add_argument("--words", type=int, default=48_000, help="words of the vocabulary (default 48,000)")
    parser.add_argument("--labels", type=int, default=4716, help="labels (default 4716)")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.row:
        print(json.dumps(measure(options)))
        return
    print(f"{options.videos:,} videos, {options.words:,} words, {options.labels:,} labels, batches of {BATCH}")
    print(f"{'row':<26}{'s':>8}{'CPU s':>8}{'peak MiB':>10}  notes")
    for row in ROWS:
        command = [sys.executable, "-m", "benchmarks.unigram", *argv, "--row", row]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times = f"{found['wall']:>8.1f}{found['cpu']:>8.1f}{found['peak']:>10,.0f}"
        print(f"{row:<26}{times}  {found['notes']}", flush=True)


def measure(options: argparse.Namespace) -> dict:
    """One row, in this process: memory is counted from before the videos are drawn."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    notes = ""
    if options.row == "unigram":
        shapes = Shapes(classes=options.labels, words=options.words, word_size=1)
        model = unigram.Model(unigram.Config(), shapes)
        model.fit_counts(drawn(options))
        notes = f"{len(model.counts):,} pairs of word and label"
    elif options.row == ROWS[2]:
        notes = peer(options)
    else:
        words = sum(int(batch.token_lengths["title"].sum()) for batch in drawn(options))
        notes = f"{words:,} words"
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if options.row == "unigram":
        notes += f"; scores {rate(model, options):,.0f} videos/s"
    return {"wall": wall, "cpu": cpu, "peak": peak, "notes": notes}


def drawn(options: argparse.Namespace, videos: int | None = None) -> Iterator[Batch]:
    """Batches of made videos, the same for every row."""
    random = np.random.default_rng(0)
    videos = options.videos if videos is None else videos
    for start in range(0, videos, BATCH):
        count = min(BATCH, videos - start)
        labels = torch.zeros(count, options.labels, dtype=torch.bool)
        many = random.integers(1, 7, count)
        chosen = (random.zipf(1.2, many.sum()) - 1) % options.labels
        labels[np.repeat(np.arange(count), many), chosen] = True
        lengths = np.maximum(1, random.poisson(8.23, count))  # the paper's mean
        owner = np.repeat(np.arange(count), lengths)
        first = chosen[many.cumsum() - many]
        words = (random.zipf(1.2, len(owner)) + 7 * first[owner]) % options.words + 1
        tokens, token_lengths = pad(words, owner, lengths)
        yield Batch(ids=[""] * count, tokens={"title": tokens}, token_lengths={"title": token_lengths}, labels=labels)


def rate(model: unigram.Model, options: argparse.Namespace) -> float:
    """Videos scored in a second."""
    batches = list(drawn(options, 4 * BATCH))
    model(batches[0])
    begin = time.perf_counter()
    with torch.inference_mode():
        for batch in batches[1:]:
            model(batch)
    return (len(batches) - 1) * BATCH / (time.perf_counter() - begin)


def peer(options: argparse.Namespace) -> str:
    """The counts as a sum of products of sparse matrices."""
    from scipy.sparse import csr_matrix

    total = csr_matrix((options.labels, options.words), dtype=np.int32)
    for batch in drawn(options):
        words = batch.tokens["title"].numpy()
        owner, place = words.nonzero()
        entries = np.ones(len(owner), np.int32), (owner, words[owner, place] - 1)
        total = total + csr_matrix(batch.labels.numpy().astype(np.int32).T) @ csr_matrix(
            entries, shape=(len(batch), options.words)
        )
    return f"{total.nnz:,} pairs of word and label"


if __name__ == "__main__":
    main(sys.argv[1:])
