"""One experiment: data -> fit -> predict -> score. The only training sequence; steps, searches and tables call it."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmvid import classifiers, evaluation
from mmvid.config import Options, deciding
from mmvid.metrics import ranking
from mmvid.metrics.segments import SegmentMeter
from mmvid.packaging import Package
from mmvid.predictions import Predictions
from mmvid.records.batches import Batch
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.runs import Task
from mmvid.training import Fitted, Report, TrainConfig, fit

PREDICT_BATCH = 512  # videos scored at once; the scores do not depend on it


@dataclasses.dataclass(frozen=True)
class Setup:
    """A classifier by name, its options, and how to train it."""

    name: str
    model: Options
    train: TrainConfig

    def task(self, store: Store) -> Task:
        """The run that this setup on this data set is."""
        return Task(
            entry=f"train_{self.name}",
            options=deciding(self.model) | deciding(self.train),
            inputs={"data": store.digest},
            modules=("mmvid.experiment", f"mmvid.classifiers.{self.name}"),
            name=f"{self.name} on {store.name}, seed {self.train.seed}",
        )

    def describe(self) -> dict[str, Any]:
        """The setup as JSON: what config.json of a run holds."""
        return {
            "classifier": self.name,
            "model": self.model.model_dump(mode="json", by_alias=True),
            "train": self.train.model_dump(mode="json", by_alias=True),
        }


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an experiment came to.

    Attributes:
        package: the trained classifier, with the weights of its best epoch.
        fitted: the history of its training.
        predictions: split -> predictions, of `gate` and `validate`.
        metrics: `validate/gap`, `validate/with_text/gap`, `gate/gap` and so on.
        class_precision: average precision of each class on `validate`, NaN where it has no positives, (C,).
        seconds: stage -> wall seconds.
    """

    package: Package
    fitted: Fitted
    predictions: dict[str, Predictions]
    metrics: dict[str, float]
    class_precision: np.ndarray
    seconds: dict[str, float]

    def summary(self) -> str:
        shown = ", ".join(
            f"{name} {self.metrics[f'validate/{name}']:.4f}" for name in ("gap", "map", "hit_at_1", "perr")
        )
        return f"validate: {shown} (epoch {self.fitted.best_epoch + 1}, {self.seconds['fit']:.1f} s of training)"


def run(
    setup: Setup,
    store: Store,
    *,
    key: str,
    report: Report = lambda metrics, epoch: None,
    checkpoints: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> Outcome:
    """Trains on `train`, chooses the epoch on `dev`, and scores `gate` and `validate`.

    Args:
        setup: what to train and how.
        store: the data set.
        key: the key of the run, which its predictions and its package carry.
        report: hears of each epoch.
        checkpoints: where training keeps its state, to go on after a kill.
        callbacks: further Lightning callbacks.
        progress: whether to show progress bars.

    Raises:
        ValueError: if a split that is needed has no videos, or videos without labels.
    """
    started = time.monotonic()
    check_splits(store, ("train", "dev", "gate", "validate"))
    model, fitted = train(setup, store, report=report, checkpoints=checkpoints, callbacks=callbacks, progress=progress)
    seconds = {"fit": time.monotonic() - started}
    started = time.monotonic()
    predictions, metrics = {}, {}
    for split in ("gate", "validate"):
        predictions[split], found = predict_split(model, store, split, key=key, progress=progress)
        metrics |= {f"{split}/{name}": value for name, value in found.items()}
    precision = ranking.class_average_precision_of(predictions["validate"].ranked())
    seconds["predict"] = time.monotonic() - started
    package = Package(setup.name, setup.model, store.shapes, store.schema, store.names, key, model.cpu().eval())
    return Outcome(package, fitted, predictions, metrics, precision.numpy(), seconds)


def check_splits(store: Store, splits: tuple[str, ...]) -> None:
    """Raises ValueError if a split has no videos, or videos without labels."""
    for split in splits:
        counts = store.counts(split)
        if counts.videos == 0:
            raise ValueError(f"{store.name} must have videos in {split}, it has none")
        if counts.labelled < counts.videos:
            have = f"{counts.labelled} of {counts.videos} have"
            raise ValueError(f"{store.name} must have labels for every video of {split}, {have} (an empty list counts)")


def train(
    setup: Setup,
    store: Store,
    *,
    report: Report = lambda metrics, epoch: None,
    checkpoints: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> tuple[classifiers.Classifier, Fitted]:
    """Trains on `train` and chooses the epoch on `dev`; reads no other split. The arguments are those of `run`."""
    torch.manual_seed(setup.train.seed)
    model = classifiers.load(setup.name).Model(setup.model, store.shapes)
    fitted = fit(
        model,
        batches(store, "train", model, setup.train.batch_size, shuffle=True, seed=setup.train.seed),
        batches(store, "dev", model, PREDICT_BATCH),
        setup.train,
        checkpoints=checkpoints,
        report=report,
        callbacks=callbacks,
        progress=progress,
    )
    return model, fitted


def batches(
    store: Store,
    split: str,
    model: classifiers.Classifier,
    size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
) -> Loader:
    """The batches of a split with what a classifier reads."""
    return Loader(
        store, split, size, modalities=model.modalities, frames=model.reads_frames, shuffle=shuffle, seed=seed
    )


def predict_split(
    model: classifiers.Classifier,
    store: Store,
    split: str,
    *,
    key: str,
    progress: bool = True,
    watch: Callable[[Tensor, Batch], None] = lambda scores, batch: None,
) -> tuple[Predictions, dict[str, float]]:
    """Predictions of a split and their metrics: over all videos, with text, without text.

    Of rated segments also `segment_map`, from the scores of all classes, which the predictions do not keep; `watch` is
    shown each batch with these scores.
    """
    meter = SegmentMeter(segments=store.count(split))

    def see(scores: Tensor, batch: Batch) -> None:
        watch(scores, batch)
        if batch.weights is not None:
            meter.update(scores, batch.labels, batch.weights)

    predictions = evaluation.predict(
        model,
        batches(store, split, model, PREDICT_BATCH),
        classes=store.shapes.classes,
        key=key,
        progress=split if progress else "",
        watch=see,
    )
    with_text = store.has_text(split)
    groups = {"with_text": with_text, "without_text": ~with_text} if with_text.any() else {}
    metrics = evaluation.score(predictions, groups)
    return predictions, metrics | ({"segment_map": meter.compute()} if meter.seen else {})
