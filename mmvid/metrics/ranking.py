"""GAP, mAP, Hit@1 and PERR, the metrics of YouTube-8M (Abu-El-Haija et al. 2016, arXiv:1609.08675, section 5).

Each metric is defined on `Ranked`, the best classes of each video, and has a function that takes dense scores and
labels. All agree with the evaluation code of the YouTube-8M starter code wherever no two scores tie. Where scores tie
that code's value depends on the batches and on the processor; ours does not:

1. inside a video the higher score comes first, then the lower class id (`mmvid.metrics.ranked`);
2. in a list over videos, tied items count with the mean over all their orders (`mmvid.metrics.average_precision`).

Sums are in float64 whatever the scores are, and no order of the videos changes any of their bits.
N videos, C classes, K ranks kept of each video.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmvid.metrics.average_precision import (
    Pairs,
    class_average_precisions,
    expected_average_precision,
    pooled_average_precision,
)
from mmvid.metrics.ranked import Ranked, check, check_values, rank, row_blocks

EmptyClasses = Literal["zero", "drop"]
Over = Literal["top_k", "all"]

_BLOCK_SCORES = 1 << 22
_PERR_RANKS = 20  # enough for nearly every video; those with more labels are ranked again


def gap(scores: Tensor, labels: Tensor, k: int = 20) -> float:
    """Global average precision: one list of the `k` best classes of every video.

    Labels that are not among their video's `k` best stay in the denominator, so a video with more than `k` labels
    keeps GAP below 1. Without any label GAP is 0.

    Args:
        scores: floats (N, C), any range; only their order counts.
        labels: 0 or 1, (N, C).
        k: classes of a video that count.

    Returns:
        A value in [0, 1].

    Raises:
        ValueError: if shapes differ, N or C is 0, k is below 1, a score is NaN or a label neither 0 nor 1.

    Source: "Google Cloud & YouTube-8M Video Understanding Challenge", Kaggle 2017, Evaluation.
    """
    return gap_of(rank(scores, labels, k), k)


def mean_average_precision(
    scores: Tensor,
    labels: Tensor,
    k: int = 20,
    empty_classes: EmptyClasses = "drop",
    over: Over = "top_k",
    top_n: int | None = None,
) -> float:
    """The mean of the classes' average precisions.

    Args:
        scores: floats (N, C).
        labels: 0 or 1, (N, C).
        k: classes of a video that count, for `over="top_k"`.
        empty_classes: what a class without positives does. "drop" leaves it out of the mean: the starter code since
            June 2019. "zero" counts it as 0: the starter code of 2017, so the numbers of papers of that year.
        over: "top_k" lists a video under a class only if the class is among the video's `k` best, as the starter
            code does; "all" lists every video under every class, as scikit-learn's macro average does.
        top_n: only the `top_n` best videos of a class count (and at most so many positives); None for all.

    Returns:
        A value in [0, 1]; NaN if every class is dropped.

    Raises:
        ValueError: as `gap`, and if `empty_classes` or `over` is another word or `top_n` is below 1.
    """
    check_words(empty_classes, over)
    return mean_over_classes(class_average_precision(scores, labels, k, over, top_n), empty_classes)


def class_average_precision(
    scores: Tensor, labels: Tensor, k: int = 20, over: Over = "top_k", top_n: int | None = None
) -> Tensor:
    """Average precision of each class; arguments and errors as `mean_average_precision`.

    Returns:
        float64 (C,) on the CPU; NaN where a class has no positives, 0 where no positive made its list.
    """
    check_words("drop", over)
    if over == "all":
        return _full_class_average_precision(scores, labels, top_n)
    return class_average_precision_of(rank(scores, labels, k), k, top_n)


def hit_at_1(scores: Tensor, labels: Tensor) -> float:
    """The share of videos whose best class is a label; a video without labels counts 0.

    Args and errors as `gap`.
    """
    return hit_at_1_of(rank(scores, labels, 1))


def perr(scores: Tensor, labels: Tensor) -> float:
    """Precision at equal recall rate: of a video's n best classes, n its number of labels, the share that are labels.

    The mean over all videos. A score of 0 or less never counts as a hit, and a video without labels counts 0.
    Args and errors as `gap`.
    """
    ranked = rank(scores, labels, _PERR_RANKS)
    return perr_from(tally(ranked.num_labels, labels_found(ranked, scores, labels), ranked.num_classes), len(ranked))


def gap_of(ranked: Ranked, k: int = 20) -> float:
    """GAP of ranked classes; see `gap`.

    Raises:
        ValueError: if k is below 1 or fewer than k (and C) classes of a video are kept.
    """
    hits, misses = split(ranked.best(k))
    return pooled_average_precision([hits], [misses], int(ranked.positives.sum()))


def class_average_precision_of(ranked: Ranked, k: int = 20, top_n: int | None = None) -> Tensor:
    """Average precision of each class over the `k` best classes of each video; see `class_average_precision`."""
    _check_top_n(top_n)
    hits, misses = split(ranked.best(k))
    positives = ranked.positives.cpu().numpy()
    return torch.from_numpy(class_average_precisions([hits], [misses], positives, top_n))


def mean_average_precision_of(
    ranked: Ranked, k: int = 20, empty_classes: EmptyClasses = "drop", top_n: int | None = None
) -> float:
    """mAP over the `k` best classes of each video; see `mean_average_precision`."""
    check_words(empty_classes, "top_k")
    return mean_over_classes(class_average_precision_of(ranked, k, top_n), empty_classes)


def hit_at_1_of(ranked: Ranked) -> float:
    """Hit@1 of ranked classes; see `hit_at_1`."""
    return int(ranked.hits[:, 0].sum()) / len(ranked)


def perr_of(ranked: Ranked) -> float:
    """PERR of ranked classes; see `perr`.

    Where a video has n labels and fewer than n classes are kept, the classes left out count as misses: the value is
    then a lower bound, and `Ranked.num_truncated` says for how many videos.
    """
    return perr_from(tally(ranked.num_labels, labels_found(ranked), ranked.num_classes), len(ranked))


def summary_of(ranked: Ranked, k: int = 20, empty_classes: EmptyClasses = "drop") -> dict[str, float]:
    """All four metrics of ranked classes: `gap`, `map`, `hit_at_1`, `perr`."""
    return {
        "gap": gap_of(ranked, k),
        "map": mean_average_precision_of(ranked, k, empty_classes),
        "hit_at_1": hit_at_1_of(ranked),
        "perr": perr_of(ranked),
    }


def mean_over_classes(average_precisions: Tensor, empty_classes: EmptyClasses = "drop") -> float:
    """The mean of per-class values (C,), in which NaN marks a class without positives; NaN if all are dropped."""
    check_words(empty_classes, "top_k")
    if empty_classes == "zero":
        return float(average_precisions.nan_to_num(0.0).mean())
    return float(average_precisions.nanmean())


def split(ranked: Ranked, ranks: slice = slice(None)) -> tuple[Pairs, Pairs]:
    """The hits and the misses among the given ranks of all videos, as flat arrays on the CPU."""
    hits = ranked.hits[:, ranks].cpu().numpy()
    classes, scores = ranked.classes[:, ranks].cpu().numpy(), ranked.scores[:, ranks].cpu().numpy()
    return Pairs(classes[hits], scores[hits]), Pairs(classes[~hits], scores[~hits])


def labels_found(ranked: Ranked, scores: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
    """How many labels of each video are among its n best classes with a score above 0, n its number of labels.

    Args:
        ranked: N videos.
        scores: the dense scores that were ranked, (N, C), to look further down where n exceeds the ranks kept.
        labels: the labels (N, C) that belong to `scores`.

    Returns:
        int64 (N,).
    """
    ranks = torch.arange(ranked.scores.shape[1], device=ranked.scores.device)
    found = (ranked.hits & (ranks < ranked.num_labels[:, None]) & (ranked.scores > 0)).sum(dim=1)
    if scores is None or labels is None or not ranked.num_truncated:
        return found
    truncated = (ranked.num_labels > len(ranks)).nonzero().squeeze(1)
    for rows in row_blocks(len(truncated), ranked.num_classes):
        some = truncated[rows]
        deeper = rank(scores[some], labels[some.to(labels.device)], int(ranked.num_labels[some].max()))
        found[some] = labels_found(deeper)
    return found


def tally(num_labels: Tensor, found: Tensor, num_classes: int) -> Tensor:
    """Sums `found` over the videos with n labels, for each n from 1 to C: all that PERR needs to know.

    Whole numbers, so that every order of videos, batches and processes adds up to the same PERR.

    Args:
        num_labels: int64 (N,).
        found: `labels_found` of the same videos, int64 (N,).
        num_classes: C.

    Returns:
        int64 (C,) on the CPU; index n - 1 belongs to n labels.
    """
    sums = torch.zeros(num_classes + 1, dtype=torch.int64)
    return sums.index_add_(0, num_labels.cpu(), found.cpu())[1:]


def perr_from(found: Tensor, num_videos: int) -> float:
    """PERR of `num_videos` videos from the sums of `tally`."""
    counts = torch.arange(1, len(found) + 1, dtype=torch.float64)
    return float((found / counts).sum()) / num_videos


def check_words(empty_classes: str, over: str) -> None:
    """Refuses unknown conventions."""
    if empty_classes not in ("zero", "drop"):
        raise ValueError(f"empty_classes must be 'zero' or 'drop', got {empty_classes!r}")
    if over not in ("top_k", "all"):
        raise ValueError(f"over must be 'top_k' or 'all', got {over!r}")


def _full_class_average_precision(scores: Tensor, labels: Tensor, top_n: int | None) -> Tensor:
    """Over all videos, block of columns by block of columns, so that no second copy of the data is made."""
    check(scores, labels)
    _check_top_n(top_n)
    num_videos, num_classes = scores.shape
    for rows in row_blocks(num_videos, num_classes):
        check_values(scores[rows], labels[rows], rows.start)
    result = torch.full((num_classes,), torch.nan, dtype=torch.float64)
    step = max(1, _BLOCK_SCORES // num_videos)
    for start in range(0, num_classes, step):
        block = scores[:, start : start + step].detach().cpu()
        columns = block.to(torch.promote_types(block.dtype, torch.float32)).T.contiguous().numpy()
        truth = (labels[:, start : start + step] == 1).cpu().T.contiguous().numpy()
        for c, (column, hits) in enumerate(zip(columns, truth, strict=True), start=start):
            if hits.any():
                ascending = np.sort(column[hits]), np.sort(column[~hits])
                result[c] = expected_average_precision(*ascending, len(ascending[0]), top_n)
    return result


def _check_top_n(top_n: int | None) -> None:
    if top_n is not None and top_n < 1:
        raise ValueError(f"top_n must be at least 1, got {top_n}")
