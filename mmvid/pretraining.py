"""Training of any encoder on clips: its options, its optimiser, how it is measured on dev; the loop is in `loop`.

Steps are counted, not epochs: a round of steps ends with the metrics on dev, a checkpoint and a report.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from pydantic import model_validator
from torch import Tensor

from mmvid import loop
from mmvid.clips.batches import ClipBatch
from mmvid.config import Options, option
from mmvid.encoders import Encoder, vqvae
from mmvid.epochs import EpochBatches, Rounds
from mmvid.feature_cache import Windows
from mmvid.loop import Fitted, Learner, Report
from mmvid.metrics.image import by_step
from mmvid.optimisation import clip_gradients
from mmvid.permutation import Permutation


class PretrainConfig(Options):
    """Training of an encoder."""

    steps: int = option(200_000, "optimiser steps; a multiple of checks", ge=1)
    checks: int = option(100, "measurements on dev over the training, each with a checkpoint and pictures", ge=1)
    batch_size: int = option(32, "clips in a batch", ge=1)
    learning_rate: float = option(3e-4, "learning rate of Adam", gt=0, search=(1e-4, 3e-3), log=True)
    betas: tuple[float, float] = option((0.9, 0.999), "decays of Adam's averages")
    warmup: int = option(0, "steps over which the learning rate grows from 0", ge=0)
    schedule: Literal["cosine", "constant"] = option("cosine", "the learning rate afterwards; cosine ends at 0")
    clip_norm: float = option(0.0, "largest norm of all gradients together; 0 leaves them", ge=0)
    patience: int = option(0, "checks without a better dev loss before training stops; 0 never stops", ge=0)
    precision: loop.Precision = option("32", "arithmetic")
    ema: float = option(0.0, "decay of the weights' moving average, which is kept; 0 averages nothing", ge=0, lt=1)
    seed: int = option(0, "seed of weights, order, windows and dropout", ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "PretrainConfig":
        if self.steps % self.checks:
            raise ValueError(f"steps must be a multiple of checks ({self.checks}), got {self.steps}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {','.join(map(str, self.betas))}")
        return self


@dataclasses.dataclass
class CodedBatch:
    """Clips whose codes are known: of `clips.clips` only the conditioning frames need be there.

    Attributes:
        clips: B clips of one frame or more.
        codes: int64 (B, t, h, w).
    """

    clips: ClipBatch
    codes: Tensor

    def __len__(self) -> int:
        return len(self.clips)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "CodedBatch":
        return CodedBatch(self.clips.to(device, non_blocking), self.codes.to(device, non_blocking=non_blocking))


class CodedLoader:
    """Batches of the windows of a split with their codes from the cache; the order is an epoch's number's alone.

    Args:
        windows: which windows have codes.
        codes: integers (N, t, h, w), a row a window.
        frames: first frames of each window that a batch's clips have, at least 1.
        batch_size: windows in a batch; the last one may be smaller.
        draw: takes one window of each clip, drawn anew each epoch, in an order drawn anew; else every clip's first.
        seed: of orders and windows.
    """

    def __init__(
        self, windows: Windows, codes: np.ndarray, frames: int, batch_size: int, *, draw: bool = False, seed: int = 0
    ):
        if len(codes) != len(windows):
            raise ValueError(f"codes must have a row for each of {len(windows)} windows, got {len(codes)}")
        self.windows, self.codes, self.batch_size = windows, codes, batch_size
        self.frames, self.draw, self.seed, self.epoch = frames, draw, seed, 0
        rows, _ = windows.index
        _, self.firsts, self.counts = np.unique(rows, return_index=True, return_counts=True)

    def __len__(self) -> int:
        return -(-len(self.firsts) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[CodedBatch]:
        order, taken = np.arange(len(self.firsts)), self.firsts
        if self.draw:
            order = Permutation(len(order), self.seed, self.epoch)(order)
            taken = taken + np.random.default_rng([self.seed, self.epoch]).integers(self.counts)
        for begin in range(0, len(order), self.batch_size):
            yield self.batch(taken[order[begin : begin + self.batch_size]])

    def batch(self, numbers: np.ndarray) -> CodedBatch:
        """The windows with these numbers."""
        rows, starts = (each[numbers].tolist() for each in self.windows.index)
        firsts = dataclasses.replace(self.windows, frames=self.frames, every=1).loader.batch(rows, starts)
        return CodedBatch(firsts, torch.from_numpy(np.asarray(self.codes[numbers], np.int64)))


class Pretraining(Learner):
    """An encoder, its loss and its optimiser; on dev the means of its loss and of its measures."""

    def __init__(self, model: Encoder, config: PretrainConfig):
        super().__init__()
        self.model = model
        self.config = config
        self.totals: dict[str, float] = {}
        self.clips_seen = 0

    def loss(self, batch: ClipBatch | CodedBatch) -> Tensor:
        return self.measured(batch)[0]

    def measured(self, batch: ClipBatch | CodedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and the encoder's measures."""
        if isinstance(batch, CodedBatch):
            return self.model.loss(batch.clips, batch.codes)
        return self.model.loss(batch)

    def validation_step(self, batch: ClipBatch | CodedBatch, index: int) -> None:
        loss, measures = self.measured(batch)
        self.count({"loss": loss, **measures}, len(batch))

    def count(self, measures: dict[str, Tensor], clips: int) -> None:
        """Adds the means over `clips` clips."""
        for name, value in measures.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value) * clips
        self.clips_seen += clips

    def on_validation_epoch_start(self) -> None:
        self.totals, self.clips_seen = {}, 0

    def on_validation_epoch_end(self) -> None:
        self.dev_metrics = {f"dev/{name}": total / self.clips_seen for name, total in self.totals.items()}
        self.log("dev/loss", self.dev_metrics["dev/loss"], prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        return torch.optim.Adam(trained, lr=self.config.learning_rate, betas=self.config.betas, fused=True)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, **_: Any) -> None:
        if self.config.clip_norm:
            clip_gradients(self.model.parameters(), "global", self.config.clip_norm)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self.config.learning_rate * rate_factor(self.trainer.global_step, self.config)


class VqvaePretraining(Pretraining):
    """On dev also PSNR and SSIM of the reconstructions, and how the codebook is used over all of dev."""

    model: vqvae.Model
    shown = ("train/loss", "dev/loss", "dev/psnr", "dev/perplexity")

    def validation_step(self, batch: ClipBatch, index: int) -> None:
        output = self.model(batch.clips)
        measures = {
            "loss": output.reconstruction_loss + output.commitment_loss,
            "reconstruction": output.reconstruction_loss,
            "commitment": output.commitment_loss,
        }
        near = by_step(output.reconstruction.float().clamp(-0.5, 0.5), batch.clips)
        self.count(measures | {name: values.mean() for name, values in near.items()}, len(batch))
        self.codes += torch.bincount(output.codes.flatten(), minlength=len(self.codes)).cpu()

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.codes = torch.zeros(self.model.config.codes, dtype=torch.int64)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.dev_metrics |= {f"dev/{name}": value for name, value in code_statistics(self.codes).items()}


def code_statistics(counts: Tensor) -> dict[str, float]:
    """How a codebook is used, from how often each code occurs (K,).

    `perplexity` is exp of the entropy, K where all occur as often; `usage` the share of the codes that occur.
    """
    shares = counts.double() / counts.sum()
    return {
        "perplexity": float(torch.special.entr(shares).sum().exp()),
        "usage": float((counts > 0).double().mean()),
    }


def rate_factor(step: int, config: PretrainConfig) -> float:
    """The factor on the learning rate of the step after `step` steps: it grows to 1, then stays or falls to 0."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def fit(
    model: Encoder,
    train: EpochBatches,
    dev: Iterable[Any],
    config: PretrainConfig,
    *,
    checkpoints: Path | None = None,
    report: Report = lambda metrics, check: None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
) -> Fitted:
    """Trains an encoder in place and leaves it with the weights of its best check on `dev`; see `loop.train`.

    Args:
        model: the encoder, on any device.
        train: `ClipBatch`es, or `CodedBatch`es for a model of codes.
        dev: the same, for the checks.
        config: how to train.
    """
    kind = VqvaePretraining if isinstance(model, vqvae.Model) else Pretraining
    return loop.train(
        kind(model, config),
        Rounds(train, config.steps // config.checks),
        dev,
        epochs=config.checks,
        patience=config.patience,
        precision=config.precision,
        ema=config.ema,
        checkpoints=checkpoints,
        report=report,
        callbacks=callbacks,
        progress=progress,
    )
