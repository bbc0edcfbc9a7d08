"""The one training loop, by Lightning: precision, early stopping, averaged weights, checkpoints, resume, progress.

It trains any `Learner` and knows no model by name, neither MLflow nor a search: whoever wants to hear of an epoch
passes `report`. Training that is counted in steps is cut into epochs of so many steps by `Rounds`.
"""

import dataclasses
import itertools
import logging
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch import Tensor, nn

Report = Callable[[dict[str, float], int], None]
Precision = Literal["32", "bf16-mixed"]
Weights = dict[str, Tensor]


class EpochBatches(Protocol):
    """Batches whose order is drawn anew each epoch, from the epoch's number alone."""

    def __iter__(self): ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


class Rounds:
    """Epochs joined into one stream, which is cut anew into rounds of `steps` batches.

    A round takes the place of an epoch for the loop: dev metrics, checkpoint and report come at its end, wherever
    in an epoch that is.
    """

    def __init__(self, batches: EpochBatches, steps: int):
        if steps < 1 or len(batches) == 0:
            raise ValueError(f"a round must have at least one batch, got {steps} of {len(batches)} batches")
        self.batches, self.steps = batches, steps
        self.round = 0
        self._stream: Iterator[Any] = iter(())
        self._next = -1  # the step that the stream stands at

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        self.round = epoch

    def __iter__(self) -> Iterator[Any]:
        first = self.round * self.steps
        if self._next != first:  # the very first round, or a resume
            self._stream, self._next = self._from(first), first
        for _ in range(self.steps):
            batch = next(self._stream)
            self._next += 1
            yield batch

    def _from(self, step: int) -> Iterator[Any]:
        epoch, passed = divmod(step, len(self.batches))
        for number in itertools.count(epoch):
            self.batches.set_epoch(number)
            yield from itertools.islice(self.batches, passed, None)
            passed = 0


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
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss + self.penalty()

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
        checkpoints: a folder for `last.ckpt`, written after each epoch; a training that finds one there goes on
            from it and ends as if it had never stopped. None keeps nothing.
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
        listeners.append(
            ModelCheckpoint(checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
        )
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
        trainer.fit(learner, batches, dev, ckpt_path=resume, weights_only=True)
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
            "train/loss": float(trainer.callback_metrics["train/loss"]),
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
