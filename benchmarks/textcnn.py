"""Training of TextCNN on titles: titles a second, beside a plain loop over the same convolutions.

    python -m benchmarks.textcnn [--rounds 5] [--batch 128]      # OMP_NUM_THREADS=1 where another process is busy

The authors' sizes: widths 1 to 8 of 512 filters, hidden 4096, 4716 classes, vectors of 300 numbers, titles of up to 40
words. Made titles have 8.23 words on average (Poisson), then 40 each: only with padding is there something to save. A
step is forward, backward, the penalty and Adam. The rows take turns in one process, round by round; shown are medians.
The plain loop pads every title to the longest of its batch, or to 40 as the original does, and calls torch's conv1d,
batch normalisation, ReLU and maximum for each width; the layers after it are the same.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmvid.classifiers import textcnn
from mmvid.records.batches import Batch, Shapes
from mmvid.records.words import pad
from mmvid.training import classification_loss

SHAPES = Shapes(classes=4716, words=20_000, word_size=300)
LONGEST = 40
MEAN = 8.23  # the paper's mean of keywords a video


class Plain(textcnn.Model):
    """The same model with its convolutions as they are written in the paper."""

    places = 0  # 0 pads to the longest title of the batch

    def hidden(self, batch: Batch) -> Tensor:
        words = batch.tokens["title"]
        words = functional.pad(words, (0, max(0, self.places - words.shape[1])))
        beyond = (words == 0)[:, None]
        x = functional.embedding(words, self.vectors).transpose(1, 2)
        found = []
        for width, kernel, norm in zip(
            self.config.widths, self.convolutions.kernels, self.convolutions.norms, strict=True
        ):
            weight = kernel.weight.unflatten(1, (width, SHAPES.word_size)).transpose(1, 2)
            y = functional.conv1d(functional.pad(x, ((width - 1) // 2, width // 2)), weight, kernel.bias)
            y = functional.batch_norm(
                y, norm.running_mean, norm.running_var, norm.weight, norm.bias, self.training, eps=norm.eps
            )
            found.append(y.relu().masked_fill(beyond, 0).amax(dim=2))
        return self.norm(self.inner(torch.cat(found, dim=1))).relu()


class Whole(Plain):
    """Padded to 40 places, as the original pads."""

    places = LONGEST


ROWS = {
    "ours": (textcnn.Model, False),
    "plain, longest title": (Plain, False),
    "plain, 40 places": (Whole, False),
    "ours, bf16": (textcnn.Model, True),
    "plain, longest, bf16": (Plain, True),
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds whose median is shown (default 5)")
    parser.add_argument("--batch", type=int, default=128, help="titles in a batch (default 128)")
    options = parser.parse_args(argv)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"batches of {options.batch}, {torch.get_num_threads()} threads on {os.cpu_count()} cores, load {load}")
    for name, mean in (("made titles, 8.23 words", MEAN), ("40 words each", float("inf"))):
        compare(name, make_batch(options.batch, mean), options.rounds)


def compare(name: str, batch: Batch, rounds: int) -> None:
    runs = {row: make_run(kind, batch, mixed) for row, (kind, mixed) in ROWS.items()}
    wall: dict[str, list[float]] = {row: [] for row in runs}
    cpu: dict[str, list[float]] = {row: [] for row in runs}
    for number in range(rounds + 1):
        for row, run in runs.items():
            begin, used = time.perf_counter(), time.process_time()
            run()
            if number:  # the first round warms up
                wall[row].append(time.perf_counter() - begin)
                cpu[row].append(time.process_time() - used)
    print(f"{name}: {int(batch.token_lengths['title'].sum())} words")
    print(f"{'row':<24}{'titles/s':>10}{'titles/CPU s':>14}{'s a step':>10}{'fastest':>9}")
    for row in runs:
        middle, used = statistics.median(wall[row]), statistics.median(cpu[row])
        rates = f"{len(batch) / middle:>10.0f}{len(batch) / used:>14.0f}"
        print(f"{row:<24}{rates}{middle:>10.2f}{min(wall[row]):>9.2f}", flush=True)


def make_batch(videos: int, mean: float) -> Batch:
    random = np.random.default_rng(0)
    lengths = np.full(videos, LONGEST) if mean == float("inf") else random.poisson(mean, videos).clip(1, LONGEST)
    words = (random.zipf(1.2, lengths.sum()) - 1) % SHAPES.words + 1
    tokens, token_lengths = pad(words, np.repeat(np.arange(videos), lengths), lengths)
    labels = torch.zeros(videos, SHAPES.classes, dtype=torch.bool)
    labels[np.arange(videos).repeat(3), random.integers(0, SHAPES.classes, 3 * videos)] = True
    return Batch(ids=[""] * videos, tokens={"title": tokens}, token_lengths={"title": token_lengths}, labels=labels)


def make_run(kind: type[textcnn.Model], batch: Batch, mixed: bool) -> Callable[[], None]:
    torch.manual_seed(0)
    model = kind(textcnn.Config(), SHAPES)
    model.prepare(np.random.default_rng(1).standard_normal((SHAPES.words, SHAPES.word_size), np.float32), None)
    adam = torch.optim.Adam(model.parameters(), lr=0.001)

    def run() -> None:
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = classification_loss(model, batch, "cross_entropy")
        (loss + model.penalty()).backward()
        adam.step()

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
