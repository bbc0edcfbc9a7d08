"""The best masks that no picture is looked at for, against trying all of them where that can be done."""

import itertools

import numpy as np
import pytest
import torch

from mmvid.metrics.overlap import iou, pooled_iou
from mmvid.metrics.position_prior import baselines, constant_mask, iou_with_others, mean_mask


def masks(pictures: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Squares that lie in the same corner more often than not."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(pictures, height, width, dtype=torch.bool)
    for mask in found:
        top, left = (int(torch.randint(0, side // 2, (), generator=generator)) for side in (height, width))
        mask[top : top + height // 2 + 1, left : left + width // 2 + 1] = True
    return found


def value(mask: torch.Tensor, truth: torch.Tensor) -> float:
    return float(iou(mask.expand_as(truth), truth).mean())


@pytest.mark.parametrize("seed", range(5))
def test_against_all_masks_there_are(seed):
    truth = masks(6, 3, 4, seed)
    best = max(value(torch.tensor(bits).view(3, 4), truth) for bits in itertools.product([False, True], repeat=12))
    found = constant_mask(truth)
    assert found.train_iou == pytest.approx(value(found.mask, truth))
    assert best - 0.02 <= found.train_iou <= best + 1e-9
    assert mean_mask(truth).train_iou <= found.train_iou


def test_no_single_pixel_makes_the_constant_mask_better():
    truth = masks(10, 8, 8)
    found = constant_mask(truth)
    for place in range(64):
        other = found.mask.clone().flatten()
        other[place] = ~other[place]
        assert value(other.view(8, 8), truth) <= found.train_iou + 1e-9


def test_the_mean_mask_is_cut_where_it_is_best():
    truth = masks(10, 8, 8)
    found = mean_mask(truth)
    mean = truth.float().mean(0)
    assert found.train_iou == pytest.approx(max(value(mean >= level, truth) for level in mean.unique() if level))
    torch.testing.assert_close(found.mask, mean >= found.threshold - 1e-6)
    assert found.predict(3).shape == (3, 8, 8)


def test_on_other_masks():
    train, other = masks(20, 8, 8), masks(9, 8, 8, seed=7)
    found = baselines(train, other)
    assert found["mean_mask_iou"] == pytest.approx(value(mean_mask(train).mask, other))
    predicted = constant_mask(train).predict(9)
    assert found["constant_mask_pooled_iou"] == pytest.approx(pooled_iou(predicted, other))
    assert len(found) == 8


def test_where_everything_is_empty():
    nothing = torch.zeros(3, 4, 4, dtype=torch.bool)
    for baseline in (mean_mask(nothing), constant_mask(nothing)):
        assert not baseline.mask.any() and baseline.train_iou == 1.0


def test_what_cannot_be_trained_on():
    with pytest.raises(ValueError, match=r"^training masks must be bool \(pictures, height, width\), at least one"):
        mean_mask(torch.zeros(0, 4, 4, dtype=torch.bool))


def test_a_prediction_is_held_against_the_masks_of_the_others():
    random = np.random.default_rng(3)
    own, scores = random.random((5, 6, 7)) < 0.4, random.random((5, 6, 7))
    found = []
    for one in range(5):
        for other in range(5):
            if one != other:
                predicted = scores[one] >= 0.5
                found.append((predicted & own[other]).sum() / (predicted | own[other]).sum())
    assert iou_with_others(torch.from_numpy(scores), torch.from_numpy(own)) == pytest.approx(np.mean(found))
    many = torch.from_numpy(random.random((40, 3, 3)) < 0.5)
    assert 0 < iou_with_others(many.double(), many) < 1  # of many pictures some of the others
    assert np.isnan(iou_with_others(many[:1].double(), many[:1]))
