"""The bootstrap's weighted values against lists that really hold the copies, and what its intervals cover."""

import numpy as np
import pytest
import reference
import torch

from mmvid.metrics import bootstrap, ranking
from mmvid.metrics.ranked import rank


def made(rng, videos=7, classes=6, ties=False):
    scores = rng.random((videos, classes)).astype(np.float32)
    if ties:
        scores = np.round(scores * 4) / 4
    return scores, rng.random((videos, classes)) < 0.3


def measures_of(scores, labels, videos=None, **part):
    ranked = rank(torch.tensor(scores), torch.tensor(labels), scores.shape[1])
    videos = np.arange(len(scores)) if videos is None else videos
    return bootstrap.ranking_measures(ranked, labels.nonzero(), videos, **part)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [2, 20])
def test_weights_count_as_copies_do(ties, k):
    rng = np.random.default_rng(1)
    for trial in range(20):
        scores, labels = made(rng, ties=ties)
        found = measures_of(scores, labels, k=k)
        weights = bootstrap.draw(5, trial, len(scores))
        copies = np.repeat(np.arange(len(scores)), weights)
        ranked = rank(torch.tensor(scores[copies]), torch.tensor(labels[copies]), scores.shape[1])
        wanted = ranking.summary_of(ranked, k)
        for name, measure in found.items():
            assert measure(weights) == pytest.approx(wanted[name], abs=1e-12, nan_ok=True), name


def test_weights_count_as_copies_do_in_the_slow_reference():
    rng = np.random.default_rng(2)
    scores, labels = made(rng, videos=4, classes=3)
    for number in range(5):
        weights = bootstrap.draw(0, number, 4)
        copies = np.repeat(np.arange(4), weights)
        wanted = reference.gap(scores[copies], labels[copies], 2)  # tries every order of the copies
        assert measures_of(scores, labels, k=2)["gap"](weights) == pytest.approx(wanted, abs=1e-12)


def test_a_part_of_the_rows_or_classes_is_measured_as_if_it_were_alone():
    rng = np.random.default_rng(3)
    scores, labels = made(rng, videos=30)
    rows, ones = rng.random(30) < 0.5, np.ones(30, int)
    alone = ranking.summary_of(rank(torch.tensor(scores[rows]), torch.tensor(labels[rows]), 6))
    found = measures_of(scores, labels, rows=rows)
    assert {name: measure(ones) for name, measure in found.items()} == pytest.approx(alone, abs=1e-12)
    classes = np.array([True, False, True, False, False, True])
    part = measures_of(scores, labels, classes=classes)
    precisions = reference.class_average_precision(scores, labels, 20)
    assert part.keys() == {"gap", "map"}
    assert part["map"](ones) == pytest.approx(np.nanmean(np.array(precisions)[classes]), abs=1e-12)
    items = [(scores[n, c], labels[n, c]) for n in range(30) for c in np.flatnonzero(classes)]
    wanted = reference.average_precision(items, labels[:, classes].sum())
    assert part["gap"](ones) == pytest.approx(wanted, abs=1e-12)


def test_segments_are_drawn_with_their_video():
    rng = np.random.default_rng(4)
    scores, labels = made(rng, videos=6)
    videos = np.array([0, 0, 0, 1, 2, 2])
    weights = np.array([2, 0, 1])
    copies = [0, 0, 1, 1, 2, 2, 4, 5]
    wanted = ranking.summary_of(rank(torch.tensor(scores[copies]), torch.tensor(labels[copies]), 6))
    found = measures_of(scores, labels, videos)
    assert {name: measure(weights) for name, measure in found.items()} == pytest.approx(wanted, abs=1e-12)


def test_draws_are_those_of_the_seed_alone():
    measures = measures_of(*made(np.random.default_rng(5)))
    few, many = (bootstrap.bootstrap(measures, 7, draws, seed=9)["gap"] for draws in (3, 6))
    assert (few == many[:3]).all() and len(set(many)) > 1
    assert bootstrap.draw(9, 0, 7).sum() == 7


def test_the_interval_covers_as_often_as_it_says():
    """Hit@1 of 200 videos is a binomial share: a 90 % interval must hold the true share in about 90 of 100 samples."""
    rng, held = np.random.default_rng(6), 0
    for _ in range(200):
        hits = (rng.random(200) < 0.4).astype(float)
        measure = bootstrap.Mean(hits, np.arange(200))
        values = bootstrap.bootstrap({"hit": measure}, 200, 200, seed=0)["hit"]
        low, high = bootstrap.interval(hits.mean(), values, 0.9)[1:]
        held += low <= 0.4 <= high
    assert 0.82 <= held / 200 <= 0.97


def test_a_pair_is_compared_more_sharply_than_two_values():
    """Both models fail on the same videos: the draws of the difference vary much less than those of either."""
    rng = np.random.default_rng(7)
    scores, labels = made(rng, videos=200)
    scores = scores + labels * 0.5
    pair = {"a": measures_of(scores, labels)["gap"]}
    pair["b"] = measures_of(scores + rng.normal(0, 0.01, scores.shape).astype(np.float32), labels)["gap"]
    values = bootstrap.bootstrap(pair, 200, 300, seed=0)
    assert (values["a"] - values["b"]).std() < values["a"].std() / 3


def test_without_videos_or_draws_there_is_none():
    with pytest.raises(ValueError, match="^a bootstrap needs at least one video and one draw, got 0 and 10$"):
        bootstrap.bootstrap({}, 0, 10, 0)


def test_a_large_list_stays_exact():
    """The harmonic sums cancel most where many items stand above: held against the plain sum there."""
    rng = np.random.default_rng(8)
    scores = np.round(rng.random((20_000, 20)), 4).astype(np.float32)
    labels = rng.random((20_000, 20)) < 0.1
    value = measures_of(scores, labels)["gap"](np.ones(20_000, int))
    assert value == pytest.approx(ranking.gap(torch.tensor(scores), torch.tensor(labels)), rel=1e-9)
