"""What the ranking metrics cost, beside scikit-learn and a plain Python loop.

    python -m benchmarks.metrics                 # all rows, each in a process of its own; a few minutes
    python -m benchmarks.metrics --row meter     # one row, in this process

Each row works on the same made data, 20,000 videos x 4716 classes of float32 scores with 3.4 labels a video (the
`stream` row: 1.4 million videos, batch by batch), and tells CPU seconds, wall seconds, the peak of resident memory
above that before the row began (the data, 450 MiB, and the libraries), and the values.
"""

import argparse
import heapq
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from mmvid.metrics import ranking
from mmvid.metrics.meters import RankingMeter
from mmvid.metrics.ranked import rank

VIDEOS, CLASSES, BATCH = 20_000, 4716, 1024
STREAM = 1_400_000


def make(num_videos: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a fair model and labels whose frequency falls as 1 / rank; 3 or 4 draws of a class a video."""
    random = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1, CLASSES + 1)
    scores = torch.empty(num_videos, CLASSES)
    labels = torch.zeros(num_videos, CLASSES, dtype=torch.bool)
    for row in range(0, num_videos, BATCH):
        block, truth = scores[row : row + BATCH], labels[row : row + BATCH]
        block.normal_(-8, 2, generator=random).sigmoid_()
        drawn = torch.multinomial(weights, len(block) * 4, replacement=True, generator=random).view(-1, 4)
        drawn[::2, 3] = drawn[::2, 0]
        truth.scatter_(1, drawn, True)
        block.scatter_(1, drawn, torch.rand(len(block), 4, generator=random))
    return scores, labels


def functions(scores, labels):
    return {
        "gap": ranking.gap(scores, labels),
        "map": ranking.mean_average_precision(scores, labels),
        "hit_at_1": ranking.hit_at_1(scores, labels),
        "perr": ranking.perr(scores, labels),
    }


def ranked(scores, labels):
    return ranking.summary_of(rank(scores, labels, 20))


def ranked_ties(scores, labels):
    """Scores as a bf16 model gives them: nearly every video has ties among its best classes."""
    for block in scores.split(BATCH):
        block.copy_(block.bfloat16())
    return ranked(scores, labels)


def meter(scores, labels):
    meter = RankingMeter()
    for row in range(0, len(scores), BATCH):
        meter.update(scores[row : row + BATCH], labels[row : row + BATCH])
    return meter.compute()


def all_scores(scores, labels):
    return {"map over all": ranking.mean_average_precision(scores, labels, over="all")}


def sklearn_top(scores, labels):
    """GAP and mAP from scikit-learn's AP of the top 20, rescaled to all positives."""
    from sklearn.metrics import average_precision_score

    scores, labels = scores.numpy(), labels.numpy()
    classes = np.argpartition(scores, -20, axis=1)[:, -20:]
    top, hits = np.take_along_axis(scores, classes, 1), np.take_along_axis(labels, classes, 1)
    gap = average_precision_score(hits.ravel(), top.ravel()) * hits.sum() / labels.sum()
    positives, values = labels.sum(axis=0), []
    for c in np.flatnonzero(positives):
        listed = classes == c
        found = hits[listed]
        values.append(average_precision_score(found, top[listed]) * found.sum() / positives[c] if found.any() else 0)
    return {"gap": float(gap), "map": float(np.mean(values))}


def sklearn_300(scores, labels):
    """Macro AP over all scores of 300 classes; all 4716 take over seven minutes."""
    from sklearn.metrics import average_precision_score

    kept = labels[:, :300].numpy()
    return {"map over all, 300 classes": float(average_precision_score(kept, scores[:, :300].numpy(), average="macro"))}


def all_scores_300(scores, labels):
    value = ranking.mean_average_precision(scores[:, :300], labels[:, :300], over="all")
    return {"map over all, 300 classes": value}


def plain_loop(scores, labels):
    """GAP and Hit@1 by the definition, in Python's own lists and heaps."""
    pairs, positives, first = [], 0, 0
    for row, truth in zip(scores, labels, strict=True):
        values, true = row.tolist(), set(truth.nonzero().flatten().tolist())
        best = heapq.nlargest(20, range(CLASSES), key=values.__getitem__)
        pairs += [(values[c], c in true) for c in best]
        positives += len(true)
        first += best[0] in true
    pairs.sort(reverse=True)
    found, total = 0, 0.0
    for place, (_, hit) in enumerate(pairs, start=1):
        found += hit
        total += hit * found / place
    return {"gap": total / positives, "hit_at_1": first / len(scores)}


def stream(scores, labels):
    """A whole validation set through the meter: one batch again and again, its scores each time multiplied anew."""
    meter = RankingMeter(num_classes=CLASSES)
    random = torch.Generator().manual_seed(1)
    done = 0
    while done < STREAM:
        # A factor a video: the order inside a video stays, the pooled list has no ties but by rounding.
        noise = torch.rand(len(scores), 1, generator=random).mul_(0.2).add_(0.9)
        meter.update(scores * noise, labels)
        done += len(scores)
    begun, peak = time.process_time(), resident("VmHWM")
    values = meter.compute()
    rise = resident("VmHWM") - peak
    return values | {"CPU s of compute": time.process_time() - begun, "MiB of compute": rise}


ROWS = {
    "functions": (functions, VIDEOS),
    "ranked": (ranked, VIDEOS),
    "ranked_ties": (ranked_ties, VIDEOS),
    "meter": (meter, VIDEOS),
    "sklearn_top": (sklearn_top, VIDEOS),
    "plain_loop": (plain_loop, VIDEOS),
    "all_scores": (all_scores, VIDEOS),
    "all_scores_300": (all_scores_300, VIDEOS),
    "sklearn_300": (sklearn_300, VIDEOS),
    "stream": (stream, BATCH),
}


def resident(key: str) -> float:
    """MiB of resident memory of this process: `VmRSS` now, `VmHWM` at its peak (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024


def run_row(name: str) -> dict[str, float]:
    """Runs one row in this process: its measures and its values."""
    function, num_videos = ROWS[name]
    data = make(num_videos, seed=0)
    memory, cpu, wall = resident("VmRSS"), time.process_time(), time.perf_counter()
    values = function(*data)
    taken = {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - wall}
    return taken | {"MiB": resident("VmHWM") - memory} | values


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", choices=ROWS, help="run this row only, in this process")
    row = parser.parse_args(argv).row
    if row:
        print(json.dumps(run_row(row)))
        return
    print(f"{'row':16}{'CPU s':>8}{'wall s':>8}{'MiB':>7}  values")
    for name in ROWS:
        command = [sys.executable, "-m", "benchmarks.metrics", "--row", name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cpu, wall, memory = (found.pop(key) for key in ("CPU s", "wall s", "MiB"))
        values = ", ".join(f"{key} {value:.7g}" for key, value in found.items())
        print(f"{name:16}{cpu:8.2f}{wall:8.2f}{memory:7.0f}  {values}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
