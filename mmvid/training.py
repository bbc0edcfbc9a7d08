"""Training of any classifier, by Lightning: seeds, precision, early stopping, checkpoints, resume, progress.

The loop knows neither MLflow nor a search: whoever wants to hear of an epoch passes `report`.
"""

import dataclasses
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch import Tensor

from mmvid.classifiers import Classifier
from mmvid.config import Options, option
from mmvid.layers import losses
from mmvid.metrics.meters import RankingMeter
from mmvid.optimisation import Clipping, UncorrectedEpsilonAdam, clip_gradients, staircase
from mmvid.records.batches import Batch

Report = Callable[[dict[str, float], int], None]


class TrainConfig(Options):
    """Training."""

    epochs: int = option(60, "passes over train at most", ge=1)
    batch_size: int = option(128, "videos in a batch", ge=1, search=(64, 1024), log=True)
    learning_rate: float = option(0.01, "learning rate of Adam", gt=0, search=(1e-4, 1e-1), log=True)
    decay: float = option(0.95, "factor on the learning rate at each stair", gt=0, le=1)
    decay_examples: int = option(4_000_000, "videos from one stair to the next", ge=1)
    adam: Literal["corrected", "uncorrected"] = option(
        "corrected", "bias correction of Adam's epsilon: torch corrects it, the original does not"
    )
    clip: Clipping = option("per_variable", "gradient clipping; per_variable is the original's")
    clip_norm: float = option(1.0, "largest gradient norm", gt=0)
    loss: losses.Loss = option("cross_entropy", "training loss; cross_entropy_epsilon is the original's")
    patience: int = option(4, "epochs without a better dev GAP before training stops; 0 never stops", ge=0)
    precision: Literal["32", "bf16-mixed"] = option("32", "arithmetic")
    seed: int = option(0, "seed of weights, order and dropout", ge=0)


class EpochBatches(Protocol):
    """Batches whose order is drawn anew each epoch, from the epoch's number alone."""

    def __iter__(self): ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        history: the metrics of each epoch, in order, those of epochs before a resume included.
        best_epoch: the epoch whose weights the model now has.
    """

    history: list[dict[str, float]]
    best_epoch: int


def fit(
    model: Classifier,
    train: EpochBatches,
    dev: Iterable[Batch],
    config: TrainConfig,
    *,
    checkpoints: Path | None = None,
    report: Report = lambda metrics, epoch: None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
) -> Fitted:
    """Trains `model` in place and leaves it with the weights of its best epoch on `dev`.

    Args:
        model: the classifier, on any device.
        train: labelled batches.
        dev: batches that decide early stopping and the best epoch by their GAP.
        config: how to train.
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
    journal = Journal(report, config.patience, quiet=not progress or sys.stderr.isatty())
    listeners: list[Callback] = [RandomState(), journal, *callbacks]
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
        max_epochs=config.epochs,
        precision={"32": "32-true"}.get(config.precision, config.precision),
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
        trainer.fit(Classifying(model, config), train, dev, ckpt_path=resume, weights_only=True)
    journal.restore(model)
    return Fitted(history=journal.history, best_epoch=journal.best_epoch)


class Classifying(lightning.LightningModule):
    """A classifier, its loss and its optimiser, as Lightning drives them."""

    def __init__(self, model: Classifier, config: TrainConfig):
        super().__init__()
        self.model = model
        self.config = config
        self.meter = RankingMeter()
        self.dev_metrics: dict[str, float] = {}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = classification_loss(self.model, batch, self.config.loss)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss became {loss.item()} in epoch {self.current_epoch}, batch {index}; try a lower learning_rate"
            )
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss + self.model.penalty()

    def validation_step(self, batch: Batch, index: int) -> None:
        self.meter.update(batch.weigh(self.model(batch).float()), batch.labels)

    def on_validation_epoch_end(self) -> None:
        self.dev_metrics = {f"dev/{name}": float(value) for name, value in self.meter.compute().items()}
        self.log("dev/gap", self.dev_metrics["dev/gap"], prog_bar=True)
        self.meter.reset()

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.set_epoch(self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = {"corrected": torch.optim.Adam, "uncorrected": UncorrectedEpsilonAdam}[self.config.adam]
        return kind(self.model.parameters(), lr=self.config.learning_rate)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, **_: Any) -> None:
        clip_gradients(self.model.parameters(), self.config.clip, self.config.clip_norm)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # The stairs are counted in videos seen before this step, as in the original.
        seen = self.trainer.global_step * self.config.batch_size * self.trainer.world_size
        factor = staircase(seen, self.config.decay, self.config.decay_examples)
        for group in optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor


def classification_loss(model: Classifier, batch: Batch, loss: losses.Loss) -> Tensor:
    """The loss of a labelled batch, without the penalty; computed in float32 at least."""
    if batch.labels is None:
        raise ValueError("a batch without labels cannot be trained on")
    if loss == "cross_entropy":
        return losses.cross_entropy(model.log_odds(batch).float(), batch.labels, batch.weights)
    function = {
        "cross_entropy_epsilon": losses.cross_entropy_epsilon,
        "hinge": losses.hinge,
        "softmax": losses.softmax,
    }[loss]
    return function(model(batch).float(), batch.labels, batch.weights)


class Journal(Callback):
    """Keeps every epoch's metrics and the best epoch's weights, and stops when there is no better epoch for long.

    All of it is in the checkpoint: one file holds the last state and the best weights, so a kill between two writes
    cannot part them, and a training that had stopped does not go on.
    """

    def __init__(self, report: Report, patience: int, quiet: bool):
        self.report, self.patience, self.quiet = report, patience, quiet
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_gap = float("-inf")
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer, module) -> None:
        for epoch, metrics in enumerate(self.history):  # only after a resume
            self.report(metrics, epoch)
        self._stop_early(trainer)

    def on_train_epoch_end(self, trainer, module) -> None:
        epoch = trainer.current_epoch
        metrics = {
            "train/loss": float(trainer.callback_metrics["train/loss"]),
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **module.dev_metrics,
        }
        self.history.append(metrics)
        if metrics["dev/gap"] > self.best_gap:
            self.best_epoch, self.best_gap = epoch, metrics["dev/gap"]
            self.weights = {key: value.detach().cpu().clone() for key, value in module.model.state_dict().items()}
        self.report(metrics, epoch)
        if not self.quiet:
            shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("train/loss", "dev/gap", "dev/map"))
            sys.stderr.write(f"epoch {epoch + 1}/{trainer.max_epochs}: {shown}\n")
        self._stop_early(trainer)

    def _stop_early(self, trainer) -> None:
        if self.patience and self.history and len(self.history) - 1 - self.best_epoch >= self.patience:
            trainer.should_stop = True

    def restore(self, model: Classifier) -> None:
        """Gives `model` the best epoch's weights."""
        model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_gap": self.best_gap,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class RandomState(Callback):
    """Carries torch's random state through a checkpoint, so that dropout goes on as it would have."""

    def __init__(self):
        self.loaded: Tensor | None = None

    def on_train_start(self, trainer, module) -> None:
        if self.loaded is not None:
            torch.set_rng_state(self.loaded)

    def state_dict(self) -> dict[str, Any]:
        return {"torch": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loaded = state["torch"]
