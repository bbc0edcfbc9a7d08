"""Train the U-Net on labelled frames and log it to MLflow: the baseline of every head on latents.

    mlflow run . -e train_unet --env-manager local
    python -m steps.train_unet --preset paper --masks /data/masks

Reads  the labelled frames of --masks (the demo is made if it is `demo` and not there yet).
Logs   config.json, train/loss and dev/* for each epoch, IoU and Dice on gate and validate beside those of the mean mask
       and of the best constant mask, a gallery with the worst pictures first, predicted masks, the model.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from mmvid import packaging, segmentation_serving
from mmvid.animation import write_png
from mmvid.clips.store import ClipStore
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.labelled import LabelledFrames, open_labelled
from mmvid.maskset import MasksConfig, open_masks
from mmvid.presets import settle, unset
from mmvid.runs import Command, Finished, Run, RunConfig, home
from mmvid.segmentation import experiment
from mmvid.segmentation import package as packages
from mmvid.segmentation import predictions as mask_predictions
from mmvid.segmentation.experiment import Outcome, Setup
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation.pictures import gallery
from mmvid.segmentation.presets import UNET, SegmentPresetConfig
from mmvid.segmentation.training import SegmentConfig
from mmvid.segmenters import unet
from mmvid.subjects import LABELLED

SHARES = (0.60, 0.20, 0.20)  # train, dev (half of it becomes gate), validate


class LabelConfig(Options):
    """Labelled frames."""

    target: tuple[str, ...] = option(
        (), "categories that together are the mask; none: `categories`, else `robot` if there is one, else all"
    )
    labelled: int = option(250, "frames that are labelled, spread over the trajectories; 0 for all there are", ge=0)
    label_seed: int = option(0, "seed of which ones", ge=0)


PARTS = (SegmentPresetConfig, unset(unet.Config), unset(SegmentConfig), LabelConfig, MasksConfig, RunConfig)


def main(argv: list[str]) -> None:
    read = parse(argv, *PARTS, about=__doc__)
    with Command() as command:
        finished = train(command, read, own=True)
    tell(finished)


def train(command: Command, read: tuple[Options, ...], *, own: bool = False) -> Finished:
    """The finished run of a U-Net with these options, trained now if there is none."""
    size, options, config, labels, masks, control = read
    preset = UNET[size.preset]
    setup = Setup("unet", settle(unet.Config, options, preset), settle(SegmentConfig, config, preset))
    return find_or_train(command, setup, labelled_of(command, masks, labels), force=control.force, own=own)


class Labelled(NamedTuple):
    """Labelled frames, the store that they are of, and how they were chosen: what `open_labelled` is called with."""

    frames: LabelledFrames
    store: ClipStore
    chosen: dict[str, Any]


def labelled_of(command: Command, masks: MasksConfig, labels: LabelConfig) -> Labelled:
    """The labelled frames that are asked for."""
    store = open_masks(command, masks)
    robot = [name for name in store.categories if name == "robot"]
    chosen = {
        "categories": list(labels.target or masks.categories or robot or store.categories),
        "limit": labels.labelled or None,
        "seed": labels.label_seed,
        "shares": list(SHARES),
    }
    return Labelled(open_labelled(store, **chosen), store, chosen)


def find_or_train(
    command: Command, setup: Setup, labelled: Labelled, *, force: bool = False, own: bool = False
) -> Finished:
    """The finished run of a setup, trained now if there is none."""
    frames, store = labelled.frames, labelled.store
    task = setup.task(frames)
    checkpoints = home() / "checkpoints" / task.key
    if force:
        shutil.rmtree(checkpoints, ignore_errors=True)

    def compute(run: Run) -> None:
        run.json("config.json", setup.describe())
        run.dataset(frames.title, frames.digest, str(store.folder), frames.census(), context="train")
        outcome = experiment.run(
            setup, frames, key=task.key, caches=home() / "latents", report=run.report, checkpoints=checkpoints
        )
        log_outcome(run, outcome)
        run.tags({"mmvid.data.store": store.folder, LABELLED: json.dumps(labelled.chosen)})
        shutil.rmtree(checkpoints, ignore_errors=True)

    return command.find_or_run(task, compute, force=force, own=own)


def log_outcome(run: Run, outcome: Outcome) -> None:
    """Logs what was measured, the gallery, the predicted masks and the model."""
    found = outcome.metrics()
    of_epochs = outcome.fitted.history[0]  # dev/* are logged for each epoch; of the best one there is `dev/best_iou`
    run.report({name: value for name, value in found.items() if name not in of_epochs})
    run.report({"dev/best_iou": found["dev/iou"]} | {f"seconds/{name}": took for name, took in outcome.seconds.items()})
    run.report({"best_epoch": float(outcome.fitted.best_epoch), "epochs_trained": float(len(outcome.fitted.history))})
    for split, found in outcome.predictions.items():
        with run.file(f"predictions/{split}.arrow") as path:
            mask_predictions.write(found, path)
    found = outcome.predictions["validate"]
    picture = gallery(outcome.frames, outcome.masks, found.scores >= found.threshold, found.overlaps, found.ids)
    run.image("gallery", picture, 0)
    with run.file("gallery.png") as path:
        write_png(path, picture)
    log_package(run, outcome.package)
    run.describe(f"{outcome.package.title}, {outcome.package.origin}. {outcome.summary()}")


def log_package(run: Run, package: SegmenterPackage) -> None:
    """Logs a segmenter as a model of the run."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "package"
        packages.save(package, folder)
        uri = segmentation_serving.log_model(package, folder, packaging.pinned_requirements())
    run.tags({"mmvid.model": uri})


def tell(finished: Finished) -> None:
    """Prints what a run came to."""
    print(f"{finished.run.info.run_name}\n{finished.tags['mlflow.note.content']}\nrun {finished.id}")


if __name__ == "__main__":
    run_command(main)
