"""A run's numbers on a part of the videos of `validate`: the part, intervals over its videos, the labels' shares alone.

The shares are a scorer that knows no video: each label has the share of the training videos of the same part that bear
it. GAP pools the scores of all videos, and where a few labels stand on most of them such a scorer looks good; what a
model knows is the difference.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mmvid import predictions
from mmvid.experiment import commonest_label
from mmvid.metrics.bootstrap import Interval, Measure, bootstrap, interval, ranking_measures
from mmvid.predictions import KEPT, Predictions
from mmvid.records.store import Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.records.words import Words
from mmvid.report.recipes import Population
from mmvid.runs import Finished

SPLIT = "validate"
WITHOUT = "without_commonest/"  # before a metric: as if there were not the commonest label
_BATCH = 4096  # videos of train whose labels are counted at once


def metric_name(population: Population, metric: str, split: str = SPLIT) -> str:
    """What a run logs a metric of a part of a split as."""
    before, _, last = metric.rpartition("/")
    parts = [split, before, "" if population == "all" else population, last]
    return "/".join(part for part in parts if part)


def store_of(run: Finished) -> Store:
    """The data that a run was trained on."""
    return Store.open(run.tags["mmvid.data.store"])


def videos_of(run: Finished, population: Population, split: str = SPLIT) -> np.ndarray:
    """Which videos of a split a row's numbers are of, bool (N,)."""
    store = store_of(run)
    if population == "all":
        return np.ones(store.count(split), bool)
    if population == "with_text":
        return store.has_text(split)
    params = run.run.data.params
    fields = tuple(field for field in FIELDS if field in params["text_fields"])
    return Words(TextSet.open(run.tags["mmvid.text.set"]), fields, params["label_words"]).known(split)


def intervals_of(
    run: Finished, population: Population, metrics: Sequence[str], *, draws: int, confidence: float = 0.95
) -> dict[str, Interval]:
    """Value and bounds of each metric that a bootstrap over the videos can draw anew."""
    found = predicted(run).select(videos_of(run, population))
    measures = _measures(found, commonest_label(store_of(run)), metrics)
    if not measures or not len(found):
        return {}
    drawn = bootstrap(measures, len(found), draws, seed=0)
    ones = np.ones(len(found), int)
    return {name: interval(measures[name](ones), drawn[name], confidence) for name in measures}


def shares_alone(run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, float]:
    """The metrics of the labels' shares among the training videos of the same part, as every video's scores."""
    found = predicted(run).select(videos_of(run, population))
    shares = label_shares(store_of(run), videos_of(run, population, "train"))
    measures = _measures(constant(found, shares), commonest_label(store_of(run)), metrics)
    return {name: measure(np.ones(len(found), int)) for name, measure in measures.items()}


def predicted(run: Finished) -> Predictions:
    """What a run logged for `validate`."""
    return predictions.read(run.fetch("predictions") / f"{SPLIT}.arrow")


def label_shares(store: Store, rows: np.ndarray) -> np.ndarray:
    """The share of the chosen videos of train, bool (N,), that bear each label, (C,)."""
    counts, start = np.zeros(store.shapes.classes), 0
    for batch in store.batches("train"):
        labels = batch.column("labels")
        owners = np.repeat(np.arange(start, start + len(labels)), np.diff(labels.offsets.to_numpy()))
        np.add.at(counts, labels.flatten().to_numpy()[rows[owners]], 1)
        start += len(labels)
    return counts / max(1, int(rows.sum()))


def constant(found: Predictions, shares: np.ndarray) -> Predictions:
    """The same scores, (C,), for every video."""
    best = np.argsort(-shares, kind="stable")[:KEPT].astype(np.int32)
    scores, count = shares[best].astype(np.float32), len(found)
    return dataclasses.replace(found, classes=np.tile(best, (count, 1)), scores=np.tile(scores, (count, 1)))


def _measures(found: Predictions, commonest: int | None, metrics: Sequence[str]) -> dict[str, Measure]:
    if not len(found):
        return {}
    measures = _ranking(found)
    if commonest is not None:
        measures |= {f"{WITHOUT}{name}": measure for name, measure in _ranking(found.without(commonest)).items()}
    return {name: measures[name] for name in metrics if name in measures}


def _ranking(found: Predictions) -> dict[str, Measure]:
    labels = np.repeat(np.arange(len(found)), np.diff(found.offsets)), found.labels.astype(np.int64)
    return dict(ranking_measures(found.ranked(), labels, np.arange(len(found))))
