"""A random forest on the members' scores and ranks of a pair (Wang et al. 2017, section 4.2).

Two readings of 1000 trees: `mode`, the paper's, where each tree decides and the share of those that say yes is the
score; and `mean`, the average of the trees' leaf probabilities, which keeps what the decisions throw away.

Each tree learns from a draw of `tree_rows` pairs, so that 1000 trees cost the same for any number of videos.
The trees are kept as plain arrays; scikit-learn's own code walks them, after a check that no child lies outside.
Source of the trees: scikit-learn, RandomForestClassifier.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from torch import Tensor

from mmvid.blends import Blend, Pairs
from mmvid.config import Options, option

_LEAF, _UNDEFINED = -1, -2


class Config(Options):
    """The forest."""

    vote: Literal["mode", "mean"] = option("mode", "share of trees that say yes (the paper), or mean leaf probability")
    trees: int = option(1000, "trees, over both halves of gate", ge=2)
    tree_rows: int = option(10_000, "pairs that a tree learns from, drawn with replacement", ge=1)
    leaf: int = option(10, "fewest pairs in a leaf", ge=1)
    ranks: int = option(20, "pairs are those that a member has among so many best classes", ge=1)
    fit_pairs: int = option(1_000_000, "pairs that teach the trees, at least; fewer where gate is smaller", ge=1)
    blend_seed: int = option(0, "seed of the trees, and of the draw of the videos that teach", ge=0)


class Model(Blend):
    """All trees' nodes, one tree after another.

    Attributes:
        starts: where each tree begins, and the number of nodes at the end, int64 (trees + 1,).
        left, right: numbers of a node's children in its tree, int32 (nodes,); -1 for a leaf.
        feature: what a node looks at: the score of member m is m, its rank M + m; int32 (nodes,).
        threshold: at most that much goes left, float64 (nodes,).
        positive: the share of labels among a node's training pairs, float64 (nodes,).
    """

    fitted = True

    def __init__(
        self,
        config: Config,
        starts: Tensor,
        left: Tensor,
        right: Tensor,
        feature: Tensor,
        threshold: Tensor,
        positive: Tensor,
    ):
        super().__init__(config)
        self.top = config.ranks
        for name, value in (("starts", starts), ("left", left), ("right", right), ("feature", feature)):
            self.register_buffer(name, value)
        self.register_buffer("threshold", threshold)
        self.register_buffer("positive", positive)
        _check(starts.numpy(), left.numpy(), right.numpy(), feature.numpy(), (threshold, positive))
        self._walkers: list[Tree] = []

    @classmethod
    def fit(cls, config: Config, pairs: Pairs, part: int, parts: int) -> "Model":
        hits = pairs.hits.numpy()
        if hits.all() or not hits.any():
            raise ValueError("a forest must have pairs that are labels and pairs that are not to learn from")
        forest = RandomForestClassifier(
            n_estimators=len(range(part, config.trees, parts)),
            min_samples_leaf=config.leaf,
            max_samples=min(config.tree_rows, len(hits)),
            n_jobs=torch.get_num_threads(),
            random_state=config.blend_seed * parts + part,
        )
        return cls(config, **arrays_of(forest.fit(_features(pairs), hits)))

    def forward(self, pairs: Pairs) -> Tensor:
        features = _features(pairs)
        if len(self.feature) and int(self.feature.max()) >= features.shape[1]:
            raise ValueError(
                f"the forest must be of {features.shape[1]} features, it looks at {int(self.feature.max())}"
            )
        if not len(features):
            return torch.zeros(0)
        self._walkers = self._walkers or self._rebuild(features.shape[1])
        said = (self.positive > 0.5).double() if self.config.vote == "mode" else self.positive.double()
        said, starts = said.numpy(), self.starts.tolist()

        def of_some(numbers: range) -> np.ndarray:
            total = np.zeros(len(features))
            for number in numbers:
                total += said[starts[number] : starts[number + 1]][self._walkers[number].apply(features)]
            return total

        workers = max(1, min(torch.get_num_threads(), len(self._walkers)))
        with ThreadPoolExecutor(workers) as pool:
            sums = pool.map(of_some, [range(first, len(self._walkers), workers) for first in range(workers)])
            return torch.from_numpy(sum(sums) / len(self._walkers)).float()

    def _rebuild(self, features: int) -> list[Tree]:
        """The trees as objects of scikit-learn, which walks them without the interpreter's lock."""
        fields = DecisionTreeClassifier().fit([[0], [1]], [0, 1]).tree_.__getstate__()["nodes"].dtype
        starts = self.starts.tolist()
        walkers = []
        for begin, end in zip(starts, starts[1:], strict=False):
            nodes = np.zeros(end - begin, fields)
            for name, values in (
                ("left_child", self.left),
                ("right_child", self.right),
                ("feature", self.feature),
                ("threshold", self.threshold),
            ):
                nodes[name] = values[begin:end].numpy()
            walker = Tree(features, np.array([2], np.intp), 1)
            values = np.zeros((len(nodes), 1, 2))
            state = {"max_depth": 0, "node_count": len(nodes), "nodes": nodes, "values": values}
            walker.__setstate__(state)
            walkers.append(walker)
        return walkers


def arrays_of(forest: RandomForestClassifier) -> dict[str, Tensor]:
    """The nodes of a fitted forest of two classes as `Model` takes them."""
    trees = [each.tree_ for each in forest.estimators_]
    columns = {
        "left": [tree.children_left.astype(np.int32) for tree in trees],
        "right": [tree.children_right.astype(np.int32) for tree in trees],
        "feature": [tree.feature.astype(np.int32) for tree in trees],
        "threshold": [tree.threshold for tree in trees],
        "positive": [tree.value[:, 0, 1] for tree in trees],
    }
    arrays = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    return {"starts": torch.from_numpy(starts.astype(np.int64)), **arrays}


def _features(pairs: Pairs) -> np.ndarray:
    """What the trees look at, float32 (P, 2 M)."""
    return np.ascontiguousarray(torch.cat([pairs.scores, pairs.ranks]).float().numpy().T)


def _check(starts: np.ndarray, left: np.ndarray, right: np.ndarray, feature: np.ndarray, others: tuple) -> None:
    """Refuses arrays that a walk would leave, or never end in."""
    counts = np.diff(starts)
    nodes = len(left)
    sizes = {len(right), len(feature), *map(len, others)}
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != nodes or (counts < 1).any() or sizes != {nodes}:
        raise ValueError(f"a forest's trees must share out its {nodes} nodes, got {len(starts) - 1} trees")
    number = np.arange(nodes) - np.repeat(starts[:-1], counts)
    size = np.repeat(counts, counts)
    leaf = left == _LEAF
    inner = (left > number) & (left < size) & (right > number) & (right < size) & (feature >= 0)
    wrong = np.flatnonzero(~np.where(leaf, (right == _LEAF) & (feature == _UNDEFINED), inner))
    if len(wrong):
        raise ValueError(f"a forest's nodes must be leaves or have two children behind them, node {wrong[0]} has not")
