"""What a few labelled pictures teach: leave-one-out IoU of a U-Net, of a head on an encoder, of pre-trained ones.

    python -m benchmarks.few_masks --masks EXPORT [--encoder RUN] [--segmenter URI ...] [--epochs 60]

Each picture is held out once; of the others a fifth says when to stop and the rest is trained on. The encoder is a
run's id or models:/... Each segmenter is a model's URI, trained on other masks: it is measured as it is, and once its
head has gone on learning. The mean mask and the best constant mask are of all pictures but the one that is held out.
Intervals are of a bootstrap over the pictures; of eleven they are too narrow rather than too wide.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterable

import numpy as np
import torch

from mmvid import encoder_serving, segmentation_serving, segmenters
from mmvid.labelled import LabelledFrames
from mmvid.latents import LatentConfig
from mmvid.maskset import MasksConfig
from mmvid.metrics import overlap
from mmvid.metrics.bootstrap import Mean, bootstrap, interval
from mmvid.metrics.position_prior import baselines
from mmvid.presets import settle, unset
from mmvid.registry.versions import model_uri
from mmvid.runs import Command, home, load_run
from mmvid.segmentation import experiment
from mmvid.segmentation.experiment import Setup
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation.presets import HEADS, UNET
from mmvid.segmentation.training import SegmentConfig
from steps.train_unet import LabelConfig, labelled_of

DRAWS = 10_000
DEV_SHARE = 5  # every fifth of the pictures that are not held out


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", required=True, help="an export with masks, or a store")
    parser.add_argument("--target", default="robot", help="the category (default robot)")
    parser.add_argument("--encoder", default="", help="a VideoGPT: a run's id or models:/...")
    parser.add_argument("--head", default="attention", help="the head on it (default attention)")
    parser.add_argument("--segmenter", action="append", default=[], help="a segmenter trained on other masks: its URI")
    parser.add_argument("--epochs", type=int, default=60, help="epochs at most (default 60)")
    options = parser.parse_args(argv)
    with Command() as command:
        labels = LabelConfig(target=(options.target,), labelled=0)
        labelled = labelled_of(command, MasksConfig(masks=options.masks), labels).frames
    train = SegmentConfig(epochs=options.epochs, patience=15, batch_size=4, learning_rate=2e-3, decay=0.97)
    print(f"{len(labelled)} pictures of {labelled.title}, {options.target}; at most {options.epochs} epochs\n")
    print(f"| row | IoU, mean of {len(labelled)} [95 %] | least | optimiser steps to the best epoch, mean |")
    print("| --- | --- | --- | --- |")
    plain = [baselines(*(torch.from_numpy(each) for each in _masks(labelled, fold))) for fold in labelled.folds()]
    tell("mean mask", [float(each["mean_mask_iou"]) for each in plain])
    tell("best constant mask", [float(each["constant_mask_iou"]) for each in plain])
    tell("U-Net", *left_out(Setup("unet", sized("unet", UNET), train), labelled))
    if options.encoder:
        uri = options.encoder if options.encoder.startswith("models:/") else model_uri(load_run(options.encoder))
        encoder = encoder_serving.load_logged(uri)
        setup = Setup(options.head, sized(options.head, HEADS), train, encoder, LatentConfig(latent="resnet"))
        tell(f"{options.head} on resnet, encoder of {encoder.origin}", *left_out(setup, labelled))
    for uri in options.segmenter:
        start = segmentation_serving.load_logged(uri)
        named = f"{start.title} of {start.origin}"
        tell(f"{named}, as it is", measured(start.scores(labelled.frames), labelled.masks.any(1), start.threshold))
        setup = Setup(start.name, start.model.head.config, train, start.encoder, start.latent)
        tell(f"{named}, trained on", *left_out(setup, labelled, start))


def sized(name: str, presets: dict) -> object:
    """A segmenter's compact config."""
    kind = segmenters.load(name).Config
    return settle(kind, unset(kind)(), presets["compact"])


def left_out(
    setup: Setup, labelled: LabelledFrames, start: SegmenterPackage | None = None
) -> tuple[list[float], list[int]]:
    """The IoU of each picture by a segmenter that did not see it, and the steps of each."""
    found, steps = [], []
    for others, held in labelled.folds():
        splits = np.full(len(labelled), "train", object)
        splits[others[::DEV_SHARE]], splits[held] = "dev", "validate"
        # One trajectory: all of dev says when to stop, and none of it is kept for a gate.
        together = np.where(splits == "dev", "dev", labelled.trajectory)
        fold = dataclasses.replace(labelled, splits=tuple(splits.tolist()), trajectory=tuple(together.tolist()))
        outcome = experiment.run(setup, fold, key="few", caches=home() / "latents", start=start, progress=False)
        found += outcome.predictions["validate"].overlaps.tolist()
        steps.append(outcome.steps[0])
    return found, steps


def measured(scores: np.ndarray, masks: np.ndarray, threshold: float) -> list[float]:
    return overlap.iou(torch.from_numpy(scores), torch.from_numpy(masks), threshold).double().tolist()


def _masks(labelled: LabelledFrames, fold: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [labelled.masks[rows].any(1) for rows in fold]


def tell(row: str, overlaps: list[float], steps: list[int] | None = None) -> None:
    """Prints a row."""
    values = np.array(overlaps)
    measure = Mean(values, np.arange(len(values)))
    drawn = bootstrap({"iou": measure}, len(values), DRAWS, seed=0)["iou"]
    value, low, high = interval(float(values.mean()), drawn, 0.95)
    spent = f"{np.mean(steps):.0f}" if steps else ""
    print(f"| {row} | {value:.3f} [{low:.3f}, {high:.3f}] | {values.min():.3f} | {spent} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
