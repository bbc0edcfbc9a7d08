"""What a model does on the split `gate`: metrics of all videos and of slices, what it costs, and how sure all that is.

The slices are the videos with text, those without, `rare`: the half of the classes that fewest videos of `train` have,
and of a classifier that reads words the videos with a word that it knows. Of rare classes GAP and mAP are taken over
the items and labels of these classes alone.
"""

import dataclasses
import time
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mmvid import experiment
from mmvid.ensemble.model import MemberWords
from mmvid.ensemble_package import EnsemblePackage
from mmvid.metrics.bootstrap import (
    Interval,
    Items,
    MeanAveragePrecision,
    Measure,
    bootstrap,
    interval,
    lower_bound,
    ranking_measures,
)
from mmvid.packaging import Package
from mmvid.predictions import Predictions
from mmvid.records.batches import Batch
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.records.words import NO_WORDS, Words, numbers_for

SPLIT = "gate"
_TIMED, _WARM = 40, 5  # videos scored one at a time, and those before that are not timed


@dataclasses.dataclass(frozen=True)
class Measured:
    """A model on `gate`.

    Attributes:
        metrics: `gap`, `with_text/gap`, `rare/map`, `parameters` and so on.
        measures: the metrics that a bootstrap can draw anew, as functions of the videos' weights.
        videos: the videos that are drawn.
        predictions: the best classes of each row.
        digest: of the data set that it was measured on.
    """

    metrics: dict[str, float]
    measures: dict[str, Measure]
    videos: int
    predictions: Predictions
    digest: str


class _Rated:
    """The rated classes of segments, batch by batch, for the bootstrap of `segment_map`."""

    def __init__(self):
        self.rows, self.parts = 0, []

    def watch(self, scores: Tensor, batch: Batch) -> None:
        if batch.weights is not None:
            rows, classes = (batch.weights == 1).nonzero(as_tuple=True)
            hits, values = batch.labels[rows, classes], scores[rows, classes]
            self.parts.append([part.numpy() for part in (rows + self.rows, classes, values, hits)])
        self.rows += len(scores)

    def measure(self, videos: np.ndarray, classes: int) -> dict[str, Measure]:
        """`segment_map`, of all rated segments: with more than 100,000 segments none is left out for its rank."""
        if not self.parts:
            return {}
        rows, lists, scores, hits = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        items = Items(lists, scores, rows, hits, lists[hits], rows[hits], classes)
        return {"segment_map": MeanAveragePrecision(items, videos, float("nan"))}


def measure(
    package: Package | EnsemblePackage, store: Store, textset: TextSet | None = None, *, progress: bool = False
) -> Measured:
    """Scores the split `gate` and times single videos.

    Args:
        package: the classifier, or an ensemble.
        store: the data set.
        textset: the words of its titles and keywords, for a classifier that reads words. It may be another one than
            that of its training: words go by their spelling, and those that the classifier does not know are left out.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if the split has no videos, or some without labels, or words are read and there are none.
    """
    counts = store.counts(SPLIT)
    if not counts.videos or counts.labelled < counts.videos:
        raise ValueError(f"{store.folder} must have labelled videos in {SPLIT}, {counts.labelled} have labels")
    words = words_of(package, textset)
    rated = _Rated()
    predictions, metrics = experiment.predict_split(
        package.model, store, SPLIT, key=package.key, words=words, progress=progress, watch=rated.watch
    )
    _, videos = np.unique(np.array(predictions.ids), return_inverse=True)
    with_words = experiment.known_text(package.model, store, SPLIT, words)
    measures = _measures(predictions, videos, store, with_words) | rated.measure(videos, predictions.num_classes)
    ones = np.ones(videos.max() + 1, int)
    metrics |= {name: measures[name](ones) for name in measures if name.startswith("rare/")}
    known = {name: value for name, value in metrics.items() if value == value}
    return Measured(known | costs(package, store, words), measures, len(ones), predictions, store.digest)


def words_of(package: Package | EnsemblePackage, textset: TextSet | None) -> Words:
    """The words of a text set in a package's own numbers, where it reads words; of an ensemble in its members'."""
    if isinstance(package, EnsemblePackage):
        own = tuple(words_of(member, textset) for member in package.members)
        return MemberWords(fields=package.model.reads_text, members=own)
    numbers = None if textset is None else numbers_for(textset, package.words)
    return experiment.words_of(package.model, textset, numbers)


def rare_classes(store: Store) -> np.ndarray:
    """The half of the classes that fewest videos of `train` have, bool (C,); of equal counts the higher ids."""
    counts = store.label_counts("train")
    rare = np.zeros(len(counts), bool)
    rare[np.argsort(-counts, kind="stable")[(len(counts) + 1) // 2 :]] = True
    return rare


def costs(package: Package | EnsemblePackage, store: Store, words: Words = NO_WORDS) -> dict[str, float]:
    """Parameters, megabytes (10^6 bytes) of weights, and the median milliseconds of scoring one video."""
    weights = list(package.model.state_dict().values())
    loader = experiment.batches(store, SPLIT, package.model, 1, words=words)
    spent = []
    with torch.inference_mode():
        for batch in islice(loader, _WARM + _TIMED):
            started = time.perf_counter()
            package.model(batch)
            spent.append(1000 * (time.perf_counter() - started))
    return {
        "parameters": float(sum(parameter.numel() for parameter in package.model.parameters())),
        "megabytes": sum(tensor.numel() * tensor.element_size() for tensor in weights) / 1e6,
        "milliseconds": float(np.median(spent[_WARM:] or spent)),
    }


def gain_of(
    candidate: Measured, champion: Measured, metric: str, *, draws: int, confidence: float, seed: int
) -> Interval:
    """By how much the candidate exceeds the champion, and what all but `1 - confidence` of the draws exceed.

    Returns:
        An `Interval` with the one-sided bound as `low`; its `high` is the largest gain drawn.

    Raises:
        ValueError: if the two were measured on different data, or the metric is not defined there.
    """
    if candidate.digest != champion.digest or candidate.predictions.ids != champion.predictions.ids:
        got = f"{candidate.digest} and {champion.digest}"
        raise ValueError(f"candidate and champion must be measured on the same data, got {got}")
    if metric not in candidate.measures:
        raise ValueError(f"{metric} must be defined on the data; there are {', '.join(candidate.measures)}")
    pair = {"candidate": candidate.measures[metric], "champion": champion.measures[metric]}
    values = bootstrap(pair, candidate.videos, draws, seed)
    gains = values["candidate"] - values["champion"]
    ones = np.ones(candidate.videos, int)
    value = pair["candidate"](ones) - pair["champion"](ones)
    return Interval(value, lower_bound(value, gains, confidence), float(gains.max()))


def intervals(measured: Measured, *, draws: int, confidence: float, seed: int) -> dict[str, Interval]:
    """The two-sided interval of each metric that can be drawn anew."""
    values = bootstrap(measured.measures, measured.videos, draws, seed)
    ones = np.ones(measured.videos, int)
    return {name: interval(again(ones), values[name], confidence or 0.95) for name, again in measured.measures.items()}


def _measures(
    predictions: Predictions, videos: np.ndarray, store: Store, with_words: np.ndarray | None
) -> dict[str, Measure]:
    ranked = predictions.ranked()
    labels = np.repeat(np.arange(len(predictions)), np.diff(predictions.offsets)), predictions.labels.astype(np.int64)
    measures = dict(ranking_measures(ranked, labels, videos))
    groups = store.text_groups(SPLIT)
    if with_words is not None:
        groups["with_known_word"] = with_words
    for name, rows in groups.items():
        if rows.any():
            found = ranking_measures(ranked, labels, videos, rows=rows)
            measures |= {f"{name}/{metric}": measure for metric, measure in found.items()}
    found = ranking_measures(ranked, labels, videos, classes=rare_classes(store))
    return measures | {f"rare/{metric}": measure for metric, measure in found.items()}
