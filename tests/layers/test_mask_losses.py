"""Losses of masks against the plain formulas, pixel by pixel."""

import math

import pytest
import torch

from mmvid.layers.mask_losses import dice, jaccard, mask_loss, weighted_bce


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 4, generator=generator, dtype=torch.float64), torch.rand(
        3, 5, 4, generator=generator
    ) < 0.3


def plain(logits, masks):
    """The sums of scores, of the mask and of their product, and the cross-entropies, in loops."""
    inside = predicted = true = 0.0
    entropies = []
    for logit, set_ in zip(logits.flatten().tolist(), masks.flatten().tolist(), strict=True):
        score = 1 / (1 + math.exp(-logit))
        inside, predicted, true = inside + score * set_, predicted + score, true + set_
        entropies.append(-5.0 * math.log(score) if set_ else -math.log(1 - score))
    return inside, predicted, true, sum(entropies) / len(entropies)


def test_losses_are_their_formulas(pair):
    inside, predicted, true, entropy = plain(*pair)
    assert float(dice(*pair)) == pytest.approx(1 - (2 * inside + 1) / (predicted + true + 1))
    assert float(jaccard(*pair)) == pytest.approx(1 - (inside + 1) / (predicted + true - inside + 1))
    assert float(weighted_bce(*pair, 5.0)) == pytest.approx(entropy)


def test_a_sum_is_the_sum_of_its_parts(pair):
    parts = [float(mask_loss(*pair, name, 3.0)) for name in ("dice", "bce", "jaccard")]
    assert float(mask_loss(*pair, "dice+bce+jaccard", 3.0)) == pytest.approx(sum(parts), rel=1e-6)


@pytest.mark.parametrize("name", ["dice", "jaccard", "bce"])
def test_a_perfect_mask_has_no_loss_and_an_empty_one_too(name):
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    assert float(mask_loss(torch.full((2, 8, 8), -30.0), masks, name, 4.0)) == pytest.approx(0, abs=1e-6)
    masks[:, 2:5] = True
    assert float(mask_loss(masks.float() * 60 - 30, masks, name, 4.0)) == pytest.approx(0, abs=1e-6)
    assert float(mask_loss(30 - masks.float() * 60, masks, name, 4.0)) > 0.9


def test_shapes_must_agree(pair):
    with pytest.raises(ValueError, match="^logits and masks must have one shape, got"):
        mask_loss(pair[0], pair[1][:, :4], "dice", 1.0)
