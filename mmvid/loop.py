"""The one training loop, by Lightning: precision, early stopping, averaged weights, checkpoints, resume, progress.

A training that is killed goes on from its last checkpoint, in the middle of an epoch too, with the batch that is next:
it ends with the very numbers of one that was not.

It trains any `Learner` and knows no model by name, neither MLflow nor a search: whoever wants to hear of an epoch
passes `report`.
"""

import dataclasses
import logging
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch import Tensor, nn

from mmvid.epochs import EpochBatches, Resumable

Report = Callable[[dict[str, float], int], None]
Precision = Literal["32", "bf16-mixed"]
Weights = dict[str, Tensor]

CHECKPOINT_MINUTES = 15.0  # as the YouTube-8M starter code has it


class Learner(lightning.LightningModule, ABC):
    """A model, its loss, its optimiser and how it is measured on dev, as the loop drives them.

    Attributes:
        model: what is trained.
        monitor: the dev metric that decides the best epoch and early stopping.
        better: whether more or less of it is better.
        shown: the metrics in the line of an epoch where there is no terminal.
        dev_metrics: the metrics of the last validation, which `on_validation_epoch_end` must set.
    """

    model: nn.Module
    monitor: str = "dev/loss"
    better: Literal["more", "less"] = "less"
    shown: tuple[str, ...] = ("train/loss", "dev/loss")

    def __init__(self):
        super().__init__()
        self.dev_metrics: dict[str, float] = {}
        self._losses = (0.0, 0)  # of this epoch so far: their sum over the videos or clips, and how many these are

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The training loss of a batch, a scalar, without what `penalty` adds."""

    def penalty(self) -> Tensor | float:
        """What is added to the loss and not shown as `train/loss`."""
        return 0.0

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss became {loss.item()} in epoch {self.current_epoch}, batch {index}; try a lower learning_rate"
            )
        total, count = self._losses
        self._losses = total + loss.item() * len(batch), count + len(batch)
        return loss + self.penalty()

    def take_mean_loss(self) -> float:
        """The mean loss since it was last taken, which was at the end of the epoch before."""
        (total, count), self._losses = self._losses, (0.0, 0)
        return total / count

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = self._losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._losses = tuple(checkpoint["losses"])

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.set_epoch(self.current_epoch)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        history: the metrics of each epoch, in order, those of epochs before a resume included.
        best_epoch: the epoch whose weights the model now has.
    """

    history: list[dict[str, float]]
    best_epoch: int


def train(
    learner: Learner,
    batches: EpochBatches,
    dev: Iterable[Any],
    *,
    epochs: int,
    patience: int = 0,
    precision: Precision = "32",
    ema: float = 0.0,
    checkpoints: Path | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    report: Report = lambda metrics, epoch: None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
) -> Fitted:
    """Trains `learner.model` in place and leaves it with the weights of its best epoch on `dev`.

    Args:
        learner: what to train and how to measure it.
        batches: the batches of an epoch.
        dev: batches that decide early stopping and the best epoch by the learner's metric.
        epochs: the most epochs.
        patience: epochs without a better metric before training stops; 0 never stops.
        precision: arithmetic.
        ema: decay of the moving average of the weights, which then is what is measured and kept; 0 averages nothing.
        checkpoints: a folder for `last.ckpt`, written after each epoch and now and then within it; a training that
            finds one there goes on from it and ends as if it had never stopped. None keeps nothing.
        checkpoint_minutes: from one writing to the next within an epoch; 0 writes after each batch.
        report: called with the metrics of each epoch and its number, earlier epochs' too after a resume.
        callbacks: further Lightning callbacks.
        progress: whether to show a progress bar (a line an epoch where there is no terminal).

    Raises:
        ValueError: if the loss becomes NaN or infinite; the message names the epoch.
    """
    last = checkpoints / "last.ckpt" if checkpoints else None
    resume = last if last is not None and last.exists() else None
    averaging = [Averaging(ema)] if ema else []
    journal = Journal(report, patience, averaging, quiet=not progress or sys.stderr.isatty())
    listeners: list[Callback] = [RandomState(), *averaging, journal, *callbacks]
    if checkpoints:
        listeners += [
            Interim(last, checkpoint_minutes),
            ModelCheckpoint(checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False),
        ]
    bar = progress and sys.stderr.isatty()
    if bar:
        listeners.append(TQDMProgressBar())
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        precision={"32": "32-true"}.get(precision, precision),
        callbacks=listeners,
        devices=1,
        logger=False,
        enable_checkpointing=checkpoints is not None,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
    )
    with warnings.catch_warnings():
        # Advice about DataLoader workers and log intervals; our loaders are no DataLoaders.
        warnings.filterwarnings("ignore", module="lightning")
        # weights_only: a checkpoint is read without running code from it.
        trainer.fit(learner, Resumable(batches), dev, ckpt_path=resume, weights_only=True)
    learner.model.load_state_dict(journal.weights)
    return Fitted(history=journal.history, best_epoch=journal.best_epoch)


class Journal(Callback):
    """Keeps every epoch's metrics and the best epoch's weights, and stops when there is no better epoch for long.

    All of it is in the checkpoint: one file holds the last state and the best weights, so a kill between two writes
    cannot part them, and a training that had stopped does not go on.
    """

    def __init__(self, report: Report, patience: int, averaging: "list[Averaging]", quiet: bool):
        self.report, self.patience, self.averaging, self.quiet = report, patience, averaging, quiet
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.weights: Weights = {}

    def on_train_start(self, trainer, module: Learner) -> None:
        for epoch, metrics in enumerate(self.history):  # only after a resume
            self.report(metrics, epoch)
        self._stop_early(trainer)

    def on_train_epoch_end(self, trainer, module: Learner) -> None:
        epoch = trainer.current_epoch
        metrics = {
            "train/loss": module.take_mean_loss(),
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **module.dev_metrics,
        }
        self.history.append(metrics)
        if self._is_best(module):
            self.best_epoch = epoch
            self.weights = {key: value.detach().cpu().clone() for key, value in module.model.state_dict().items()}
            for averaging in self.averaging:
                self.weights |= {key: value.cpu().clone() for key, value in averaging.average.items()}
        self.report(metrics, epoch)
        if not self.quiet:
            shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in module.shown)
            sys.stderr.write(f"epoch {epoch + 1}/{trainer.max_epochs}: {shown}\n")
        self._stop_early(trainer)

    def _is_best(self, module: Learner) -> bool:
        """Whether the last epoch of the history is better than the best one before."""
        if self.best_epoch < 0:
            return True
        now, best = (self.history[epoch][module.monitor] for epoch in (-1, self.best_epoch))
        return best != best or (now > best if module.better == "more" else now < best)

    def _stop_early(self, trainer) -> None:
        if self.patience and self.history and len(self.history) - 1 - self.best_epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class Averaging(Callback):
    """The exponential moving average of the trained weights; validation sees it instead of the weights.

    The decay grows to `decay` as min(decay, (1 + n) / (10 + n)) with the steps n, so that the first weights are soon
    forgotten (TensorFlow's ExponentialMovingAverage with num_updates). Buffers, such as the statistics of a batch
    norm, are not averaged: they are averages of their own.

    Attributes:
        average: the averaged parameters by their names in the model.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.average: Weights = {}
        self.steps = 0
        self._trained: Weights = {}  # the weights themselves while validation sees the average

    @torch.no_grad()
    def on_train_start(self, trainer, module: Learner) -> None:
        trained = {name: weight for name, weight in module.model.named_parameters() if weight.requires_grad}
        kept = self.average or trained
        self.average = {name: kept[name].detach().to(weight.device, copy=True) for name, weight in trained.items()}

    @torch.no_grad()
    def on_train_batch_end(self, trainer, module: Learner, outputs, batch, index: int) -> None:
        if trainer.global_step == self.steps:  # gradients are being accumulated
            return
        self.steps = trainer.global_step
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights = dict(module.model.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [weights[name] for name in self.average], share)

    @torch.no_grad()
    def on_validation_start(self, trainer, module: Learner) -> None:
        weights = dict(module.model.named_parameters())
        self._trained = {name: weights[name].detach().clone() for name in self.average}
        for name, value in self.average.items():
            weights[name].copy_(value)

    @torch.no_grad()
    def on_validation_end(self, trainer, module: Learner) -> None:
        weights = dict(module.model.named_parameters())
        for name, value in self._trained.items():
            weights[name].copy_(value)
        self._trained = {}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average, self.steps = state["average"], state["steps"]


class Interim(Callback):
    """Writes the checkpoint within an epoch, too: after the first batch at which so many minutes have passed.

    It must be the last of the callbacks that change with a batch, so that the state is that after the batch.
    """

    def __init__(self, path: Path, minutes: float):
        self.path, self.seconds = path, 60 * minutes
        self.written = time.monotonic()

    def on_train_epoch_start(self, trainer, module) -> None:
        self.written = time.monotonic()  # at the end of the epoch before, or now the training begins

    def on_train_batch_end(self, trainer, module, outputs, batch, index: int) -> None:
        last = index + 1 == trainer.num_training_batches  # what follows is written when the epoch is over
        if not last and time.monotonic() - self.written >= self.seconds:
            trainer.save_checkpoint(self.path)
            self.written = time.monotonic()


class RandomState(Callback):
    """Carries torch's random states through a checkpoint, so that dropout goes on as it would have."""

    def __init__(self):
        self.loaded: dict[str, Any] = {}

    def on_train_start(self, trainer, module) -> None:
        if self.loaded:
            torch.set_rng_state(self.loaded["torch"])
            # A checkpoint of another machine may have the states of more or fewer devices.
            for device, state in zip(range(torch.cuda.device_count()), self.loaded["cuda"], strict=False):
                torch.cuda.set_rng_state(state, device)

    def state_dict(self) -> dict[str, Any]:
        return {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loaded = state
