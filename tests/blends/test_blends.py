"""What each blend makes of members' scores; forests are held against scikit-learn, weights against a grid."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score

from mmvid import blends
from mmvid.blends import Pairs, forest, weighted


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Three members: the first two know something, the third guesses."""
    random = np.random.default_rng(0)
    hits = random.random(4000) < 0.2
    known = [hits * shift + random.normal(0, 1, len(hits)) for shift in (2.0, 1.0, 0.0)]
    scores = 1 / (1 + np.exp(-(np.array(known) - 2)))
    ranks = random.integers(1, 30, scores.shape)
    return Pairs(torch.tensor(scores).float(), torch.tensor(ranks).float(), torch.tensor(hits))


def fitted(name: str, pairs: Pairs, **options) -> blends.Blend:
    kind = blends.load(name)
    return kind.Model.fit(kind.Config(**options), pairs, 0, 1)


@pytest.mark.parametrize("name", blends.names())
def test_a_blend_gives_a_score_a_pair_and_is_built_again_from_its_buffers(name, pairs):
    blend = fitted(name, pairs, **({"trees": 20} if name == "forest" else {}))
    found = blend(pairs)
    assert found.shape == (4000,) and found.dtype == torch.float32
    assert 0 <= found.min() and found.max() <= 1
    again = blends.load(name).Model(blend.config, **blend.state_dict())
    assert torch.equal(again(pairs), found)
    assert blend(Pairs(pairs.scores[:, :0], pairs.ranks[:, :0])).shape == (0,)


def test_mean_and_max_are_those_of_the_members(pairs):
    assert torch.equal(fitted("mean", pairs)(pairs), pairs.scores.mean(0))
    assert torch.equal(fitted("max", pairs)(pairs), pairs.scores.max(0).values)


def test_the_weights_beat_the_mean_and_every_member_and_come_near_the_best_of_a_grid(pairs):
    weights = fitted("weighted", pairs).weights.numpy()
    scores, hits = pairs.scores.numpy(), pairs.hits.numpy()

    def precision(*weights: float) -> float:
        return average_precision_score(hits, np.array(weights) @ scores)

    steps = np.linspace(0, 1, 21)
    grid = [precision(a, b, 1 - a - b) for a, b in itertools.product(steps, steps) if a + b <= 1 + 1e-9]
    assert weights[0] > weights[1] > weights[2] and weights.sum() == pytest.approx(1)
    assert precision(*weights) > max(precision(1, 1, 1), *(precision(*row) for row in np.eye(3)))
    assert precision(*weights) > max(grid) - 0.002
    assert weighted.pooled_precision(scores[0], hits) == pytest.approx(precision(1, 0, 0))
    assert weighted.pooled_precision(scores[0], hits & False) == 0


@pytest.mark.parametrize("vote", ["mode", "mean"])
def test_a_forest_says_what_scikit_learn_says(vote, pairs):
    features = torch.cat([pairs.scores, pairs.ranks]).T.numpy()
    theirs = RandomForestClassifier(60, min_samples_leaf=5, max_samples=1000, random_state=1).fit(
        features, pairs.hits.numpy()
    )
    ours = forest.Model(forest.Config(vote=vote), **forest.arrays_of(theirs))
    if vote == "mean":
        wanted = theirs.predict_proba(features)[:, 1]
    else:
        wanted = np.mean([tree.predict(features) for tree in theirs.estimators_], axis=0)
    np.testing.assert_allclose(ours(pairs).numpy(), wanted, atol=1e-6)


def test_a_forest_of_the_same_seed_is_the_same_and_halves_have_trees_of_their_own(pairs):
    config = forest.Config(trees=21)
    first, again, other = (forest.Model.fit(config, pairs, part, 2) for part in (0, 0, 1))
    assert torch.equal(first.threshold, again.threshold)
    assert len(first.starts) - 1 == 11 and len(other.starts) - 1 == 10
    assert not torch.equal(first.threshold[:50], other.threshold[:50])


@pytest.mark.parametrize(
    ("name", "number", "value"), [("left", 0, 0), ("left", 0, 10**6), ("right", 0, -1), ("feature", 0, -2)]
)
def test_trees_that_a_walk_would_leave_are_refused(name, number, value, pairs):
    arrays = fitted("forest", pairs, trees=2).state_dict()
    arrays[name] = arrays[name].clone()
    arrays[name][number] = value
    with pytest.raises(ValueError, match="^a forest's nodes must be leaves or have two children behind them, node 0"):
        forest.Model(forest.Config(), **arrays)


def test_trees_that_do_not_share_out_the_nodes_are_refused(pairs):
    arrays = fitted("forest", pairs, trees=2).state_dict()
    with pytest.raises(ValueError, match="^a forest's trees must share out its"):
        forest.Model(forest.Config(), **(arrays | {"starts": arrays["starts"][:-1]}))
    few = Pairs(pairs.scores[:1], pairs.ranks[:1])
    with pytest.raises(ValueError, match="^the forest must be of 2 features, it looks at 5"):
        forest.Model(forest.Config(), **arrays)(few)


def test_a_forest_needs_labels_and_others(pairs):
    with pytest.raises(ValueError, match="^a forest must have pairs that are labels and pairs that are not"):
        fitted("forest", pairs._replace(hits=torch.ones(4000, dtype=torch.bool)))
