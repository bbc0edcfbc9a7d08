"""Cross-validation: the predictions of each fold's model for the items that it never saw, as one list; and models that
must do without a modality.

Every item is predicted once for each seed. An interval is of the bootstrap over groups of items (see `arrays.divide`),
a difference of two rows that of the same draws of both.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch

from mmvid import evaluation
from mmvid.classifiers import Classifier
from mmvid.metrics.bootstrap import Interval, bootstrap, interval, ranking_measures
from mmvid.predictions import Predictions
from mmvid.records.batches import Batch
from mmvid.records.loader import Loader
from mmvid.records.store import Store

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Cell:
    """A metric of a row.

    Attributes:
        values: of each seed.
        interval: their mean, and between which bounds it lies.
        difference: this mean minus that of the row that all are compared with, likewise; None for that row itself.
    """

    values: tuple[float, ...]
    interval: Interval
    difference: Interval | None


def joined(folds: Sequence[Predictions]) -> Predictions:
    """The predictions of several folds as one.

    Raises:
        ValueError: if an item is in two folds, or the folds have other classes.
    """
    first = folds[0]
    ids = [id for fold in folds for id in fold.ids]
    if len(set(ids)) < len(ids):
        raise ValueError(f"folds must not share items, {len(ids) - len(set(ids))} of {len(ids)} are in two")
    if len({fold.num_classes for fold in folds}) > 1:
        raise ValueError(f"folds must have the same classes, got {', '.join(str(fold.num_classes) for fold in folds)}")
    counts = np.concatenate([np.diff(fold.offsets) for fold in folds])
    return dataclasses.replace(
        first,
        ids=ids,
        classes=np.concatenate([fold.classes for fold in folds]),
        scores=np.concatenate([fold.scores for fold in folds]),
        labels=np.concatenate([fold.labels for fold in folds]),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
    )


def without(batches: Iterable[Batch], hidden: tuple[str, ...]) -> Iterator[Batch]:
    """Batches in which every item lacks some modalities: zeros and absent, as the store gives what is not there."""
    for batch in batches:
        features, presence = dict(batch.features), dict(batch.presence)
        for modality in hidden:
            features[modality] = torch.zeros_like(features[modality])
            presence[modality] = torch.zeros_like(presence[modality])
        yield dataclasses.replace(batch, features=features, presence=presence)


def predict_without(model: Classifier, store: Store, split: str, hidden: tuple[str, ...], key: str) -> Predictions:
    """A model's predictions of a split whose items lack some modalities."""
    loader = Loader(store, split, 512, modalities=model.modalities)
    return evaluation.predict(model, without(loader, hidden), classes=store.shapes.classes, key=key)


def compare(
    rows: Mapping[str, Sequence[Predictions]],
    groups: Mapping[str, int],
    against: str,
    metrics: Sequence[str],
    draws: int,
) -> dict[str, dict[str, Cell]]:
    """Every metric of every row, beside that of one of them.

    Args:
        rows: name -> predictions of each seed, all of the same items.
        groups: the group of each item, by id.
        against: the row that all are compared with.
        metrics: as `ranking.summary_of` names them.
        draws: bootstrap draws of groups.

    Raises:
        ValueError: if rows were measured on different items.
    """
    items = sorted(rows[against][0].ids)
    for name, seeds in rows.items():
        if any(sorted(found.ids) != items for found in seeds):
            raise ValueError(f"rows must be measured on the same items, {name} is on others than {against}")
    numbers = {group: number for number, group in enumerate(sorted({groups[id] for id in items}))}
    of_seeds = {
        name: [_measures(found, np.array([numbers[groups[id]] for id in found.ids])) for found in seeds]
        for name, seeds in rows.items()
    }
    wanted = {(name, metric): _mean([each[metric] for each in of_seeds[name]]) for name in rows for metric in metrics}
    drawn = bootstrap(wanted, len(numbers), draws, seed=0)
    ones = np.ones(len(numbers), int)
    cells: dict[str, dict[str, Cell]] = {}
    for name in rows:
        cells[name] = {}
        for metric in metrics:
            value, base = wanted[name, metric](ones), wanted[against, metric](ones)
            difference = None
            if name != against:
                difference = interval(value - base, drawn[name, metric] - drawn[against, metric], CONFIDENCE)
            values = tuple(each[metric](ones) for each in of_seeds[name])
            cells[name][metric] = Cell(values, interval(value, drawn[name, metric], CONFIDENCE), difference)
    return cells


def _measures(found: Predictions, groups: np.ndarray):
    labels = np.repeat(np.arange(len(found)), np.diff(found.offsets)), found.labels.astype(np.int64)
    return ranking_measures(found.ranked(), labels, groups)


def _mean(measures):
    return lambda weights: float(np.mean([measure(weights) for measure in measures]))
