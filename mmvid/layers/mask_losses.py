"""Losses of masks from logits (B, H, W): Dice, Jaccard, weighted cross-entropy, and sums of them; a scalar each.

Dice and Jaccard are taken over all pixels of a batch together, with one pixel added above and below the line, so that
a batch without any set pixel has a loss, and one that is nearly 0 where nothing is predicted.
Source: Milletari et al. 2016 (arXiv:1606.04797) for Dice; Rahman and Wang 2016 for Jaccard.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional

MaskLoss = Literal["dice", "bce", "jaccard", "dice+bce", "dice+jaccard", "bce+jaccard", "dice+bce+jaccard"]


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 I + 1) / (P + M + 1) of the probabilities' sum P, the masks' sum M and their product's sum I."""
    inside, predicted, true = _sums(logits, masks)
    return 1 - (2 * inside + 1) / (predicted + true + 1)


def jaccard(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - (I + 1) / (P + M - I + 1): the soft intersection over union."""
    inside, predicted, true = _sums(logits, masks)
    return 1 - (inside + 1) / (predicted + true - inside + 1)


def weighted_bce(logits: Tensor, masks: Tensor, positive_weight: float) -> Tensor:
    """The mean cross-entropy of the pixels; those of the mask count `positive_weight` times."""
    weight = logits.new_tensor(positive_weight)
    return functional.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), pos_weight=weight)


def mask_loss(logits: Tensor, masks: Tensor, loss: MaskLoss, positive_weight: float) -> Tensor:
    """The sum of the named losses, computed in float32 at least.

    Args:
        logits: (B, H, W).
        masks: True or 1 where the mask is set, (B, H, W).
        loss: names joined with `+`.
        positive_weight: of `bce`.

    Raises:
        ValueError: if logits and masks have different shapes.
    """
    if logits.shape != masks.shape:
        raise ValueError(f"logits and masks must have one shape, got {tuple(logits.shape)} and {tuple(masks.shape)}")
    logits = logits.float()
    functions = {"dice": dice, "jaccard": jaccard, "bce": lambda a, b: weighted_bce(a, b, positive_weight)}
    return sum(functions[name](logits, masks) for name in loss.split("+"))


def _sums(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores, masks = logits.sigmoid(), masks.to(logits.dtype)
    return (scores * masks).sum(), scores.sum(), masks.sum()
