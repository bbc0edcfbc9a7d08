"""What position alone can do, beside which a segmenter is measured: masks for which no picture is looked at.

A network whose input is noise still learns where the robot mostly is. Without these masks a control with noise proves
nothing; the paper (Maier and Mohankumar 2024) has none. Predictions that suit the masks of other pictures as well as
those of their own are such masks too, however much they vary.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmvid.metrics.overlap import THRESHOLD, Empty, OverlapMeter, iou, ratio

_LEVELS = 256  # thresholds of the mean mask that are tried at most
_SHIFTS = 16  # other pictures that a prediction is held against at most
_SWEEPS = 20  # of the search for the best constant mask; it ends when nothing changes


class Baseline(NamedTuple):
    """One mask for all pictures.

    Attributes:
        mask: bool (H, W).
        threshold: the share of the training masks from which on a pixel is in it; NaN for one that was searched for.
        train_iou: its mean IoU per picture on the training masks.
    """

    mask: Tensor
    threshold: float
    train_iou: float

    def predict(self, pictures: int) -> Tensor:
        """The mask for each picture, bool (N, H, W), a view."""
        return self.mask.expand(pictures, *self.mask.shape)


def mean_mask(train: Tensor) -> Baseline:
    """The mean of the training masks, cut at the level at which its mean IoU per picture on them is best.

    Args:
        train: masks, bool (N, H, W), at least one.
    """
    _check_train(train)
    mean = train.double().mean(0)
    levels = torch.unique(mean[mean > 0])
    levels = levels[torch.linspace(0, len(levels) - 1, min(len(levels), _LEVELS)).round().long()]
    best = Baseline(torch.zeros_like(train[0]), 1.0, _constant_iou(torch.zeros_like(train[0]), train))
    for level in levels.tolist():
        found = _constant_iou(mean >= level, train)
        if found > best.train_iou:
            best = Baseline(mean >= level, level, found)
    return best


def constant_mask(train: Tensor) -> Baseline:
    """The mask whose mean IoU per picture on the training masks is best, among what a search from `mean_mask` finds.

    Pixels are added and taken away one by one as long as that helps: no single pixel could make the result better on
    the training masks. It is the most that can be had there without looking, and may be less on others.

    Args:
        train: masks, bool (N, H, W), at least one.
    """
    _check_train(train)
    mask = mean_mask(train).mask.flatten().clone()
    truth = train.flatten(1)
    pixels = truth.any(0).nonzero()[:, 0].tolist()  # one that no training mask has only ever makes it worse
    columns = truth.T.double().contiguous()  # (pixels, N)
    both, union = (truth & mask).sum(1).double(), (truth | mask).sum(1).double()
    value = float(ratio(both, union, "one").mean())
    for _ in range(_SWEEPS):
        before = value
        for pixel in pixels:
            column, sign = columns[pixel], -1.0 if mask[pixel] else 1.0
            tried = both + sign * column, union + sign * (1 - column)
            found = float(ratio(*tried, "one").mean())
            if found > value + 1e-12:
                (both, union), value = tried, found
                mask[pixel] = not mask[pixel]
        if value == before:
            break
    return Baseline(mask.view(train.shape[1:]), float("nan"), value)


def baselines(train: Tensor, masks: Tensor, empty: Empty = "one") -> dict[str, float]:
    """The IoU of both baselines on other masks, mean per picture and pooled, by name.

    Args:
        train: masks that the baselines are made of, bool (N, H, W).
        masks: masks that they are held against, bool (M, H, W).
        empty: see `iou`.
    """
    found: dict[str, float] = {}
    for name, baseline in (("mean_mask", mean_mask(train)), ("constant_mask", constant_mask(train))):
        meter = OverlapMeter(empty=empty)
        meter.update(baseline.predict(len(masks)), masks)
        measured = meter.compute()
        found |= {f"{name}_{each}": measured[each] for each in ("iou", "dice", "pooled_iou", "pooled_dice")}
    return found


def iou_with_others(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD, empty: Empty = "one") -> float:
    """The mean IoU of predictions with the masks of other pictures than their own; NaN where there is one picture.

    Args:
        scores: probabilities (N, H, W).
        masks: the pictures' own masks, bool (N, H, W).
        threshold, empty: see `iou`.
    """
    others = len(masks) - 1
    if others < 1:
        return float("nan")
    predicted = scores >= threshold
    shifts = torch.linspace(1, others, min(others, _SHIFTS)).round().long().tolist()
    return sum(float(iou(predicted.roll(shift, 0), masks, empty=empty).mean()) for shift in shifts) / len(shifts)


def _constant_iou(mask: Tensor, masks: Tensor) -> float:
    return float(iou(mask.expand_as(masks), masks).mean())


def _check_train(train: Tensor) -> None:
    if train.ndim != 3 or not len(train) or train.dtype != torch.bool:
        shape = f"{train.dtype} {tuple(train.shape)}"
        raise ValueError(f"training masks must be bool (pictures, height, width), at least one, got {shape}")
