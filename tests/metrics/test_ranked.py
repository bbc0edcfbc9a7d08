"""The best classes of each video and the rule for ties."""

import dataclasses

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvid.metrics import ranked as module
from mmvid.metrics import ranking
from mmvid.metrics.ranked import Ranked, match, rank


def random_videos(n, c, levels=None, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, c, generator=random, dtype=dtype)
    if levels:
        scores = (scores * levels).floor() / levels
    return scores, torch.rand(n, c, generator=random) < 0.15


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 5), st.integers(0, 999))
def test_higher_score_first_then_lower_class(num_classes, k, levels, seed):
    scores, labels = random_videos(6, num_classes, levels, seed)
    got = rank(scores, labels, k)
    wanted = [reference.best_classes(row, k) for row in scores.tolist()]
    assert got.classes.tolist() == wanted
    assert torch.equal(got.scores, scores.gather(1, torch.tensor(wanted)))
    assert torch.equal(got.hits, labels.gather(1, torch.tensor(wanted)))
    assert torch.equal(got.num_labels, labels.sum(1))
    assert torch.equal(got.positives, labels.sum(0))


def test_infinities_and_signed_zeros_are_scores():
    scores = torch.tensor([[0.0, -0.0, torch.inf, -torch.inf, -0.0, torch.inf]])
    assert rank(scores, scores > 0, 6).classes.tolist() == [[2, 5, 0, 1, 4, 3]]


def test_blocks_change_nothing(monkeypatch):
    scores, labels = random_videos(50, 30, levels=6)
    whole = rank(scores, labels, 7)
    monkeypatch.setattr(module, "_BLOCK_SCORES", 100)
    for field in dataclasses.fields(whole):
        assert torch.equal(getattr(rank(scores, labels, 7), field.name), getattr(whole, field.name))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_ranks_as_it_is(dtype):
    scores, labels = random_videos(20, 40)
    half = scores.to(dtype)
    got = rank(half, labels, 10)
    assert got.scores.dtype == torch.float32
    assert got.classes.tolist() == [reference.best_classes(row, 10) for row in half.tolist()]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_labels_of_any_type(dtype):
    scores, labels = random_videos(9, 12)
    assert torch.equal(rank(scores, labels.to(dtype), 5).hits, rank(scores, labels, 5).hits)


def test_scores_that_are_learnt_and_not_contiguous():
    scores, labels = random_videos(9, 12)
    learnt = scores.clone().requires_grad_() * 1
    got = rank(learnt.T.contiguous().T, labels.T.contiguous().T, 5)
    assert not got.scores.requires_grad
    assert torch.equal(got.classes, rank(scores, labels, 5).classes)


def test_best_cuts_and_refuses_more_than_there_is():
    ranked = rank(*random_videos(8, 30), 10)
    assert torch.equal(ranked.best(4).classes, ranked.classes[:, :4])
    with pytest.raises(ValueError, match="^k = 20 needs the 20 best classes of each video, the ranking keeps 10$"):
        ranking.gap_of(ranked, 20)
    few = rank(*random_videos(8, 5), 20)
    assert few.best(20).scores.shape == (8, 5)


def test_match_agrees_with_dense_ranking():
    scores, labels = random_videos(40, 30, levels=9)
    labels[3] = False
    dense = rank(scores, labels, 12)
    flat = torch.tensor([c for row in labels for c in reversed(row.nonzero().flatten().tolist())])
    offsets = torch.tensor(np.concatenate([[0], labels.sum(1).cumsum(0)]))
    joined = match(dense.classes, dense.scores, flat, offsets, 30)
    for field in dataclasses.fields(dense):
        assert torch.equal(getattr(joined, field.name), getattr(dense, field.name)), field.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1, 2, 2]}, "labels of row 1 must each be given once, class 2 is there twice"),
        ({"labels": [1, 2, 9]}, "labels must be ids from 0 to 3, got 1 to 9"),
        ({"classes": [[0, 1], [-1, 2]]}, "classes must be ids from 0 to 3, got -1 to 2"),
        ({"offsets": [0, 3]}, "offsets of 2 videos must have 3 values, got 2"),
        ({"offsets": [0, 1, 2]}, "offsets must rise from 0 to 3, the number of labels, got 0 to 2"),
        (
            {"scores": [[0.5], [0.5]]},
            r"classes and scores must have one shape \(N, K\), got \(2, 2\) and \(2, 1\)",
        ),
        ({"scores": [[0.5, 0.4], [0.5, 0.6]]}, "ranked scores must fall from left to right, row 1 does not"),
        (
            {"scores": [[torch.nan, 0.4], [0.5, 0.4]]},
            "ranked scores must fall from left to right, row 0 does not",
        ),
    ],
)
def test_match_refuses(change, message):
    given = {
        "classes": [[0, 1], [3, 2]],
        "scores": [[0.5, 0.4], [0.5, 0.4]],
        "labels": [1, 2, 3],
        "offsets": [0, 1, 3],
    } | change
    types = {"classes": torch.int32, "scores": torch.float32, "labels": torch.int64, "offsets": torch.int64}
    with pytest.raises(ValueError, match=f"^{message}$"):
        match(**{name: torch.tensor(value, dtype=types[name]) for name, value in given.items()}, num_classes=4)


def test_ranked_refuses_shapes_that_disagree():
    ranked = rank(*random_videos(8, 30), 10)
    with pytest.raises(ValueError, match=r"^hits of 8 x 10 ranked scores must have shape \(8, 10\), got \(8, 9\)$"):
        dataclasses.replace(ranked, hits=ranked.hits[:, :9])
    with pytest.raises(ValueError, match=r"^positives must have shape \(C,\) with C at least K = 10, got \(3,\)$"):
        dataclasses.replace(ranked, positives=ranked.positives[:3])
    with pytest.raises(ValueError, match=r"^ranked scores must have shape \(N, K\) with N and K at least 1"):
        Ranked(*(torch.zeros(0, 3),) * 3, torch.zeros(0), torch.zeros(3))
