"""Blending of stored predictions: seconds, and memory at the peak, beside dense matrices of all scores.

    python -m benchmarks.ensemble [--videos 100000] [--classes 4716] [--members 6] [--trees 1000]

The members' scores are made: of each video and class a number that the members share in part, so that they agree about
the best classes more or less as trained models do; three of the ten that are best without the members' own part are the
labels. Their best 100 are written as Arrow files and read by way of the page cache, as those of runs are. What a member
did not keep is drawn again, which stands for the forward pass of a real one, and its time is told apart (that of the
fit is left out). A row has a process of its own; `own` is its highest anonymous memory (RssAnon, looked at each 20 ms),
`all` its highest resident memory, which has the files' pages that the system may take back at any time. Both at 1.4
million videos are told by the growth from a quarter of the videos to all of them.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mmvid import blends, predictions
from mmvid.ensemble.joining import BLOCK, Joined, Member, blend, taught_pairs
from mmvid.ensemble.model import Ensemble
from mmvid.metrics import ranking
from mmvid.metrics.ranked import best_classes
from mmvid.predictions import Predictions

ROWS = ("mean", "max", "weighted", "forest")
MEMBERS = 1000  # more than there are; the seed of what they share
SCALE = 1_400_000  # the videos that YouTube-8M of 2017 has in validate


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100_000, help="videos (default 100,000)")
    parser.add_argument("--classes", type=int, default=4716, help="classes (default 4716)")
    parser.add_argument("--members", type=int, default=6, help="members (default 6)")
    parser.add_argument("--trees", type=int, default=1000, help="trees of the forest (default 1000)")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--some", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.row:
        print(json.dumps(make(options) if options.row == "make" else measure(options)))
        return
    dense = 4 * options.videos * options.classes * options.members / 2**30
    print(f"{options.videos:,} videos, {options.classes:,} classes, {options.members} members; ", end="")
    print(f"as dense matrices they would be {dense:,.1f} GiB")
    heads = f"{'row':<10}{'fit CPU s':>10}{'CPU s':>8}{'of it drawn':>12}{'own MiB':>9}{'all MiB':>9}"
    print(f"{heads}{'at 1.4 M: own GiB':>19}{'all GiB':>9}  notes")
    with tempfile.TemporaryDirectory() as folder:
        for row in ("make", *options.rows.split(",")):
            told = run(row, folder, argv)
            if row != "make":
                some = run(row, folder, argv, options.videos // 4)
                own, everything = (grown(told[kind], some[kind], options.videos) for kind in ("own", "all"))
                shown = f"{row:<10}{told['fit']:>10.1f}{told['cpu']:>8.1f}{told['drawn']:>12.1f}"
                shown += f"{told['own']:>9,.0f}{told['all']:>9,.0f}{own:>19.1f}{everything:>9.1f}"
                print(f"{shown}  {told['notes']}", flush=True)


def run(row: str, folder: str, argv: list[str], some: int = 0) -> dict:
    """A row in a process of its own, of all videos or the first `some`."""
    command = [sys.executable, "-m", "benchmarks.ensemble", *argv, "--row", row, "--folder", folder]
    command += ["--some", str(some)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def grown(peak: float, quarter: float, videos: int) -> float:
    """GiB at `SCALE` videos, from the MiB of all videos here and of a quarter of them."""
    growth = (peak - quarter) / (videos - videos // 4)
    return (peak + growth * (SCALE - videos)) / 1024


@contextlib.contextmanager
def watched() -> Iterator[list[float]]:
    """A list of one number, the highest anonymous memory of this process in MiB so far."""
    highest, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            highest[0] = max(highest[0], int(lines["RssAnon"].split()[0]) / 1024)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        over.set()
        watcher.join()


def shared(row: int, classes: int) -> np.ndarray:
    """What all members know of a video, (C,)."""
    return np.random.default_rng([MEMBERS, row]).random(classes, np.float32)


def scores_of(member: int, rows: np.ndarray, classes: int) -> torch.Tensor:
    """A member's scores of all classes of some videos, (B, C): of each the same however it is asked for."""
    mixed = np.empty((len(rows), classes), np.float32)
    for place, row in enumerate(rows):
        own = np.random.default_rng([member, row]).random(classes, np.float32)
        mixed[place] = 0.97 * shared(row, classes) + 0.03 * own
    for _ in range(8):  # to the power of 256: few classes are likely
        mixed *= mixed
    return torch.from_numpy(mixed)


def make(options: argparse.Namespace) -> dict:
    """Writes the members' predictions."""
    blocks = np.array_split(np.arange(options.videos), -(-options.videos // BLOCK))
    ids = [f"v{number:07d}" for number in range(options.videos)]
    truth = np.stack([np.argsort(-shared(row, options.classes))[[0, 3, 7]] for row in range(options.videos)])
    truth = np.sort(truth, axis=1).astype(np.int32).reshape(-1)
    offsets = np.arange(options.videos + 1, dtype=np.int64) * 3
    for member in range(options.members):
        found = [best_classes(scores_of(member, block, options.classes), predictions.KEPT) for block in blocks]
        values, classes = map(torch.cat, zip(*found, strict=True))
        whole = Predictions(ids, classes.int().numpy(), values.numpy(), truth, offsets, options.classes, str(member))
        predictions.write(whole, Path(options.folder) / f"{member}.arrow")
    return {}


def measure(options: argparse.Namespace) -> dict:
    """One blend, in this process."""
    drawn = [0.0]

    def rescore(member: int, rows: np.ndarray) -> torch.Tensor:
        started = time.process_time()
        found = scores_of(member, rows, options.classes)
        drawn[0] += time.process_time() - started
        return found

    members = []
    for number in range(options.members):
        kept = predictions.read(Path(options.folder) / f"{number}.arrow")
        if options.some:
            kept = first_of(kept, options.some)
        members.append(Member(str(number), kept, functools.partial(rescore, number)))
    first = members[0].predictions
    labels = first.labels, first.offsets
    joined = Joined(first.ids, members)
    kind = blends.load(options.row)
    config = kind.Config(**({"trees": options.trees} if options.row == "forest" else {}))
    with watched() as own:
        started = time.process_time()
        fitted = [kind.Model(config)] if not kind.Model.fitted else fit(kind, config, joined, labels)
        fit_seconds, drawn[0] = time.process_time() - started - drawn[0], 0.0
        started = time.process_time()
        with torch.inference_mode():
            found = blend(joined, Ensemble([], fitted), key="", labels=labels, fitted=True)
        seconds = time.process_time() - started
    whole, cut = (ranking.gap_of(each.ranked()) for each in (found.predictions, found.cut))
    share = found.rescored[0] / found.rescored[1]
    notes = f"GAP {whole:.4f}, with the cut {cut:.4f}; {share:.0%} of the pairs scored again"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    memory = {"own": own[0], "all": resident}
    return {"fit": fit_seconds, "cpu": seconds, "drawn": drawn[0], **memory, "notes": notes}


def first_of(kept: Predictions, count: int) -> Predictions:
    """The first videos of predictions, as views."""
    rows = {name: getattr(kept, name)[:count] for name in ("ids", "classes", "scores")}
    labels, offsets = kept.labels[: kept.offsets[count]], kept.offsets[: count + 1]
    return dataclasses.replace(kept, **rows, labels=labels, offsets=offsets)


def fit(kind, config, joined: Joined, labels: tuple[np.ndarray, np.ndarray]) -> list[blends.Blend]:
    """The blend that each half of the videos teaches."""
    pairs, halves = taught_pairs(joined, labels, top=config.ranks, most=config.fit_pairs, seed=0)
    fitted = []
    for half in (0, 1):
        mine = halves == half
        own = blends.Pairs(pairs.scores[:, mine], pairs.ranks[:, mine], pairs.hits[mine])
        fitted.append(kind.Model.fit(config, own, half, 2))
    return fitted


if __name__ == "__main__":
    main(sys.argv[1:])
