"""IoU and Dice against plain loops over pixels, the conventions for empty masks, and the masks of position alone."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from mmvid.metrics.overlap import OverlapMeter, dice, interval_of, iou, pooled_dice, pooled_iou


def examples(pictures: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and masks of some pictures; the first two are empty in truth, the second and third as predicted."""
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(pictures, 5, 7, generator=generator)
    masks = torch.rand(pictures, 5, 7, generator=generator) < 0.3
    masks[0] = masks[1] = False
    scores[1] = scores[2] = 0.1
    return scores, masks


def looped(scores: torch.Tensor, masks: torch.Tensor, threshold: float) -> list[tuple[int, int, int]]:
    """Pixels in both, in one at least, in either summed, of each picture, counted one by one."""
    found = []
    for picture, truth in zip(scores.tolist(), masks.tolist(), strict=True):
        both = union = total = 0
        for score_row, truth_row in zip(picture, truth, strict=True):
            for score, there in zip(score_row, truth_row, strict=True):
                predicted = score >= threshold
                both += predicted and there
                union += predicted or there
                total += predicted + there
        found.append((both, union, total))
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("empty", ["one", "zero", "drop"])
def test_against_plain_loops(threshold, empty):
    scores, masks = examples()
    nothing = {"one": 1.0, "zero": 0.0, "drop": math.nan}[empty]
    plain = looped(scores, masks, threshold)
    ious = [both / union if union else nothing for both, union, _ in plain]
    dices = [2 * both / total if total else nothing for both, _, total in plain]
    np.testing.assert_allclose(iou(scores, masks, threshold, empty), ious)
    np.testing.assert_allclose(dice(scores, masks, threshold, empty), dices)
    both, union, total = map(sum, zip(*plain, strict=True))
    assert pooled_iou(scores, masks, threshold, empty) == pytest.approx(both / union)
    assert pooled_dice(scores, masks, threshold, empty) == pytest.approx(2 * both / total)
    meter = OverlapMeter(threshold, empty)
    for part in (slice(0, 5), slice(5, 6), slice(6, None)):
        meter.update(scores[part], masks[part])
    np.testing.assert_array_equal(meter.per_picture()["iou"], iou(scores, masks, threshold, empty))
    wanted = {"iou": np.nanmean(ious), "dice": np.nanmean(dices), "pooled_iou": both / union}
    found = meter.compute()
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert (found["pictures"], found["empty"]) == (12, 2)


def test_against_scikit_learn():
    scores, masks = (each[3:] for each in examples())
    for score, mask, one, other in zip(scores, masks, iou(scores, masks), dice(scores, masks), strict=True):
        predicted = (score >= 0.5).flatten().numpy()
        assert float(one) == pytest.approx(jaccard_score(mask.flatten().numpy(), predicted))
        assert float(other) == pytest.approx(f1_score(mask.flatten().numpy(), predicted))


def test_masks_as_scores_and_nothing_at_all():
    masks = examples()[1]
    assert iou(masks, masks).tolist() == [1.0] * 12
    nothing = torch.zeros(3, 4, 4, dtype=torch.bool)
    assert pooled_iou(nothing, nothing) == 1.0 and pooled_iou(nothing, nothing, empty="zero") == 0.0
    assert math.isnan(pooled_dice(nothing, nothing, empty="drop"))


@pytest.mark.parametrize(
    ("scores", "masks", "options", "sentence"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4).bool(), {}, "scores and masks must have one shape"),
        (torch.zeros(2), torch.zeros(2).bool(), {}, "scores and masks must have one shape"),
        (torch.zeros(2, 3), torch.zeros(2, 3), {}, "masks must be bool, got torch.float32"),
        (torch.zeros(2, 3), torch.zeros(2, 3).bool(), {"threshold": 0.0}, "threshold must be above 0 and at most 1"),
    ],
)
def test_what_cannot_be_compared(scores, masks, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        iou(scores, masks, **options)


def test_a_meter_without_pictures():
    with pytest.raises(ValueError, match="^the overlap of masks needs at least one picture"):
        meter = OverlapMeter()
        meter.update(torch.zeros(0, 4, 4), torch.zeros(0, 4, 4).bool())
        meter.compute()
    with pytest.raises(ValueError, match="^empty must be one, drop or zero, got 'two'$"):
        OverlapMeter(empty="two")


def test_a_state_that_was_gathered_from_processes():
    """torchmetrics makes one tensor of the list."""
    scores, masks = examples()
    meter = OverlapMeter()
    meter.update(scores, masks)
    wanted = meter.compute()
    meter.counted = torch.cat(meter.counted)
    meter._computed = None
    assert meter.compute() == wanted


def test_an_interval_draws_whole_trajectories():
    generator = np.random.default_rng(0)
    trajectories = [str(number) for number in range(20) for _ in range(10)]
    values = np.repeat(generator.random(20), 10)
    alone = interval_of(values)
    together = interval_of(values, groups=trajectories)
    assert alone.value == together.value == pytest.approx(values.mean())
    assert together.high - together.low > 2 * (alone.high - alone.low)  # 20 things are known, not 200
    wanted = 2 * 1.96 * values.std() / np.sqrt(20)
    assert together.high - together.low == pytest.approx(wanted, rel=0.15)
    with_gaps = interval_of([*values, math.nan])
    assert with_gaps.value == pytest.approx(alone.value)
    with pytest.raises(ValueError, match="^groups must be one for each of 3 values, got 2$"):
        interval_of([1, 2, 3], groups=["a", "b"])
    with pytest.raises(ValueError, match="^an interval needs at least one value"):
        interval_of([math.nan])
