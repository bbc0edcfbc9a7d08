"""Sparse predictions, joined and blended, are what dense scores would give; what cannot be joined is named."""

import dataclasses

import numpy as np
import pytest
import torch

from mmvid import blends, evaluation
from mmvid.blends import Pairs
from mmvid.ensemble import joining
from mmvid.ensemble.joining import Joined, Member
from mmvid.ensemble.model import Ensemble, half_of, ranks_of
from mmvid.metrics import ranking
from mmvid.metrics.ranked import best_classes
from mmvid.predictions import KEPT, Predictions

VIDEOS, CLASSES = 300, 400


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    return torch.rand(VIDEOS, CLASSES, generator=torch.Generator().manual_seed(0)) < 0.01


@pytest.fixture(scope="module")
def dense(labels) -> torch.Tensor:
    """Scores of three members, (M, N, C)."""
    noise = torch.randn(3, VIDEOS, CLASSES, generator=torch.Generator().manual_seed(1))
    return (noise + 2.0 * labels - 2).sigmoid()


@pytest.fixture(scope="module")
def truth(labels) -> tuple[np.ndarray, np.ndarray]:
    return labels.nonzero()[:, 1].int().numpy(), np.concatenate([[0], labels.sum(1).cumsum(0).numpy()])


IDS = [f"video {number}" for number in range(VIDEOS)]


def member(name: str, scores: torch.Tensor, order: np.ndarray | None = None) -> Member:
    """A member whose predictions are in an order of their own."""
    order = np.arange(VIDEOS) if order is None else order
    values, classes = best_classes(scores[order], KEPT)
    found = Predictions(
        [IDS[row] for row in order], classes.int().numpy(), values.numpy(), None, None, CLASSES, key=name
    )
    return Member(name, found, lambda rows: scores[rows])


@pytest.fixture(scope="module")
def joined(dense) -> Joined:
    random = np.random.default_rng(2)
    return Joined(IDS, [member(f"run {n}", scores, random.permutation(VIDEOS)) for n, scores in enumerate(dense)])


def unfitted(name: str) -> Ensemble:
    kind = blends.load(name)
    return Ensemble([torch.nn.Identity()] * 0, [kind.Model(kind.Config())])


@pytest.mark.parametrize("name", ["mean", "max"])
def test_the_blend_of_the_union_has_the_metrics_of_the_dense_blend(name, dense, labels, truth, joined):
    found = joining.blend(joined, unfitted(name), key="key", labels=truth, fitted=False)
    wanted = dense.mean(0) if name == "mean" else dense.amax(0)
    metrics = evaluation.score(found.predictions)
    assert metrics["gap"] == pytest.approx(ranking.gap(wanted, labels), abs=1e-9)
    assert metrics["map"] == pytest.approx(ranking.mean_average_precision(wanted, labels), abs=1e-9)
    values, classes = best_classes(wanted, 20)
    assert np.array_equal(found.predictions.classes[:, :20], classes.numpy())
    np.testing.assert_allclose(found.predictions.scores[:, :20], values.numpy(), rtol=1e-6)


def test_the_cut_counts_what_was_not_kept_as_zero(dense, joined, truth):
    found = joining.blend(joined, unfitted("mean"), key="key", labels=truth, fitted=False)
    zeroed = torch.stack([torch.where(ranks_of(scores) <= KEPT, scores, 0) for scores in dense]).mean(0)
    values, classes = best_classes(zeroed, KEPT)
    np.testing.assert_allclose(found.cut.scores, values.numpy(), rtol=1e-6)
    again, pairs = found.rescored
    kept = torch.stack([ranks_of(scores) <= KEPT for scores in dense])
    union = kept.any(0)
    assert (again, pairs) == (int((union & ~kept).sum()), 3 * int(union.sum()))
    assert evaluation.score(found.cut)["gap"] != evaluation.score(found.predictions)["gap"]


def test_a_member_that_kept_all_is_not_asked_again(dense):
    few = dense[:, :, :KEPT]

    def refuse(rows):
        raise AssertionError("nothing is missing")

    members = []
    for number, scores in enumerate(few):
        values, classes = best_classes(scores, KEPT)
        kept = Predictions(IDS, classes.int().numpy(), values.numpy(), None, None, KEPT, key="")
        members.append(Member(f"run {number}", kept, refuse))
    found = joining.blend(Joined(IDS, members), unfitted("mean"), key="key", labels=None, fitted=False)
    assert np.array_equal(found.predictions.classes, best_classes(few.mean(0), KEPT)[1].numpy())


@pytest.mark.parametrize("name", ["weighted", "forest"])
def test_what_learns_scores_a_video_of_gate_by_the_other_half(name, dense, joined, truth):
    kind = blends.load(name)
    config = kind.Config(**({"trees": 10, "leaf": 2} if name == "forest" else {}))
    pairs, halves = joining.taught_pairs(joined, truth, top=20, most=10**6, seed=0)
    fitted = []
    for half in (0, 1):
        mine = halves == half
        own = Pairs(pairs.scores[:, mine], pairs.ranks[:, mine], pairs.hits[mine])
        fitted.append(kind.Model.fit(config, own, half, 2))
    ensemble = Ensemble([], fitted)
    on_gate, elsewhere = (
        joining.blend(joined, ensemble, key="key", labels=truth, fitted=answer).predictions for answer in (True, False)
    )
    ranks = torch.stack([ranks_of(scores) for scores in dense]).float()
    for row in (0, 1, 2, 3, 4, 5):
        whole = [blend(Pairs(dense[:, row], ranks[:, row])) for blend in fitted]
        for found, wanted in ((on_gate, whole[1 - half_of(IDS[row])]), (elsewhere, sum(whole) / 2)):
            classes = torch.from_numpy(found.classes[row, :20]).long()
            considered = ((ranks[:, row] <= 20).any(0) if name == "forest" else torch.ones(CLASSES, dtype=bool))[
                classes
            ]
            np.testing.assert_allclose(found.scores[row, :20][considered], wanted[classes][considered], rtol=1e-5)


def test_pairs_that_teach_are_those_of_the_union_with_their_labels(dense, labels, joined, truth):
    pairs, halves = joining.taught_pairs(joined, truth, top=20, most=10**6, seed=0)
    union = torch.stack([ranks_of(scores) <= 20 for scores in dense]).any(0)
    assert len(halves) == int(union.sum()) and int(pairs.hits.sum()) == int((union & labels).sum())
    assert sorted(pairs.scores[1].tolist()) == sorted(dense[1][union].tolist())
    some, _ = joining.taught_pairs(joined, truth, top=20, most=10, seed=0)
    assert 10 <= some.scores.shape[1] <= pairs.scores.shape[1]


def altered(joined: Joined, **changes) -> list[Member]:
    first, *rest = joined.members
    return [*rest, dataclasses.replace(first, predictions=dataclasses.replace(first.predictions, **changes))]


def test_members_of_other_videos_are_refused_by_name(joined):
    ids = list(joined.members[0].predictions.ids)
    place = ids.index("video 7")
    other = [*ids[:place], "video 300", *ids[place + 1 :]]
    with pytest.raises(ValueError, match="^run 0 must have predictions of all videos, 'video 7' is not there$"):
        Joined(IDS, altered(joined, ids=other))
    twice = [*ids[:place], ids[place - 1], *ids[place + 1 :]]
    with pytest.raises(ValueError, match=f"^run 0 must have each video once, {ids[place - 1]!r} is there twice$"):
        Joined(IDS, altered(joined, ids=twice))
    with pytest.raises(ValueError, match="^run 1 must have predictions of the data set's videos only, it has 'video 2"):
        Joined(IDS[:-50], joined.members[1:])
    with pytest.raises(ValueError, match="^members must have one vocabulary, run 1 and run 0 have 400 and 401$"):
        Joined(IDS, altered(joined, num_classes=401))


def test_ranks_begin_at_one_and_end_behind_what_is_kept(dense):
    ranks = ranks_of(dense[0])
    order = dense[0][0].argsort(descending=True)
    assert ranks[0, order[:3]].tolist() == [1, 2, 3]
    assert set(ranks[0, order[KEPT:]].tolist()) == {KEPT + 1}
