"""Reconstructions and predictions held against the clips, step by step: PSNR, SSIM, and a copy of the last frame seen.

A prediction is worth something where it is nearer to what came than the last conditioning frame repeated, which
everybody can give. T is the frames of a clip, of which the first `given` are known to the model.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from mmvid.clips.batches import ClipBatch
from mmvid.encoders import videogpt, vqvae
from mmvid.metrics.image import by_step


@dataclasses.dataclass(frozen=True)
class Nearness:
    """How near clips come to what they should be, by step; `ssim` is None for pictures too small for it.

    Attributes:
        psnr: decibels, mean over the clips, (T,).
        ssim: mean over the clips, (T,).
        given: first steps that the model was shown; means leave them out.
        clips: how many clips were measured.
    """

    psnr: np.ndarray
    ssim: np.ndarray | None
    given: int
    clips: int

    def means(self) -> dict[str, float]:
        """PSNR and SSIM over the steps that were not given."""
        return {name: float(values[self.given :].mean()) for name, values in self.curves().items()}

    def curves(self) -> dict[str, np.ndarray]:
        return {"psnr": self.psnr} | ({} if self.ssim is None else {"ssim": self.ssim})


class NearnessMeter:
    """Means by step over clips that come in batches."""

    def __init__(self, given: int = 0):
        self.given, self.clips = given, 0
        self.totals: dict[str, Tensor] = {}

    def update(self, clips: Tensor, truth: Tensor) -> None:
        """Clips and what they should be, (B, 3, T, H, W) each."""
        self.add(by_step(clips, truth))

    def add(self, steps: dict[str, Tensor]) -> None:
        """What `by_step` found, (B, T) each."""
        for name, values in steps.items():
            self.totals[name] = self.totals.get(name, 0) + values.sum(0).cpu()
        self.clips += len(steps["psnr"])

    def compute(self) -> Nearness:
        if not self.clips:
            raise ValueError("there must be at least one clip to measure, got none")
        means = {name: (total / self.clips).numpy() for name, total in self.totals.items()}
        return Nearness(means["psnr"], means.get("ssim"), self.given, self.clips)


@torch.no_grad()
def measure_reconstructions(model: vqvae.Model, batches: Iterable[ClipBatch], clips: int) -> Nearness:
    """How near a VQ-VAE's reconstructions of the first `clips` clips come to them."""
    meter, device = NearnessMeter(), device_of(model)
    for batch in first_clips(batches, clips):
        meter.update(reconstruct(model, batch.clips.to(device)), batch.clips.to(device))
    return meter.compute()


@torch.no_grad()
def reconstruct(model: vqvae.Model, clips: Tensor) -> Tensor:
    """Clips (B, 3, T, H, W) through their codes and back, in [-0.5, 0.5]."""
    return model.decode(model.encode(clips)).float().clamp(-0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What the predictions of some clips came to.

    Attributes:
        samples: the mean over all samples of all clips.
        best: of each clip's samples the one nearest to it by PSNR; equal to `samples` where there is one sample.
        copies: the last given frame repeated.
        ceiling: the clips' own reconstructions by the VQ-VAE: nearer the model cannot come but by chance.
    """

    samples: Nearness
    best: Nearness
    copies: Nearness
    ceiling: Nearness


def measure_predictions(
    model: videogpt.Model,
    batches: Iterable[ClipBatch],
    clips: int,
    *,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Predicts the first `clips` clips from their first frames and measures the predictions.

    Args:
        model: in evaluation mode, conditioned on frames.
        batches: whole clips.
        clips: how many are predicted.
        samples: predictions of each clip.
        temperature, top_k: see `Model.sample_codes`.
        seed: of the samples.
        progress: called with the codes drawn and how many there are, in each batch anew.
    """
    given, device = model.config.conditioned_frames, device_of(model)
    meters = [NearnessMeter(given) for _ in range(4)]
    generator = torch.Generator(device).manual_seed(seed)
    for batch in first_clips(batches, clips):
        truth = batch.clips.to(device)
        several = batch.to(device) if samples == 1 else _repeated(batch.to(device), samples)
        found = model.sample(
            len(several),
            several.clips[:, :, :given] if given else None,
            several.classes if model.config.categories else None,
            temperature=temperature,
            top_k=top_k,
            generator=generator,
            progress=progress,
        )
        steps = by_step(found, several.clips)
        meters[0].add(steps)
        nearest = steps["psnr"][:, given:].mean(1).view(-1, samples).argmax(1)  # (B,)
        numbers = torch.arange(len(truth), device=nearest.device) * samples + nearest
        meters[1].add({name: values[numbers] for name, values in steps.items()})
        meters[2].update(copied(truth, given), truth)
        meters[3].update(reconstruct(model.vqvae, truth), truth)
    return Predictions(*(meter.compute() for meter in meters))


def copied(clips: Tensor, given: int) -> Tensor:
    """Clips (B, 3, T, H, W) whose last given frame stays; without a given frame, the first one does."""
    last = max(0, given - 1)
    return torch.cat([clips[:, :, :last], clips[:, :, last : last + 1].expand_as(clips[:, :, last:])], dim=2)


def first_clips(batches: Iterable[ClipBatch], clips: int) -> Iterator[ClipBatch]:
    """Batches up to `clips` clips in all; the last one is cut."""
    left = clips
    for batch in batches:
        if left <= 0:
            return
        yield batch if len(batch) <= left else _taken(batch, slice(left))
        left -= len(batch)


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def _taken(batch: ClipBatch, rows: slice | np.ndarray) -> ClipBatch:
    values = {}
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            value = value[rows]
        elif value is not None:
            value = value[rows] if isinstance(rows, slice) else [value[row] for row in rows]
        values[field.name] = value
    return ClipBatch(**values)


def _repeated(batch: ClipBatch, times: int) -> ClipBatch:
    """Each clip `times` times, one after the other."""
    return _taken(batch, np.arange(len(batch)).repeat(times))
