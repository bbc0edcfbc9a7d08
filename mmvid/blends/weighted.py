"""A weighted mean of the members' scores, with weights that raise the pooled average precision of pairs on `gate`.

Forward selection with replacement: every member is there once, then the member whose copy helps most, or harms least,
is added again and again, and the best of all these means counts: it is the mean if nothing beats that. What is raised
is GAP but for its cut at 20 classes of a video.
Source: Caruana et al. 2004, "Ensemble selection from libraries of models".
"""

import numpy as np
import torch
from torch import Tensor

from mmvid.blends import Blend, Pairs
from mmvid.config import Options, option


class Config(Options):
    """Weights."""

    picks: int = option(50, "copies of members that are added at most", ge=0)
    ranks: int = option(20, "pairs that teach are those that a member has among so many best classes", ge=1)
    fit_pairs: int = option(1_000_000, "pairs that teach the weights, at least; fewer where gate is smaller", ge=1)
    blend_seed: int = option(0, "seed of the draw of the videos that teach", ge=0)


class Model(Blend):
    """A weight for each member.

    Attributes:
        weights: float64 (M,).
    """

    fitted = True

    def __init__(self, config: Config, weights: Tensor):
        super().__init__(config)
        if weights.ndim != 1 or not (weights >= 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
            raise ValueError(f"weights must be at least 0 and sum to 1, got {weights.tolist()}")
        self.register_buffer("weights", weights.double())

    @classmethod
    def fit(cls, config: Config, pairs: Pairs, part: int, parts: int) -> "Model":
        scores, hits = pairs.scores.numpy(), pairs.hits.numpy()
        copies = np.ones(len(scores))
        total = scores.sum(axis=0, dtype=np.float64)
        best, weights = pooled_precision(total, hits), copies / copies.sum()
        for _ in range(config.picks):
            found = [pooled_precision(total + own, hits) for own in scores]
            chosen = int(np.argmax(found))
            copies[chosen] += 1
            total += scores[chosen]
            if found[chosen] > best:
                best, weights = found[chosen], copies / copies.sum()
        return cls(config, torch.from_numpy(weights))

    def forward(self, pairs: Pairs) -> Tensor:
        return torch.einsum("m,mp->p", self.weights.to(pairs.scores.dtype), pairs.scores)


def pooled_precision(scores: np.ndarray, hits: np.ndarray) -> float:
    """Average precision of all pairs as one list; 0 where there is no hit.

    Args:
        scores: (P,).
        hits: bool (P,).
    """
    places = np.flatnonzero(hits[np.argsort(-scores, kind="stable")])
    return float((np.arange(1, len(places) + 1) / (places + 1)).sum() / max(len(places), 1))
