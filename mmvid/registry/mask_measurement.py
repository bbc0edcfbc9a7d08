"""What a segmenter does on the split `gate`: how its masks overlap the true ones, what it costs, how sure that is."""

import time

import numpy as np
import torch

from mmvid.labelled import LabelledFrames
from mmvid.metrics.bootstrap import Mean, Measure
from mmvid.metrics.overlap import counts, dice_of
from mmvid.registry.measurement import SPLIT, Measured
from mmvid.segmentation.experiment import part_of, scored, splits_of
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation.predictions import MaskPredictions

_TIMED, _WARM = 20, 3  # pictures segmented one at a time, and those before that are not timed


class Pooled:
    """The IoU of all pixels of all pictures together, from each picture's (both, predicted, true), (N, 3)."""

    def __init__(self, counted: np.ndarray):
        self.both, self.union = counted[:, 0], counted[:, 1] + counted[:, 2] - counted[:, 0]

    def __call__(self, weights: np.ndarray) -> float:
        union = float(weights @ self.union)
        return float(weights @ self.both) / union if union else 1.0


def measure_masks(package: SegmenterPackage, labelled: LabelledFrames) -> Measured:
    """Segments the pictures of `gate` and times single ones.

    Raises:
        ValueError: if the split has no pictures.
    """
    rows = splits_of(labelled)
    frames, masks, ids = part_of(labelled, rows[SPLIT])
    if not ids:
        raise ValueError(
            f"{labelled.title} must have labelled frames in {SPLIT}, it has none: dev needs two trajectories or more"
        )
    scores = package.scores(frames)
    counted = counts(torch.from_numpy(scores), torch.from_numpy(masks), package.threshold)
    of_train = part_of(labelled, rows["train"])[1]
    found = scored(SPLIT, scores, masks, of_train, package.threshold)
    metrics = {name.removeprefix(f"{SPLIT}/"): value for name, value in found.items()}
    dice = dice_of(counted).numpy()
    overlaps = dice / (2 - dice)
    numbers = np.arange(len(ids))
    measures: dict[str, Measure] = {
        "iou": Mean(overlaps, numbers),
        "iou_pooled": Pooled(counted.numpy()),
        "dice": Mean(dice, numbers),
    }
    predictions = MaskPredictions(ids, scores, overlaps, package.threshold, package.key)
    return Measured(metrics | mask_costs(package, frames), measures, len(ids), predictions, labelled.digest)


def mask_costs(package: SegmenterPackage, frames: np.ndarray) -> dict[str, float]:
    """Parameters and megabytes of what a picture passes through, and the median milliseconds of one picture.

    Of an encoder only the weights that its latents depend on are counted where that can be told (`resnet`), else all.
    """
    spent = []
    for number in range(min(len(frames), _WARM + _TIMED)):
        started = time.perf_counter()
        package.scores(frames[number : number + 1])
        spent.append(1000 * (time.perf_counter() - started))
    weights = list(package.model.head.parameters())
    if package.encoder is not None:
        model = package.encoder.model
        weights += list((model.resnet if package.latent.latent == "resnet" else model).parameters())
    return {
        "parameters": float(sum(weight.numel() for weight in weights)),
        "megabytes": sum(weight.numel() * weight.element_size() for weight in weights) / 1e6,
        "milliseconds": float(np.median(spent[_WARM:] or spent)),
    }
