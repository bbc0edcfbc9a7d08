"""Mean average precision of rated segments, the measure of the YouTube-8M challenge of 2019 (MAP@100k).

For each class the segments are ranked by score and the `top_n` best submitted. Of these only the ones that somebody
rated for the class make its list, whose average precision is divided by all positives that were rated for the class.
The measure is the mean over classes.

Where the original fails, this says what it does: a class without positives is left out of the mean (or counts 0, if
asked for), and a submission of no rated class is NaN. Tied scores have no order: a list counts with its mean over all
orders, and a segment is submitted if fewer than `top_n` segments score higher. So neither the order of the segments
nor batches change a value. Where all scores differ, it is the original's.
Source: google/youtube-8m, segment_eval_inference.py (2019).

N segments, C classes, S submitted pairs of a segment and a class, R ratings.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmvid.metrics.average_precision import Pairs, class_average_precisions
from mmvid.metrics.ranked import check, check_values
from mmvid.metrics.ranking import EmptyClasses, check_words

TOP_N = 100_000
_SPARE = 4  # the buffer of the best scores is cut back when it has grown by the 4th part of `top_n`


class Ratings(NamedTuple):
    """What people said: each pair of a segment and a class at most once.

    Attributes:
        segments: rows of the segments, integers (R,).
        classes: class ids, integers (R,).
        positive: whether the class is in the segment, bool (R,).
    """

    segments: np.ndarray
    classes: np.ndarray
    positive: np.ndarray


def segment_map(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    top_n: int = TOP_N,
    empty_classes: EmptyClasses = "drop",
) -> float:
    """The measure from all scores of all segments.

    Args:
        scores: floats (N, C), of any range.
        labels: 0 or 1, (N, C); those of unrated classes do not count.
        weights: 1 where a class was rated for a segment, else 0, (N, C).
        top_n: segments submitted for a class.
        empty_classes: whether a class that was rated, but never as there, is left out of the mean or counts 0. One
            that was never rated is left out in any case.

    Returns:
        A value in [0, 1]; NaN if no class is left.

    Raises:
        ValueError: as `SegmentMeter.update`, or if top_n is below 1 or empty_classes unknown.
    """
    meter = SegmentMeter(top_n=top_n, empty_classes=empty_classes, segments=scores.shape[:1].numel())
    meter.update(scores, labels, weights)
    return meter.compute()


class Submitted(NamedTuple):
    """Segments that were given for classes, with scores: each pair of a segment and a class at most once.

    Attributes:
        segments: numbers of the segments, integers from 0 on (S,).
        classes: class ids, integers (S,).
        scores: floats (S,). They must be the model's: not 0 for unrated classes.
    """

    segments: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def submitted_segment_map(
    submitted: Submitted,
    ratings: Ratings,
    num_classes: int,
    *,
    top_n: int = TOP_N,
    empty_classes: EmptyClasses = "drop",
) -> float:
    """The measure of what was submitted, such as a file of the challenge or the best classes of each segment.

    Args:
        submitted: a rated segment that is not among them for a class counts as not found.
        ratings: what people said, of segments by the same numbers.
        num_classes: C.
        top_n, empty_classes: as in `segment_map`.

    Raises:
        ValueError: if shapes disagree, an id or a number is out of range, a score is NaN, a rating or a class of a
            segment is given twice, top_n is below 1 or empty_classes unknown.
    """
    _check_options(top_n, empty_classes)
    _check_lists(submitted, ratings, num_classes)
    if not len(submitted.scores):
        raise ValueError("segment_map needs at least one segment, got none")
    pairs = submitted.segments.astype(np.int64) * num_classes + submitted.classes
    order = np.argsort(pairs)
    if _any_twice(pairs[order]):
        raise ValueError("classes of a segment must each be given once, some are there twice")
    rated = ratings.segments.astype(np.int64) * num_classes + ratings.classes
    place = order[np.searchsorted(pairs, rated, sorter=order).clip(max=len(order) - 1)]
    there = pairs[place] == rated
    rated_pairs = _Rated(ratings.classes[there], submitted.scores[place[there]], ratings.positive[there])
    thresholds = np.full(num_classes, -np.inf)
    for crowded in np.flatnonzero(np.bincount(submitted.classes, minlength=num_classes) > top_n):
        thresholds[crowded] = np.partition(submitted.scores[submitted.classes == crowded], -top_n)[-top_n]
    positives = np.bincount(ratings.classes[ratings.positive], minlength=num_classes)
    counts = np.bincount(ratings.classes, minlength=num_classes)
    return _mean(_class_precisions([rated_pairs], thresholds, positives), counts, empty_classes)


class SegmentMeter:
    """The measure of all segments since it was made, batch by batch.

    Kept are the ratings, and of each class the `top_n` best scores, which decide who is submitted: at most
    1.25 * `top_n` * C scores (2 GB for 3862 classes). A meter that is told `segments` keeps these only if there are
    more than `top_n`, since else all are submitted: then its memory is that of the ratings.

    Args:
        top_n, empty_classes: as in `segment_map`.
        segments: how many segments there will be; None if that is not known.
    """

    def __init__(self, *, top_n: int = TOP_N, empty_classes: EmptyClasses = "drop", segments: int | None = None):
        _check_options(top_n, empty_classes)
        self.top_n, self.empty_classes, self.segments = top_n, empty_classes, segments
        self.seen = 0
        self._rated: list[_Rated] = []
        self._best: _Best | None = None
        self._positives = self._counts = np.zeros(0, np.int64)

    def update(self, scores: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Adds a batch of segments.

        Args:
            scores: floats (B, C); of any range, and of unrated classes too.
            labels, weights: as in `segment_map`, (B, C).

        Raises:
            ValueError: if shapes differ between arguments or batches, a score is NaN, a label or a weight neither 0 nor
                1, or there are more segments than were announced.
        """
        check(scores, labels)
        check(scores, weights)
        num_classes = scores.shape[1]
        if self.seen and num_classes != len(self._counts):
            raise ValueError(f"scores must have {len(self._counts)} classes as before, got {num_classes}")
        if self.segments is not None and self.seen + len(scores) > self.segments:
            raise ValueError(f"there must be {self.segments} segments as announced, got {self.seen + len(scores)}")
        labels = check_values(scores, labels, self.seen)
        wrong = ((weights != 0) & (weights != 1)).nonzero()
        if len(wrong):
            row, c = wrong[0].tolist()
            raise ValueError(f"weights must be 0 or 1, got {weights[row, c]:g} in row {self.seen + row}, class {c}")
        rows, classes = (weights == 1).nonzero(as_tuple=True)
        values = scores.detach()
        values = values if values.dtype in (torch.float32, torch.float64) else values.float()
        added = _Rated(classes.cpu().numpy(), values[rows, classes].cpu().numpy(), labels[rows, classes].cpu().numpy())
        if not self.seen:
            self._positives, self._counts = np.zeros((2, num_classes), np.int64)
            if self.segments is None or self.segments > self.top_n:
                self._best = _Best(num_classes, self.top_n, added.scores.dtype)
        self.seen += len(scores)
        self._rated.append(added)
        self._positives += np.bincount(added.classes[added.positive], minlength=num_classes)
        self._counts += np.bincount(added.classes, minlength=num_classes)
        if self._best is not None:
            self._best.add(values.cpu().numpy())

    def class_average_precision(self) -> np.ndarray:
        """Average precision of each class, float64 (C,), NaN where none of its ratings is positive."""
        if not self.seen:
            raise ValueError("segment_map needs at least one segment, got none")
        thresholds = np.full(len(self._counts), -np.inf) if self._best is None else self._best.thresholds()
        return _class_precisions(self._rated, thresholds, self._positives)

    def compute(self) -> float:
        """The measure so far; NaN if no class is left."""
        return _mean(self.class_average_precision(), self._counts, self.empty_classes)


class _Rated(NamedTuple):
    """Rated segments of a class with the scores they got; arrays of one length."""

    classes: np.ndarray
    scores: np.ndarray
    positive: np.ndarray


class _Best:
    """The `top_n` best scores of each class, in a buffer that is cut back to them whenever it is full."""

    def __init__(self, num_classes: int, top_n: int, kind: np.dtype):
        self.top_n, self.filled = top_n, 0
        # A class is a row. The system gives memory to the parts that are written only.
        self.buffer = np.empty((num_classes, top_n + max(top_n // _SPARE, 1)), kind)

    def add(self, scores: np.ndarray) -> None:
        """Adds scores (B, C)."""
        done = 0
        while done < len(scores):
            if self.filled == self.buffer.shape[1]:
                self._cut()
            part = scores[done : done + self.buffer.shape[1] - self.filled]
            self.buffer[:, self.filled : self.filled + len(part)] = part.T
            self.filled += len(part)
            done += len(part)

    def thresholds(self) -> np.ndarray:
        """The score of each class's `top_n`-th best segment, (C,); minus infinity while there are fewer."""
        if self.filled < self.top_n:
            return np.full(len(self.buffer), -np.inf)
        self._cut()
        return self.buffer[:, : self.top_n].min(axis=1)

    def _cut(self) -> None:
        for scores in self.buffer[:, : self.filled]:
            scores.partition(self.filled - self.top_n)
            scores[: self.top_n] = scores[self.filled - self.top_n :]
        self.filled = self.top_n


def _class_precisions(rated: list[_Rated], thresholds: np.ndarray, positives: np.ndarray) -> np.ndarray:
    hits, misses = [], []
    for part in rated:
        submitted = part.scores >= thresholds[part.classes]
        for kept, wanted in ((hits, submitted & part.positive), (misses, submitted & ~part.positive)):
            kept.append(Pairs(part.classes[wanted], part.scores[wanted]))
    return class_average_precisions(hits, misses, positives)


def _mean(precisions: np.ndarray, counts: np.ndarray, empty_classes: EmptyClasses) -> float:
    values = np.nan_to_num(precisions) if empty_classes == "zero" else precisions
    kept = values[(counts > 0) & ~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _check_options(top_n: int, empty_classes: EmptyClasses) -> None:
    check_words(empty_classes, "all")
    if top_n < 1:
        raise ValueError(f"top_n must be at least 1, got {top_n}")


def _check_lists(submitted: Submitted, ratings: Ratings, num_classes: int) -> None:
    for name, parts, letter in (("submitted", submitted, "S"), ("ratings", ratings, "R")):
        sizes = [part.shape for part in parts]
        if len(set(sizes)) > 1 or parts.segments.ndim != 1:
            raise ValueError(f"{name} must be arrays of one shape ({letter},), got {', '.join(map(str, sizes))}")
        spans = {"classes": (parts.classes, num_classes), "segments": (parts.segments, np.iinfo(np.int64).max)}
        for column, (ids, end) in spans.items():
            if ids.size and not 0 <= ids.min() <= ids.max() < end:
                raise ValueError(f"{name}.{column} must be from 0 to {end - 1}, got {ids.min()} to {ids.max()}")
    if np.isnan(submitted.scores).any():
        raise ValueError(f"scores must not be NaN, got NaN at place {int(np.isnan(submitted.scores).argmax())}")
    if _any_twice(np.sort(ratings.segments.astype(np.int64) * num_classes + ratings.classes)):
        raise ValueError("ratings must be given once for a segment and a class, some are there twice")


def _any_twice(ascending: np.ndarray) -> bool:
    return bool((ascending[1:] == ascending[:-1]).any())
