"""How much predicted masks overlap the true ones: IoU (Jaccard) and Dice (F1).

IoU is |P and M| / |P or M|, Dice 2 |P and M| / (|P| + |M|) = 2 IoU / (1 + IoU). They come in two ways: of each picture,
then the mean over pictures; and pooled, the pixels of all pictures counted together, so that large masks weigh more.

A picture without anything to see and with nothing predicted is 0 / 0. `empty` says what it counts as: `one`, as what
was to be said was said; `drop`, it is left out; `zero`. Where only one of the two is empty, IoU and Dice are 0. Pooled
values of no pixels at all are 1 with `one`, 0 with `zero`, else NaN.

The paper (Maier and Mohankumar 2024) does not define its IoU; programs that match it take the mean over pictures.

N pictures or masks of any shape after the first axis, such as (N, H, W). A score is a probability, a mask is bool.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from mmvid.metrics.bootstrap import Interval, Mean, bootstrap, interval

Empty = Literal["one", "drop", "zero"]
THRESHOLD = 0.5


def iou(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD, empty: Empty = "one") -> Tensor:
    """Intersection over union of each picture, float64 (N,).

    Args:
        scores: probabilities (N, ...), or masks bool; a pixel is predicted where it is at least `threshold`.
        masks: the truth, bool (N, ...).
        threshold: in (0, 1].
        empty: what a picture counts as where nothing is and nothing is predicted; NaN for `drop`.

    Raises:
        ValueError: if the shapes differ, the truth is not bool, or an option is unknown or out of range.
    """
    return iou_of(counts(scores, masks, threshold), empty)


def dice(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD, empty: Empty = "one") -> Tensor:
    """Dice of each picture, float64 (N,); see `iou`."""
    return dice_of(counts(scores, masks, threshold), empty)


def pooled_iou(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD, empty: Empty = "one") -> float:
    """Intersection over union of all pixels of all pictures; see `iou`."""
    return float(iou_of(counts(scores, masks, threshold).sum(0, keepdim=True), empty))


def pooled_dice(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD, empty: Empty = "one") -> float:
    """Dice of all pixels of all pictures; see `iou`."""
    return float(dice_of(counts(scores, masks, threshold).sum(0, keepdim=True), empty))


def counts(scores: Tensor, masks: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Pixels that are both, predicted, and true, of each picture, int64 (N, 3): all that the metrics need."""
    _check(scores, masks, threshold)
    predicted = (scores if scores.dtype == torch.bool else scores >= threshold).flatten(1)
    truth = masks.flatten(1)
    return torch.stack([(predicted & truth).sum(1), predicted.sum(1), truth.sum(1)], dim=1)


def iou_of(counted: Tensor, empty: Empty = "one") -> Tensor:
    """IoU of `counts`, float64 (N,)."""
    both, predicted, truth = counted.double().unbind(1)
    return ratio(both, predicted + truth - both, empty)


def dice_of(counted: Tensor, empty: Empty = "one") -> Tensor:
    """Dice of `counts`, float64 (N,)."""
    both, predicted, truth = counted.double().unbind(1)
    return ratio(2 * both, predicted + truth, empty)


class OverlapMeter(Metric):
    """IoU and Dice of all pictures since the last reset, over all processes; keeps three numbers a picture.

    Args:
        threshold: from which probability on a pixel is predicted.
        empty: see `iou`.
        kwargs: torchmetrics' own options.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counted: Any

    def __init__(self, threshold: float = THRESHOLD, empty: Empty = "one", **kwargs: Any):
        super().__init__(**kwargs)
        _check_options(threshold, empty)
        self.threshold, self.empty = threshold, empty
        self.add_state("counted", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, masks: Tensor) -> None:
        """Adds pictures; see `iou`."""
        self.counted.append(counts(scores, masks, self.threshold))

    def per_picture(self) -> dict[str, Tensor]:
        """`iou` and `dice` of each picture, float64 (N,), in the order of the updates; NaN for those dropped."""
        counted = self._all()
        return {"iou": iou_of(counted, self.empty), "dice": dice_of(counted, self.empty)}

    def compute(self) -> dict[str, float]:
        """`iou` and `dice`, means over pictures, `pooled_iou`, `pooled_dice`, `pictures`, and `empty` true masks.

        Raises:
            ValueError: if there were no pictures.
        """
        counted = self._all()
        if not len(counted):
            raise ValueError("the overlap of masks needs at least one picture, there were none")
        total = counted.sum(0, keepdim=True)
        found = {name: float(values.nanmean()) for name, values in self.per_picture().items()}
        found |= {"pooled_iou": float(iou_of(total, self.empty)), "pooled_dice": float(dice_of(total, self.empty))}
        return found | {"pictures": float(len(counted)), "empty": float((counted[:, 2] == 0).sum())}

    def _all(self) -> Tensor:
        kept = self.counted if isinstance(self.counted, list) else [self.counted]
        return torch.cat(kept) if kept else torch.empty(0, 3, dtype=torch.int64)


def interval_of(
    values: Sequence[float] | Tensor | np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The mean of values of pictures, and where it may lie by the bootstrap.

    Args:
        values: of each picture, (N,), such as its IoU; NaN is left out.
        groups: the trajectory of each, so that whole ones are drawn: frames of one are not independent. None draws
            pictures.
        draws: how many.
        seed: of the draws.
        confidence: share of the draws between the bounds.

    Raises:
        ValueError: if there are no values, or not as many groups.
    """
    values = np.asarray(values, np.float64)
    names = list(range(len(values))) if groups is None else list(groups)
    if len(names) != len(values):
        raise ValueError(f"groups must be one for each of {len(values)} values, got {len(names)}")
    kept = ~np.isnan(values)
    if not kept.any():
        raise ValueError("an interval needs at least one value, there were none")
    _, drawn = np.unique(np.array(names)[kept], return_inverse=True)
    number = int(drawn.max()) + 1
    found = bootstrap({"mean": Mean(values[kept], drawn)}, number, draws, seed)["mean"]
    return interval(float(values[kept].mean()), found, confidence)


def ratio(part: Tensor, whole: Tensor, empty: Empty) -> Tensor:
    """part / whole of whole numbers, float64; what 0 / 0 is, `empty` says."""
    value = {"one": 1.0, "drop": float("nan"), "zero": 0.0}[empty]
    return torch.where(whole > 0, part / whole.clamp_min(1), value)


def _check(scores: Tensor, masks: Tensor, threshold: float) -> None:
    _check_options(threshold, "one")
    if scores.shape != masks.shape or masks.ndim < 2:
        shapes = f"{tuple(scores.shape)} and {tuple(masks.shape)}"
        raise ValueError(f"scores and masks must have one shape (pictures, height, width), got {shapes}")
    if masks.dtype != torch.bool:
        raise ValueError(f"masks must be bool, got {masks.dtype}")


def _check_options(threshold: float, empty: str) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if empty not in ("one", "drop", "zero"):
        raise ValueError(f"empty must be one, drop or zero, got {empty!r}")
