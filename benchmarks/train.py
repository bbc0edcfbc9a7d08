"""What a training step costs: of the mixture of experts beside a matrix product of its shape, and of every classifier.

    python -m benchmarks.train [--rounds 7]        # OMP_NUM_THREADS=1 where another process keeps a core busy
    python -m benchmarks.train --models            # every classifier that learns from features or frames, on a CPU
    python -m benchmarks.train --device cuda       # videos/s in bf16 beside float32; data resident on the GPU
    python -m benchmarks.train --sizes             # an epoch's seconds for 1,000 videos, of small and large stores

8 experts, 1152 inputs (visual and audio), 4716 classes, batches of 1024: the logits of gates and experts are one matrix
product of 1024 x 1152 by 1152 x 80,172, or 189 GFLOP. Forward and backward take two such products, for the inputs need
no gradient; their FLOPs count as two, whatever else is computed. On a CPU the rows take turns in one process, round by
round, so that all of them see the same load of the machine; shown are medians, and the peak of resident memory of one
step, each in a process of its own.

    product            the matrix product alone
    product turned     80,172 x 1152 by 1152 x 1024, the same numbers: some libraries do one order faster
    forward, backward  loss and gradients of `mmvid.classifiers.moe`, by `classification_loss`
    plain formulas     the same by automatic differentiation of the formulas as they are written in the papers
    whole step         forward, backward, the penalty, clipping and Adam, as in training

`--models` takes whole steps of every classifier at its default size, on the same features and classes and 300 frames of
a video, and says by torch's profiler how much of the CPU's time went into matrix products.

`--sizes` trains logistic regression for an epoch, by the training loop, from stores of 1,000, 4,000 and 16,000 made
videos: what a video costs must not grow with their number.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from benchmarks import epoch
from mmvid import classifiers
from mmvid.classifiers import Classifier, logistic, moe
from mmvid.layers.text import TextOptions
from mmvid.optimisation import clip_gradients
from mmvid.records.batches import Batch, Shapes
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.training import TrainConfig, classification_loss, fit

VIDEOS, CLASSES, EXPERTS = 1024, 4716, 8
SHAPES = Shapes(classes=CLASSES, features={"visual": 1024, "audio": 128})
INPUTS = sum(SHAPES.features.values())
COLUMNS = CLASSES * (2 * EXPERTS + 1)
PRODUCT = 2 * VIDEOS * INPUTS * COLUMNS  # FLOP: a multiplication and an addition each
FRAME_VIDEOS, FRAMES = 32, 300  # of `--models`
FRAME_SHAPES = Shapes(classes=CLASSES, features=SHAPES.features, frames=SHAPES.features)
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mkldnn_rnn_layer")
RESIDENT = 1_000_000  # videos kept on a GPU: 4.6 GB
STEPS = 20  # a round on a GPU


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds whose median is shown (default 7)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default cpu)")
    parser.add_argument("--models", action="store_true", help="every classifier at its default size, on a CPU")
    parser.add_argument(
        "--sizes", type=int, nargs="*", help="videos of stores to train an epoch of (default 1000 4000 16000)"
    )
    parser.add_argument("--peak", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.sizes is not None:
        compare_sizes(options.sizes or [1000, 4000, 16_000], options.rounds)
    elif options.device == "cuda":
        compare_precisions(options.rounds)
    elif options.models:
        compare_models(options.rounds)
    elif options.peak:
        print(json.dumps(peak(options.peak)))
    else:
        compare(options.rounds)


def compare(rounds: int) -> None:
    """Runs every row in turn, round by round, and prints a line for each."""
    rows = {name: make() for name, (make, _) in ROWS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, run in rows.items():
            begin = time.perf_counter()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    print(f"batch {VIDEOS}, {INPUTS} inputs, {CLASSES} classes, {EXPERTS} experts; {threads}, load {load}")
    head = f"{'row':<20}{'GFLOP':>7}{'s':>8}{'fastest':>9}{'slowest':>9}{'GFLOP/s':>9}"
    print(f"{head}{'of product':>12}{'of turned':>11}{'peak MiB':>10}")
    alone, turned = (PRODUCT / statistics.median(seconds[name]) for name in ("product", "product turned"))
    for name, taken in seconds.items():
        flop = PRODUCT * ROWS[name][1]
        rate = flop / statistics.median(taken)
        command = [sys.executable, "-m", "benchmarks.train", "--peak", name]
        memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times = f"{statistics.median(taken):>8.2f}{min(taken):>9.2f}{max(taken):>9.2f}"
        shares = f"{rate / alone:>12.0%}{rate / turned:>11.0%}"
        print(f"{name:<20}{flop / 1e9:>7.0f}{times}{rate / 1e9:>9.1f}{shares}{memory:>10.0f}", flush=True)


def compare_models(rounds: int) -> None:
    """Takes whole training steps of every classifier in turn, round by round, and prints a line for each."""
    data = make_batch(FRAME_VIDEOS, frames=FRAMES)
    runs = {}
    for name in classifiers.names():
        member = classifiers.load(name)
        if "fitted_by_counts" in member.Model.traits or issubclass(member.Config, TextOptions):
            continue  # nothing is multiplied, or there are words to read
        torch.manual_seed(0)
        model = member.Model(member.Config(), FRAME_SHAPES).train()
        adam = torch.optim.Adam([each for each in model.parameters() if each.requires_grad])
        runs[name] = (model, lambda model=model, adam=adam: step(model, data, adam))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, (_, run) in runs.items():
            begin = time.process_time()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - begin)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"batch {FRAME_VIDEOS}, {FRAMES} frames of {INPUTS}, {CLASSES} classes; CPU seconds, load {load}")
    print(f"{'classifier':<16}{'parameters':>12}{'s a step':>10}{'videos/CPU s':>14}{'in products':>13}")
    for name, (model, run) in runs.items():
        count = sum(each.numel() for each in model.parameters())
        middle = statistics.median(seconds[name])
        shares = f"{FRAME_VIDEOS / middle:>14,.0f}{share_in_products(run):>13.0%}"
        print(f"{name:<16}{count:>12,}{middle:>10.3f}{shares}", flush=True)


class FirstBatch:
    """A dev set of next to nothing: what it costs is not timed."""

    def __init__(self, store: Store):
        self.loader = Loader(store, epoch.SPLIT, 32)

    def __iter__(self) -> Iterator[Batch]:
        return islice(self.loader, 1)


class Clock(Callback):
    """CPU seconds from the start of an epoch to the end of its last batch."""

    def on_train_epoch_start(self, trainer, module) -> None:
        self.begin = time.process_time()

    def on_train_batch_end(self, trainer, module, *_) -> None:
        self.seconds = time.process_time() - self.begin


def compare_sizes(sizes: list[int], rounds: int) -> None:
    """Trains an epoch from stores of made videos, round by round, and prints what 1,000 videos cost."""
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        for size in sizes:
            (Path(folder) / str(size)).mkdir()
            epoch.make(Path(folder) / str(size), size)
        for number in range(rounds + 1):
            for size, taken in seconds.items():
                spent = train_epoch(Store.open(Path(folder) / str(size)))
                if number:  # the first round warms up
                    taken.append(spent)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"an epoch of logistic regression, batches of {TrainConfig().batch_size}; CPU seconds, load {load}")
    print(f"{'videos':>10}{'s':>8}{'s for 1,000':>13}{'fastest':>9}{'slowest':>9}")
    for size, taken in seconds.items():
        per = [1000 * each / size for each in taken]
        times = f"{statistics.median(per):>13.3f}{min(per):>9.3f}{max(per):>9.3f}"
        print(f"{size:>10,}{statistics.median(taken):>8.2f}{times}", flush=True)


def train_epoch(store: Store) -> float:
    """CPU seconds of an epoch of logistic regression, reading and shuffling included, without dev."""
    torch.manual_seed(0)
    model, config, clock = logistic.Model(logistic.Config(), store.shapes), TrainConfig(epochs=1), Clock()
    train = Loader(store, epoch.SPLIT, config.batch_size, shuffle=True)
    fit(model, train, FirstBatch(store), config, callbacks=[clock], progress=False)
    return clock.seconds


def share_in_products(run: Callable[[], object]) -> float:
    """The part of the CPU's time of a run that matrix products took."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(times.get(name, 0) for name in PRODUCTS) / sum(times.values())


def peak(name: str) -> float:
    """MiB of resident memory at the peak of two runs of a row in this process, above that before torch is used."""
    before = resident("VmRSS")
    run = ROWS[name][0]()
    run()
    run()
    return resident("VmHWM") - before


def resident(key: str) -> float:
    """MiB of resident memory of this process: `VmRSS` now, `VmHWM` at its peak (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024


def make_product() -> Callable[[], Tensor]:
    left, right = torch.randn(VIDEOS, INPUTS), torch.randn(INPUTS, COLUMNS)
    result = torch.empty(VIDEOS, COLUMNS)
    return lambda: torch.matmul(left, right, out=result)


def make_turned() -> Callable[[], Tensor]:
    left, right = torch.randn(COLUMNS, INPUTS), torch.randn(VIDEOS, INPUTS).T
    result = torch.empty(COLUMNS, VIDEOS)
    return lambda: torch.matmul(left, right, out=result)


def make_passes() -> Callable[[], None]:
    model, batch = make_model(), make_batch(VIDEOS)

    def run() -> None:
        model.zero_grad()
        classification_loss(model, batch, "cross_entropy").backward()

    return run


def make_plain() -> Callable[[], None]:
    model, batch = make_model(), make_batch(VIDEOS)

    def run() -> None:
        model.zero_grad()
        x = model.join(batch.features, batch.presence)
        gates = model.mixture.gates(x).unflatten(-1, (CLASSES, EXPERTS + 1))
        votes = model.mixture.experts(x).unflatten(-1, (CLASSES, EXPERTS))
        scores = (gates.softmax(-1)[..., :EXPERTS] * votes.sigmoid()).sum(-1).clamp(max=1)
        functional.binary_cross_entropy(scores, batch.labels.float(), reduction="sum").div(VIDEOS).backward()

    return run


def make_step() -> Callable[[], None]:
    model, batch = make_model(), make_batch(VIDEOS)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    return lambda: step(model, batch, adam)


def step(model: Classifier, batch: Batch, adam: torch.optim.Optimizer) -> None:
    """One step of training, with the defaults of `mmvid.training`."""
    adam.zero_grad()
    (classification_loss(model, batch, "cross_entropy") + model.penalty()).backward()
    clip_gradients(model.parameters(), "per_variable", 1.0)
    adam.step()


# A row: what makes it, and the matrix products that its FLOPs count for.
ROWS = {
    "product": (make_product, 1),
    "product turned": (make_turned, 1),
    "forward, backward": (make_passes, 2),
    "plain formulas": (make_plain, 2),
    "whole step": (make_step, 2),
}


def make_model() -> moe.Model:
    torch.manual_seed(0)
    return moe.Model(moe.Config(experts=EXPERTS), SHAPES)


def make_batch(videos: int, device: str = "cpu", frames: int = 0) -> Batch:
    """Normal features, and frames if there are to be any; three labels a video, a few of them alike."""
    random = torch.Generator(device).manual_seed(0)
    labels = torch.zeros(videos, CLASSES, dtype=torch.bool, device=device)
    labels.scatter_(1, torch.randint(CLASSES, (videos, 3), generator=random, device=device), True)
    features = {
        name: torch.randn(videos, size, generator=random, device=device) for name, size in SHAPES.features.items()
    }
    batch = Batch(ids=[""] * videos, features=features, labels=labels)
    if frames:
        batch.frames = {
            name: torch.randn(videos, frames, size, generator=random, device=device)
            for name, size in SHAPES.features.items()
        }
        batch.num_frames = torch.full((videos,), frames, device=device)
    return batch


def compare_precisions(rounds: int) -> None:
    """Whole steps on a GPU, on batches drawn there from a data set that is there: float32 and bf16 take turns."""
    data = make_batch(RESIDENT, "cuda")
    runs = {name: make_gpu_run(data, mixed) for name, mixed in (("float32", False), ("bf16-mixed", True))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(STEPS):
                run()
            torch.cuda.synchronize()
            if number:
                seconds[name].append((time.perf_counter() - begin) / STEPS)
    print(f"{torch.cuda.get_device_name()}: {RESIDENT:,} videos resident, whole steps on batches of {VIDEOS}")
    print(f"{'precision':<14}{'ms a step':>10}{'videos/s':>12}{'TFLOP/s':>9}")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"{name:<14}{middle * 1e3:>10.2f}{VIDEOS / middle:>12,.0f}{2 * PRODUCT / middle / 1e12:>9.1f}")
    print(f"peak memory of the GPU {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB")


def make_gpu_run(data: Batch, mixed: bool) -> Callable[[], None]:
    model = make_model().cuda()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)

    def run() -> None:
        rows = torch.randint(RESIDENT, (VIDEOS,), device="cuda")
        features = {name: values[rows] for name, values in data.features.items()}
        batch = Batch(ids=[""] * VIDEOS, features=features, labels=data.labels[rows])
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            loss = classification_loss(model, batch, "cross_entropy") + model.penalty()
        adam.zero_grad()
        loss.backward()
        clip_gradients(model.parameters(), "per_variable", 1.0)
        adam.step()

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
