"""MAP@100k of rated segments against plain loops and the starter code's values."""

import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmvid.metrics.segments import Ratings, SegmentMeter, Submitted, segment_map, submitted_segment_map


def random_segments(n, c, levels=None, seed=0, rated=0.3):
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, c, generator=random, dtype=torch.float64)
    if levels:
        scores = (scores * levels).floor() / levels
    weights = torch.rand(n, c, generator=random) < rated
    labels = torch.rand(n, c, generator=random) < 0.4
    return scores, labels, weights


def ratings_of(labels, weights):
    rows, classes = weights.nonzero(as_tuple=True)
    return Ratings(rows.numpy(), classes.numpy(), labels[rows, classes].numpy())


def plain(scores, labels, weights, top_n, empty="drop"):
    return reference.segment_map(scores.tolist(), labels.numpy(), weights.numpy(), top_n, empty)


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 10), st.sampled_from(["drop", "zero"]), st.integers(0, 999))
def test_plain_loops_without_ties(n, c, top_n, empty, seed):
    data = random_segments(n, c, seed=seed)
    found = segment_map(*data, top_n=top_n, empty_classes=empty)
    np.testing.assert_allclose(found, plain(*data, top_n, empty), atol=1e-12)


@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 8), st.integers(0, 999))
def test_plain_loops_with_ties(n, c, top_n, seed):
    data = random_segments(n, c, levels=3, seed=seed, rated=0.7)
    np.testing.assert_allclose(segment_map(*data, top_n=top_n), plain(*data, top_n), atol=1e-12)


def test_a_list_is_ranked_capped_and_filtered_in_this_order():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6], [0.5]])
    weights = torch.tensor([[0], [1], [1], [0], [1]])
    labels = torch.tensor([[1], [0], [1], [1], [1]])  # those of unrated segments do not count
    assert segment_map(scores, labels, weights) == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Unrated segments take places of the cap; positives beyond it stay in the denominator.
    assert segment_map(scores, labels, weights, top_n=4) == pytest.approx((1 / 2) / 2)
    assert segment_map(scores, labels, weights, top_n=2) == 0


def submitted_of(classes: torch.Tensor, scores: torch.Tensor) -> Submitted:
    """The best classes (N, K) of each segment and their scores as a list of pairs."""
    rows = np.arange(len(classes)).repeat(classes.shape[1])
    return Submitted(rows, classes.numpy().reshape(-1), scores.numpy().reshape(-1))


def test_classes_without_positives():
    scores = torch.tensor([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
    weights = torch.tensor([[1, 1, 0], [1, 1, 0]])
    labels = torch.tensor([[1, 0, 1], [0, 0, 1]])
    assert segment_map(scores, labels, weights) == 1
    assert segment_map(scores, labels, weights, empty_classes="zero") == 0.5  # the third is rated by nobody
    assert math.isnan(segment_map(scores, labels * 0, weights))
    assert math.isnan(segment_map(scores, labels, weights * 0, empty_classes="zero"))


def test_starter_code_map_of_masked_segments(golden):
    """Its unrated scores are 0 and come last: what it submits is the 20 best classes of each segment."""
    with np.load(golden / "segment_masked_150x80.npz") as case:
        scores, labels, k, expected = (case[name] for name in ("preds", "labels", "top_k", "map"))
    assert not labels[scores == 0].any()
    values, classes = torch.from_numpy(scores).topk(int(k), dim=1)
    ratings = ratings_of(torch.from_numpy(labels).bool(), torch.from_numpy(scores > 0))
    found = submitted_segment_map(submitted_of(classes, values), ratings, labels.shape[1])
    assert found == pytest.approx(float(expected), abs=1e-9)


@given(st.integers(1, 40), st.integers(1, 50), st.sampled_from([None, 4]), st.integers(0, 999))
def test_neither_batches_nor_order_change_a_bit(size, top_n, levels, seed):
    data = random_segments(40, 6, levels, seed)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    meter = SegmentMeter(top_n=top_n)
    for rows in order.split(size):
        meter.update(*(part[rows] for part in data))
    np.testing.assert_equal(meter.compute(), segment_map(*data, top_n=top_n))


def test_a_meter_that_knows_that_all_are_submitted_keeps_ratings_only():
    data = random_segments(50, 6)
    meter = SegmentMeter(top_n=50, segments=50)
    meter.update(*data)
    assert meter._best is None and meter.compute() == segment_map(*data, top_n=50)
    with pytest.raises(ValueError, match="^there must be 50 segments as announced, got 100$"):
        meter.update(*data)


def test_memory_is_bounded_by_the_cap():
    meter = SegmentMeter(top_n=80)
    parts = [random_segments(333, 7, seed=seed) for seed in range(6)]
    for part in parts:
        meter.update(*part)
    assert meter._best.buffer.shape == (7, 100)
    assert meter.compute() == segment_map(*map(torch.cat, zip(*parts, strict=True)), top_n=80)


@given(
    st.integers(1, 30), st.integers(1, 6), st.integers(1, 40), st.sampled_from(["drop", "zero"]), st.integers(0, 999)
)
def test_sparse_predictions_of_all_classes_are_dense_ones(n, c, top_n, empty, seed):
    scores, labels, weights = random_segments(n, c, levels=6, seed=seed)
    values, classes = scores.sort(dim=1, descending=True)
    found = submitted_segment_map(
        submitted_of(classes, values), ratings_of(labels, weights), c, top_n=top_n, empty_classes=empty
    )
    np.testing.assert_equal(found, segment_map(scores, labels, weights, top_n=top_n, empty_classes=empty))


def test_classes_that_sparse_predictions_do_not_keep_are_not_submitted():
    scores, labels, weights = random_segments(60, 12)
    values, classes = scores.topk(5, dim=1)
    found = submitted_segment_map(submitted_of(classes, values), ratings_of(labels, weights), 12)
    submitted = torch.zeros_like(weights).scatter(1, classes, True)
    expected = []
    for c in range(12):
        items = [(float(scores[n, c]), bool(labels[n, c])) for n in range(60) if weights[n, c] and submitted[n, c]]
        expected.append(reference.average_precision(items, int((labels & weights)[:, c].sum())))
    assert found == pytest.approx(np.mean(expected), abs=1e-12)


SCORES = torch.rand(3, 4)
ZEROS = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ((SCORES, ZEROS, ZEROS[:2]), r"scores and labels must have one shape \(N, C\), got \(3, 4\) and \(2, 4\)$"),
        ((SCORES, ZEROS + 2, ZEROS), "labels must be 0 or 1, got 2.0 in row 0, class 0$"),
        ((SCORES, ZEROS, ZEROS + 0.5), "weights must be 0 or 1, got 0.5 in row 0, class 0$"),
        ((SCORES * torch.nan, ZEROS, ZEROS), "scores must not be NaN, got NaN in row 0$"),
    ],
)
def test_bad_input_is_one_sentence(arrays, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        segment_map(*arrays)


def test_bad_parameters_and_no_segments():
    with pytest.raises(ValueError, match="^top_n must be at least 1, got 0$"):
        SegmentMeter(top_n=0)
    with pytest.raises(ValueError, match="^empty_classes must be 'zero' or 'drop', got 'skip'$"):
        SegmentMeter(empty_classes="skip")
    with pytest.raises(ValueError, match="^segment_map needs at least one segment, got none$"):
        SegmentMeter().compute()
    meter = SegmentMeter()
    meter.update(SCORES, ZEROS, ZEROS)
    with pytest.raises(ValueError, match="^scores must have 4 classes as before, got 5$"):
        meter.update(*(torch.zeros(2, 5),) * 3)


ONE = np.zeros(1, np.int64)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": np.zeros(2)}, r"submitted must be arrays of one shape \(S,\), got \(3,\), \(3,\), \(2,\)"),
        ({"scores": np.full(3, np.nan)}, "scores must not be NaN, got NaN at place 0"),
        ({"classes": np.array([0, 1, 4])}, "submitted.classes must be from 0 to 3, got 0 to 4"),
        ({"classes": np.array([0, 1, 1])}, "classes of a segment must each be given once"),
        ({"segments": np.array([0, 0, -1])}, "submitted.segments must be from 0 to "),
        ({"ratings": Ratings(ONE, ONE - 1, ONE == 0)}, "ratings.classes must be from 0 to 3, got -1 to -1"),
        ({"ratings": Ratings(ONE, ONE, np.ones(2, bool))}, r"ratings must be arrays of one shape \(R,\), got "),
        ({"ratings": Ratings(*np.zeros((2, 2), np.int64), np.ones(2, bool))}, "ratings must be given once for"),
    ],
)
def test_bad_submissions_are_one_sentence(change, sentence):
    ratings = change.pop("ratings", None) or Ratings(ONE, ONE, ONE == 0)
    good = Submitted(np.zeros(3, np.int64), np.array([0, 1, 2]), np.ones(3))
    assert submitted_segment_map(good, Ratings(ONE, ONE, ONE == 0), 4) == 1
    with pytest.raises(ValueError, match=f"^{sentence}"):
        submitted_segment_map(good._replace(**change), ratings, 4)
