"""Average precision in expectation over tied items."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from mmvid.metrics import average_precision
from mmvid.metrics.average_precision import (
    Pairs,
    class_average_precisions,
    expected_average_precision,
    pooled_average_precision,
)

# Few items of few scores: the reference tries every order.
items = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 3.0]), st.booleans()), min_size=1, max_size=7)


def lists(pairs):
    hits = np.sort(np.array([score for score, hit in pairs if hit], dtype=float))
    misses = np.sort(np.array([score for score, hit in pairs if not hit], dtype=float))
    return hits, misses


@given(items, st.integers(0, 3), st.one_of(st.none(), st.integers(1, 8)))
def test_is_the_mean_over_all_orders_of_tied_items(pairs, missed, top_n):
    positives = max(1, sum(hit for _, hit in pairs) + missed)
    ours = expected_average_precision(*lists(pairs), positives, top_n)
    assert ours == pytest.approx(reference.average_precision(pairs, positives, top_n), abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    pairs = Pairs(random.integers(0, 9, 500), random.integers(0, 40, 500) / 40)
    hit = random.random(500) < 0.3
    hits, misses = (Pairs(pairs.classes[kind], pairs.scores[kind]) for kind in (hit, ~hit))
    positives = np.bincount(hits.classes, minlength=9)
    whole = class_average_precisions([hits], [misses], positives)
    pooled = pooled_average_precision([hits], [misses], len(hits.scores))
    for name in ("_BLOCK_GROUPS", "_BLOCK_POSITIONS", "_BLOCK_PAIRS"):
        monkeypatch.setattr(average_precision, name, 7)
    np.testing.assert_allclose(class_average_precisions([hits], [misses], positives), whole, rtol=1e-13)
    assert pooled_average_precision([hits], [misses], len(hits.scores)) == pytest.approx(pooled, rel=1e-13)
    halves = [Pairs(misses.classes[part], misses.scores[part]) for part in (slice(100), slice(100, None))]
    np.testing.assert_allclose(class_average_precisions([hits], halves, positives), whole, rtol=1e-13)


def test_one_score_for_all_gives_the_share_of_hits_and_a_little():
    # n items in one group, r hits: the sum of the module's formula with N0 = R0 = 0.
    n, r = 1000, 30
    expected = sum(r / n * (1 + (i - 1) * (r - 1) / (n - 1)) / i for i in range(1, n + 1)) / r
    assert expected_average_precision(np.zeros(r), np.zeros(n - r), r) == pytest.approx(expected, rel=1e-12)


def test_classes_without_positives_or_hits():
    hits = Pairs(np.array([0]), np.array([0.5]))
    misses = Pairs(np.array([1, 2]), np.array([0.9, 0.1]))
    values = class_average_precisions([hits], [misses], np.array([2, 1, 0, 0]))
    assert values[:2].tolist() == [0.5, 0.0]
    assert all(math.isnan(value) for value in values[2:])


def test_sums_are_in_float64_for_float32_scores():
    random = np.random.default_rng(0)
    scores = np.sort(random.permutation(1 << 16).astype(np.float32))
    hit = random.random(len(scores)) < 0.2
    single = expected_average_precision(scores[hit], scores[~hit], int(hit.sum()))
    double = expected_average_precision(scores[hit].astype(float), scores[~hit].astype(float), int(hit.sum()))
    assert single == double
