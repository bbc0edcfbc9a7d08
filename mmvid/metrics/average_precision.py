"""Non-interpolated average precision of a ranked list, in expectation over the order of tied items.

A list in descending order of score has an average precision of the sum, over its hits, of the precision at the hit's
rank, divided by the number of positives. Items of one score have no order; their group counts with the mean over all
orders. In a group of n items with r hits, behind N0 items with R0 hits, the item at position i of the group adds

    r/n * (R0 + 1 + (i - 1) * (r - 1) / (n - 1)) / (N0 + i)

because it is a hit with probability r/n, and each of the i-1 items before it then with probability (r-1)/(n-1).
Lists are held as the scores of their hits and of their misses: hits are few, and the misses only need counting.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

_BLOCK_GROUPS = 1 << 18
_BLOCK_POSITIONS = 1 << 18
_BLOCK_PAIRS = 1 << 21


class Pairs(NamedTuple):
    """Items of all classes' lists, in any order: `classes` integers (M,), `scores` floats (M,)."""

    classes: np.ndarray
    scores: np.ndarray


def expected_average_precision(hits: np.ndarray, misses: np.ndarray, positives: int, top_n: int | None = None) -> float:
    """Average precision of one list.

    Args:
        hits: scores of the list's hits, **ascending**, (H,).
        misses: scores of its other items, **ascending**, (M,), of the same dtype.
        positives: what the sum is divided by, those that the list does not hold included; at least max(H, 1).
        top_n: only the `top_n` best items count, and at most so many positives; None for all.

    Returns:
        A value in [0, 1], summed in float64 in the order of the scores: it depends on no other order.
    """
    opens_group = np.ones(len(hits), dtype=bool)
    opens_group[1:] = hits[1:] != hits[:-1]
    starts = np.flatnonzero(opens_group)
    total = 0.0
    for first in range(0, len(starts), _BLOCK_GROUPS):
        begin = starts[first : first + _BLOCK_GROUPS]
        following = starts[first + 1 : first + 1 + _BLOCK_GROUPS]
        end = following if len(following) == len(begin) else np.append(following, len(hits))
        values = hits[begin]
        tied_from, tied_to = np.searchsorted(misses, values, "left"), np.searchsorted(misses, values, "right")
        hits_above = len(hits) - end
        above = hits_above + len(misses) - tied_to
        total += _expected_sum(end - begin + tied_to - tied_from, end - begin, above, hits_above, top_n)
    return total / (positives if top_n is None else min(positives, top_n))


def pooled_average_precision(hits: Sequence[Pairs], misses: Sequence[Pairs], positives: int) -> float:
    """Average precision of the one list that all classes' items make together; 0 without positives.

    Args:
        hits: the hits of the list, in any number of parts.
        misses: its other items, likewise.
        positives: what the sum is divided by.
    """
    if not positives:
        return 0.0
    pooled = [np.concatenate([part.scores for part in parts]) for parts in (hits, misses)]
    for scores in pooled:
        scores.sort()
    return expected_average_precision(*pooled, positives)


def class_average_precisions(
    hits: Sequence[Pairs], misses: Sequence[Pairs], positives: np.ndarray, top_n: int | None = None
) -> np.ndarray:
    """Average precision of the list of each class.

    Args:
        hits: the hits of all lists, in any number of parts.
        misses: the other items of all lists, likewise.
        positives: what each class's sum is divided by, (C,).
        top_n: as in `expected_average_precision`.

    Returns:
        float64 (C,), NaN where a class has no positives.
    """
    result = np.full(len(positives), np.nan)
    for low, high in _class_ranges([*hits, *misses], len(positives)):
        lists = zip(_lists(hits, low, high), _lists(misses, low, high), strict=True)
        for c, (hit_scores, miss_scores) in enumerate(lists, start=low):
            if positives[c]:
                result[c] = expected_average_precision(hit_scores, miss_scores, int(positives[c]), top_n)
    return result


def _expected_sum(n, r, above, hits_above, top_n: int | None) -> float:
    """Sum over groups of tied items; all arguments as in the module's formula, (G,)."""
    alone = n == 1
    rank = above[alone] + 1
    precision = (hits_above[alone] + 1) / rank
    total = float((precision if top_n is None else precision[rank <= top_n]).sum())
    if alone.all():
        return total
    n, r, above, hits_above = (values[~alone] for values in (n, r, above, hits_above))
    chance, chance_of_another = r / n, (r - 1) / (n - 1)
    ends = np.cumsum(n)
    # A group can hold every item of the list: its positions are laid out block by block.
    for first in range(0, int(ends[-1]), _BLOCK_POSITIONS):
        position = np.arange(first, min(first + _BLOCK_POSITIONS, int(ends[-1])))
        group = np.searchsorted(ends, position, "right")
        before = position - (ends - n)[group]  # i - 1
        rank = above[group] + before + 1
        expected_hits = hits_above[group] + 1 + before * chance_of_another[group]
        added = chance[group] * expected_hits / rank
        total += float((added if top_n is None else added[rank <= top_n]).sum())
    return total


def _class_ranges(parts: Sequence[Pairs], num_classes: int) -> Iterator[tuple[int, int]]:
    """Ranges of class ids that hold a few million items each, so that sorting one needs little memory."""
    items = np.zeros(num_classes, dtype=np.int64)
    for part in parts:
        items += np.bincount(part.classes, minlength=num_classes)
    block = np.cumsum(items) // _BLOCK_PAIRS
    cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), num_classes]
    yield from zip(cuts[:-1], cuts[1:], strict=True)


def _lists(parts: Sequence[Pairs], low: int, high: int) -> Iterator[np.ndarray]:
    """The ascending scores of each class from `low` to `high` - 1."""
    inside = [(part.classes >= low) & (part.classes < high) for part in parts]
    classes = np.concatenate([part.classes[mask] for part, mask in zip(parts, inside, strict=True)])
    scores = np.concatenate([part.scores[mask] for part, mask in zip(parts, inside, strict=True)])
    order = np.argsort(classes, kind="stable")
    scores = scores[order]
    bounds = np.searchsorted(classes[order], np.arange(low, high + 1))
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        yield np.sort(scores[start:end])
