"""Training of any classifier: its options, its loss, its optimiser; the loop itself is in `loop`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmvid import loop
from mmvid.classifiers import Classifier
from mmvid.config import Options, option
from mmvid.epochs import EpochBatches
from mmvid.layers import losses
from mmvid.loop import Fitted, Learner, Report
from mmvid.metrics.meters import RankingMeter
from mmvid.mixup import mix
from mmvid.optimisation import Clipping, UncorrectedEpsilonAdam, clip_gradients, staircase
from mmvid.records.batches import Batch


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
    precision: loop.Precision = option("32", "arithmetic")
    ema: float = option(0.0, "decay of the weights' moving average, which is kept; 0 averages nothing", ge=0, lt=1)
    mixup: float = option(0.0, "Beta parameter of the shares that two videos are mixed by; 0 mixes nothing", ge=0)
    seed: int = option(0, "seed of weights, order and dropout", ge=0)
    buffer: int = option(2048, "videos that each reader of a stream holds to shuffle them", ge=1)
    readers: int = option(0, "processes that read a stream; 0 reads in the process that trains", ge=0)
    checkpoint_minutes: float = option(
        loop.CHECKPOINT_MINUTES, "from one saved state to the next within an epoch", ge=0, decides=False
    )


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
        checkpoints: a folder for `last.ckpt`, written after each epoch and now and then within it; a training that
            finds one there goes on from it and ends as if it had never stopped. None keeps nothing.
        report: called with the metrics of each epoch and its number, earlier epochs' too after a resume.
        callbacks: further Lightning callbacks.
        progress: whether to show a progress bar (a line an epoch where there is no terminal).

    Raises:
        ValueError: if the loss becomes NaN or infinite; the message names the epoch. Also if videos are to be mixed
            whose words the model reads.
    """
    learner = Classifying(model, config)
    return loop.train(
        learner,
        train,
        dev,
        epochs=config.epochs,
        patience=config.patience,
        precision=config.precision,
        ema=config.ema,
        checkpoints=checkpoints,
        checkpoint_minutes=config.checkpoint_minutes,
        report=report,
        callbacks=callbacks,
        progress=progress,
    )


class Classifying(Learner):
    """A classifier, its loss and its optimiser."""

    monitor = "dev/gap"
    better = "more"
    shown = ("train/loss", "dev/gap", "dev/map")

    def __init__(self, model: Classifier, config: TrainConfig):
        super().__init__()
        if config.mixup and model.reads_text:
            raise ValueError(f"mixup must be 0 for a model that reads words, which cannot be mixed, got {config.mixup}")
        self.model = model
        self.config = config
        self.meter = RankingMeter()

    def loss(self, batch: Batch) -> Tensor:
        if self.config.mixup and batch.labels is not None:
            batch = mix(batch, self.config.mixup)
        return classification_loss(self.model, batch, self.config.loss)

    def penalty(self) -> Tensor:
        return self.model.penalty()

    def validation_step(self, batch: Batch, index: int) -> None:
        self.meter.update(batch.weigh(self.model(batch).float()), batch.labels)

    def on_validation_epoch_end(self) -> None:
        self.dev_metrics = {f"dev/{name}": float(value) for name, value in self.meter.compute().items()}
        self.log("dev/gap", self.dev_metrics["dev/gap"], prog_bar=True)
        self.meter.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = {"corrected": torch.optim.Adam, "uncorrected": UncorrectedEpsilonAdam}[self.config.adam]
        return kind(self.model.parameters(), lr=self.config.learning_rate, fused=True)

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
