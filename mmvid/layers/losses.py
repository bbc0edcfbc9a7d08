"""Losses of multi-label classification: the mean over videos of a sum over classes.

Labels are 0 or 1, or anything between (a teacher's scores, mixed videos): a term is then that of a label and that of
none, by their shares. `cross_entropy` is computed from log-odds, exactly. The starter code adds 1e-5 to every
probability instead, so its loss can be slightly negative and its gradient bends near 0 and 1: `cross_entropy_epsilon`
is that form, for fidelity.
Source: google/youtube-8m, losses.py.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Loss = Literal["cross_entropy", "cross_entropy_epsilon", "hinge", "softmax"]


def cross_entropy(log_odds: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy.

    Args:
        log_odds: log p - log(1 - p), (B, C).
        labels: in [0, 1], (B, C).
        weights: multiplies each term, (B, C), or None.
    """
    terms = functional.binary_cross_entropy_with_logits(log_odds, labels.to(log_odds.dtype), reduction="none")
    return _mean_of_sums(terms, weights)


def cross_entropy_epsilon(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """Binary cross-entropy of probabilities (B, C) shifted by `epsilon`, as the starter code computes it."""
    if labels.dtype == torch.bool:
        likelihood = torch.where(labels, scores, 1 - scores)
        return _mean_of_sums(-torch.log(likelihood + epsilon), weights)
    terms = labels * torch.log(scores + epsilon) + (1 - labels) * torch.log(1 - scores + epsilon)
    return _mean_of_sums(-terms, weights)


def hinge(scores: Tensor, labels: Tensor, weights: Tensor | None = None, margin: float = 1.0) -> Tensor:
    """`max(0, margin - y * score)` with y = 1 for a label and -1 for none; scores (B, C) of any range."""
    share = labels.to(scores.dtype)
    terms = share * (margin - scores).clamp_min(0) + (1 - share) * (margin + scores).clamp_min(0)
    return _mean_of_sums(terms, weights)


def softmax(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy between the labels, normalised to sum 1, and a softmax over the scores (B, C).

    The softmax is taken over the model's scores as they are, although these are probabilities: the starter code's way.
    """
    labels = labels.to(scores.dtype)
    share = labels / labels.sum(-1, keepdim=True).clamp_min(1e-7)
    return _mean_of_sums(-share * scores.log_softmax(-1), weights)


def _mean_of_sums(terms: Tensor, weights: Tensor | None) -> Tensor:
    return (terms if weights is None else terms * weights).sum(-1).mean()
