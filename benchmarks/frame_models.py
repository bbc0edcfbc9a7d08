"""What a training step of the frame-level classifiers costs at the paper's sizes, beside the same by plain torch.

    python -m benchmarks.frame_models --device cuda                        # a GPU: 128 videos of 300 frames
    python -m benchmarks.frame_models --videos 4 --frames 8 --rounds 1     # that the path is whole, on a CPU

Batches of 1152 numbers a frame (visual and audio), 4716 classes, on the device before the clock starts. Whole steps of
ours are loss, penalty, backward, clipping and Adam under bf16 autocast. The plain ones are float32 without autocast,
one operation after another as one would first write them: DBoF projects every frame and draws afterwards, the LSTM
steps through the padding. Lengths are drawn from half the frames to all. The two take turns, round by round; shown
are medians, and the peak of the device's memory beyond both models (on a CPU there is no such count).
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.train import FRAME_SHAPES, make_batch
from mmvid import classifiers
from mmvid.classifiers import Classifier
from mmvid.layers.frames import sample_frames, valid_frames
from mmvid.layers.losses import cross_entropy
from mmvid.optimisation import clip_gradients
from mmvid.records.batches import Batch
from mmvid.training import classification_loss

MODELS = {"dbof_a": "dbof", "dbof_b": "dbof", "lstm_a": "lstm", "lstm_b": "lstm"}  # preset -> classifier


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default cpu)")
    parser.add_argument("--videos", type=int, default=128, help="videos in a batch (default 128)")
    parser.add_argument("--frames", type=int, default=300, help="frames of the longest video (default 300)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds whose median is shown (default 7)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="presets (default all)")
    options = parser.parse_args(argv)
    batch = make_frames(options.videos, options.frames, options.device)
    on = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, load {os.getloadavg()[0]:.1f}"
    size = sum(FRAME_SHAPES.frames.values())
    print(f"{on}: batches of {options.videos} videos, at most {options.frames} frames of {size}")
    print(f"{'model':<10}{'row':<14}{'ms a step':>10}{'videos/s':>12}{'peak MiB':>10}")
    for preset in options.models:
        compare(preset, batch, options.device, options.rounds)


def make_frames(videos: int, frames: int, device: str) -> Batch:
    """A batch whose videos have half of `frames` to all of them."""
    batch = make_batch(videos, device, frames)
    random = torch.Generator().manual_seed(1)
    lengths = torch.randint((frames + 1) // 2, frames + 1, (videos,), generator=random)
    lengths[0] = frames
    batch.num_frames = lengths.to(device)
    valid = valid_frames(batch).unsqueeze(-1)
    batch.frames = {name: torch.where(valid, values, 0.0) for name, values in batch.frames.items()}
    return batch


def compare(preset: str, batch: Batch, device: str, rounds: int) -> None:
    """Steps of ours in bf16 and of plain torch in float32, in turns; a line each."""
    rows = {"ours, bf16": ours(preset, device), "plain float32": plain(preset, device)}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    peaks = dict.fromkeys(rows, 0.0)
    for number in range(rounds + 1):
        for name, step in rows.items():
            if device == "cuda":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                held = torch.cuda.memory_allocated()
            begin = time.perf_counter()
            step(batch)
            if device == "cuda":
                torch.cuda.synchronize()
                peaks[name] = max(peaks[name], (torch.cuda.max_memory_allocated() - held) / 2**20)
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        peak = f"{peaks[name]:>10,.0f}" if device == "cuda" else f"{'-':>10}"
        print(f"{preset:<10}{name:<14}{middle * 1e3:>10.2f}{len(batch) / middle:>12,.1f}{peak}", flush=True)


def ours(preset: str, device: str) -> Callable[[Batch], None]:
    model = make(preset).to(device).train()
    adam = torch.optim.Adam([each for each in model.parameters() if each.requires_grad])

    def step(batch: Batch) -> None:
        with torch.autocast(device, torch.bfloat16):
            loss = classification_loss(model, batch, "cross_entropy") + model.penalty()
        adam.zero_grad()
        loss.backward()
        clip_gradients(model.parameters(), "per_variable", 1.0)
        adam.step()

    return step


def plain(preset: str, device: str) -> Callable[[Batch], None]:
    kind = {"dbof": PlainDbof, "lstm": PlainLstm}[MODELS[preset]]
    model = kind(make(preset).config).to(device)
    adam = torch.optim.Adam(model.parameters())

    def step(batch: Batch) -> None:
        loss = cross_entropy(model(torch.cat(list(batch.frames.values()), -1), batch.num_frames), batch.labels)
        adam.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            nn.utils.clip_grad_norm_([parameter], 1.0)
        adam.step()

    return step


def make(preset: str) -> Classifier:
    torch.manual_seed(0)
    member = classifiers.load(MODELS[preset])
    return member.Model(member.Config(preset=preset), FRAME_SHAPES)


class PlainMixture(nn.Module):
    """A mixture of experts for each class, from the formula: vectors to log-odds."""

    def __init__(self, inputs: int, experts: int):
        super().__init__()
        self.experts = experts
        self.gates = nn.Linear(inputs, FRAME_SHAPES.classes * (experts + 1), bias=False)
        self.votes = nn.Linear(inputs, FRAME_SHAPES.classes * experts)

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gates(x).unflatten(-1, (-1, self.experts + 1)).softmax(-1)
        votes = self.votes(x).unflatten(-1, (-1, self.experts)).sigmoid()
        return (gates[..., : self.experts] * votes).sum(-1).logit(eps=1e-6)


class PlainDbof(nn.Module):
    """Every frame is normalised and projected, padded ones too; then some are drawn and pooled."""

    def __init__(self, config):
        super().__init__()
        inputs = sum(FRAME_SHAPES.frames.values())
        self.samples = config.samples
        self.input_norm = nn.BatchNorm1d(inputs)
        self.projection, self.projection_norm = nn.Linear(inputs, config.projection), nn.BatchNorm1d(config.projection)
        self.hidden, self.hidden_norm = nn.Linear(config.projection, config.hidden), nn.BatchNorm1d(config.hidden)
        self.head = PlainMixture(config.hidden, config.experts)

    def forward(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        codes = self.projection(self.input_norm(frames.flatten(0, 1)))
        codes = nn.functional.relu6(self.projection_norm(codes)).unflatten(0, frames.shape[:2])
        index = sample_frames(num_frames, self.samples, "frames")
        drawn = codes[torch.arange(len(frames), device=frames.device)[:, None], index]
        return self.head(nn.functional.relu6(self.hidden_norm(self.hidden(drawn.amax(1)))))


class PlainLstm(nn.Module):
    """Steps through all frames, padded ones too, and takes the state at each video's last one."""

    def __init__(self, config):
        super().__init__()
        self.lstm = nn.LSTM(sum(FRAME_SHAPES.frames.values()), config.cells, config.layers, batch_first=True)
        self.head = PlainMixture(config.cells, config.experts)

    def forward(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        states = self.lstm(frames)[0]
        return self.head(states[torch.arange(len(frames), device=frames.device), num_frames - 1])


if __name__ == "__main__":
    main(sys.argv[1:])
