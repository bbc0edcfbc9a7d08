"""One training of a segmenter: latents -> fit -> predict -> score. Steps, searches and tables call it."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvid import latents, segmenters
from mmvid.config import Options, deciding, option
from mmvid.encoder_package import EncoderPackage
from mmvid.labelled import LabelledFrames
from mmvid.latents import LatentConfig
from mmvid.loop import Fitted, Report
from mmvid.metrics import overlap
from mmvid.metrics.position_prior import baselines, iou_with_others
from mmvid.segmentation.augmentation import Augmentation
from mmvid.segmentation.batches import MaskLoader
from mmvid.segmentation.model import Encode, Segmentation, train_only_what_is_used
from mmvid.segmentation.package import SegmenterPackage, encoding, frame_pixels, on_frames
from mmvid.segmentation.predictions import MaskPredictions
from mmvid.segmentation.training import SegmentConfig, fit
from mmvid.tasks import Task

SPLITS = ("dev", "gate", "validate")
AT_ONCE = 64  # pictures measured at once


class EncoderUse(Options):
    """What the head reads of the encoder."""

    finetune: bool = option(False, "train the encoder as well, with a learning rate of its own; latent=resnet only")
    encoder_learning_rate: float = option(1e-4, "of a trained encoder", gt=0, search=(1e-6, 1e-3), log=True)
    standardise: bool = option(True, "channels of mean 0 and deviation 1 over train; the paper feeds codes as they are")


@dataclasses.dataclass(frozen=True)
class Setup:
    """A segmenter by name, its options, how to train it, and on which latents of which encoder.

    A segmenter of frames has neither encoder nor latents.
    """

    name: str
    head: Options
    train: SegmentConfig
    encoder: EncoderPackage | None = None
    latent: LatentConfig | None = None
    use: EncoderUse = EncoderUse()

    def __post_init__(self):
        if self.encoder is None:
            return
        latents.shape(self.encoder, self.latent)  # says so where the encoder has no such latents
        changed = self.augmentation.changes
        if self.latent.latent != "resnet" and (self.use.finetune or changed):
            asked = "finetune" if self.use.finetune else "flip, colour and crop"
            raise ValueError(
                f"{asked} must be left out for latent={self.latent.latent}: these latents are computed once, from "
                "frames as they are, and no gradient leads through them; latent=resnet can be computed at each step"
            )

    @property
    def augmentation(self) -> Augmentation:
        train = self.train
        return Augmentation(train.flip, train.colour, train.crop, train.seed)

    @property
    def on_the_way(self) -> bool:
        """Whether latents are computed at each step, as they change from step to step, and not once for all."""
        return self.encoder is not None and (self.use.finetune or self.augmentation.changes)

    def options(self) -> dict[str, Any]:
        """The options that decide the result."""
        parts = [self.head, self.train] + ([self.latent, self.use] if self.encoder else [])
        found = {name: value for part in parts for name, value in deciding(part).items()}
        if not self.use.finetune:
            found.pop("encoder_learning_rate", None)
        return found

    def task(self, labelled: LabelledFrames) -> Task:
        """The run that this setup on these labelled frames is."""
        inputs = {"masks": labelled.digest} | ({"encoder": self.encoder.key} if self.encoder else {})
        what = f" on {self.latent.latent} of {self.encoder.name}" if self.encoder else ""
        tuned = ", fine-tuned" if self.encoder and self.use.finetune else ""
        return Task(
            entry="train_segmentation" if self.encoder else f"train_{self.name}",
            options={"head": self.name, "target": list(labelled.categories)} | self.options(),
            inputs=inputs,
            modules=("mmvid.segmentation.experiment", f"mmvid.segmenters.{self.name}"),
            name=f"{self.name}{what}{tuned}, {labelled.title}, seed {self.train.seed}",
        )

    def describe(self) -> dict[str, Any]:
        """The setup as JSON: what config.json of a run holds."""
        described = {
            "segmenter": self.name,
            "head": self.head.model_dump(mode="json", by_alias=True),
            "train": self.train.model_dump(mode="json", by_alias=True),
        }
        if self.encoder is None:
            return described
        found = {"encoder": self.encoder.key, "encoder_name": self.encoder.name, "trained_on": self.encoder.origin}
        return described | found | {"latent": self.latent.model_dump(mode="json"), "use": self.use.model_dump()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        package: the trained segmenter, with the weights of its best epoch.
        fitted: the history of its training.
        steps: optimiser steps up to the best epoch, and in all.
        predictions: split -> predicted masks, of the splits that have pictures.
        measured: the metrics, by the names that they are logged under.
        frames, masks: the pictures of `validate`, uint8 (N, H, W, 3), and their true masks, bool (N, H, W).
        seconds: stage -> wall seconds.
    """

    package: SegmenterPackage
    fitted: Fitted
    steps: tuple[int, int]
    predictions: dict[str, MaskPredictions]
    measured: dict[str, float]
    frames: np.ndarray
    masks: np.ndarray
    seconds: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """What is logged."""
        best, steps = self.steps
        return self.measured | {"steps": float(steps), "best_steps": float(best)}

    def summary(self) -> str:
        """One line for people."""
        names = {"": "IoU", "_pooled": "pooled"}
        told = [f"{said} {self.measured[f'validate/iou{name}']:.4f}" for name, said in names.items()]
        told.append(f"Dice {self.measured['validate/dice']:.4f}")
        plain = {"mean_mask": "the mean mask", "constant_mask": "the best constant mask"}
        beside = [f"{said} {self.measured[f'validate/{name}/iou']:.4f}" for name, said in plain.items()]
        best, steps = self.steps
        cost = (
            f"{len(self.masks)} pictures; {steps} steps, the best after {best}; {self.seconds['fit']:.0f} s of training"
        )
        return f"validate {', '.join(told)}; {', '.join(beside)} ({cost})"


def run(
    setup: Setup,
    labelled: LabelledFrames,
    *,
    key: str,
    caches: Path,
    start: SegmenterPackage | None = None,
    report: Report = lambda metrics, epoch: None,
    checkpoints: Path | None = None,
    progress: bool = True,
) -> Outcome:
    """Trains on `train`, keeps the best epoch on `dev`, and measures on the other splits.

    Args:
        setup: what to train and how.
        labelled: frames with masks; all its categories together are the mask.
        key: the key of the run, which the package carries.
        caches: the folder of frozen encoders' latents.
        start: a segmenter of the same setup, trained on other masks, whose head goes on learning here.
        report: hears of each epoch.
        checkpoints: where training keeps its state, to go on after a kill.
        progress: whether to show progress bars.

    Raises:
        ValueError: if a split that is needed has no pictures, or the frames do not suit the encoder.
    """
    parts = {split: part_of(labelled, rows) for split, rows in splits_of(labelled).items()}
    for split in ("train", "dev", "validate"):
        if not len(parts[split][1]):
            raise ValueError(f"{labelled.title} must have labelled frames in {split}, it has none")
    height, width = labelled.frames.shape[1:3]
    if setup.encoder is not None and height != width:
        raise ValueError(
            f"frames must be square for an encoder, {labelled.title} has {height} x {width}; "
            "clip_resolution cuts them when they are ingested"
        )
    torch.manual_seed(setup.train.seed)
    device, seconds, started = fastest_device(), {}, time.monotonic()
    if setup.encoder is not None:
        setup.encoder.model.to(device)
    inputs = {split: _inputs(setup, frames, ids, caches, progress) for split, (frames, _, ids) in parts.items() if ids}
    model = _model(setup, inputs["train"], parts["train"][1].shape[1:])
    if start is not None:
        model.go_on_from(start.model)
    seconds["latents"], started = time.monotonic() - started, time.monotonic()
    train = MaskLoader(
        inputs["train"],
        parts["train"][1],
        setup.train.batch_size,
        shuffle=True,
        augmentation=setup.augmentation if setup.augmentation.changes else None,
        seed=setup.train.seed,
    )
    dev = MaskLoader(inputs["dev"], parts["dev"][1], AT_ONCE)
    fitted = fit(
        model,
        train,
        dev,
        setup.train,
        encoder_learning_rate=setup.use.encoder_learning_rate,
        checkpoints=checkpoints,
        report=report,
        progress=progress,
    )
    seconds["fit"], started = time.monotonic() - started, time.monotonic()
    model.eval().to(device)
    predictions, measured = {}, {}
    for split in SPLITS:
        if split in inputs:
            _, masks, ids = parts[split]
            predictions[split] = _predict(model, inputs[split], masks, ids, setup.train.threshold, key)
            measured |= scored(split, predictions[split].scores, masks, parts["train"][1], setup.train.threshold)
    seconds["measure"] = time.monotonic() - started
    return Outcome(
        package=_package(setup, model, labelled, key),
        fitted=fitted,
        steps=((fitted.best_epoch + 1) * len(train), len(fitted.history) * len(train)),
        predictions=predictions,
        measured=measured,
        frames=parts["validate"][0],
        masks=parts["validate"][1],
        seconds=seconds,
    )


def splits_of(labelled: LabelledFrames) -> dict[str, np.ndarray]:
    """The rows of train, dev, gate and validate; gate is every second trajectory of the labelled frames' own dev.

    The splits of clips have no gate: a promotion must not be decided by the pictures that chose when to stop, nor by
    those that are reported. Of a dev of one trajectory nothing is left for it.
    """
    rows = {split: labelled.rows(split) for split in ("train", "dev", "validate")}
    of_dev = [labelled.trajectory[row] for row in rows["dev"]]
    gate = np.isin(of_dev, list(dict.fromkeys(of_dev))[1::2])
    return rows | {"dev": rows["dev"][~gate], "gate": rows["dev"][gate]}


def part_of(labelled: LabelledFrames, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Frames uint8 (N, H, W, 3), masks bool (N, H, W) of all categories together, and ids."""
    taken = labelled.take(rows)
    return taken.frames, taken.masks.any(1), list(taken.ids)


def scored(split: str, scores: np.ndarray, masks: np.ndarray, train: np.ndarray, threshold: float) -> dict[str, float]:
    """The overlap of predicted masks with the true ones and with those of other pictures, and that of the baselines.

    Args:
        split: the metrics' prefix.
        scores: probabilities (N, H, W).
        masks: the true masks, bool (N, H, W).
        train: the masks of train, which the baselines are made of.
        threshold: from which on a pixel is in the mask.
    """
    meter = overlap.OverlapMeter(threshold)
    meter.update(torch.from_numpy(scores), torch.from_numpy(masks))
    found = {name: float(value) for name, value in meter.compute().items()}
    plain = baselines(torch.from_numpy(train), torch.from_numpy(masks))
    others = iou_with_others(torch.from_numpy(scores), torch.from_numpy(masks), threshold)
    return {
        f"{split}/iou": found["iou"],
        f"{split}/iou_pooled": found["pooled_iou"],
        f"{split}/dice": found["dice"],
        f"{split}/dice_pooled": found["pooled_dice"],
        f"{split}/mean_mask/iou": float(plain["mean_mask_iou"]),
        f"{split}/constant_mask/iou": float(plain["constant_mask_iou"]),
    } | ({} if math.isnan(others) else {f"{split}/other_masks/iou": others})


def _inputs(setup: Setup, frames: np.ndarray, ids: list[str], caches: Path, progress: bool) -> np.ndarray:
    """What the model reads of frames: the frames themselves, or their latents, from the cache where there are some."""
    if setup.encoder is None or setup.on_the_way:
        return frame_pixels(frames).numpy()
    return latents.compute(setup.encoder, setup.latent, frames, ids, cache=caches, progress=progress)


def _model(setup: Setup, train: np.ndarray, size: tuple[int, int]) -> Segmentation:
    """The untrained model, which knows the scale of what its head reads in train.

    Args:
        setup: what to build.
        train: what `_inputs` made of train.
        size: height and width of the masks.
    """
    member = segmenters.load(setup.name)
    encode = encoder = None
    if setup.on_the_way:
        encode = encoding(setup.encoder, setup.latent)
        encoder = setup.encoder.model if setup.use.finetune else None
    if encoder is not None:
        train_only_what_is_used(encoder, encode(torch.from_numpy(train[:1]).to(fastest_device())))
    read = train if encode is None else _encoded(encode, train)
    model = Segmentation(member.Model(setup.head, read.shape[1:], size), encode, encoder)
    if setup.encoder is not None and setup.use.standardise:
        model.standardise(*channel_moments(read))
    return model


@torch.no_grad()
def _encoded(encode: Encode, frames: np.ndarray) -> np.ndarray:
    parts = [frames[begin : begin + AT_ONCE] for begin in range(0, len(frames), AT_ONCE)]
    return np.concatenate([encode(torch.from_numpy(part).to(fastest_device())).cpu().numpy() for part in parts])


def channel_moments(read: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the deviation of each channel of (N, C, h, w), float32 (C,) each."""
    values = np.asarray(read, np.float64)
    moments = values.mean((0, 2, 3)), values.std((0, 2, 3))
    return tuple(torch.from_numpy(each.astype(np.float32)) for each in moments)


@torch.inference_mode()
def _predict(
    model: Segmentation, inputs: np.ndarray, masks: np.ndarray, ids: list[str], threshold: float, key: str
) -> MaskPredictions:
    device = fastest_device()
    batches = MaskLoader(inputs, masks, AT_ONCE)
    scores = torch.cat([model(batch.inputs.to(device)).float().sigmoid().cpu() for batch in batches])
    overlaps = overlap.iou(scores, torch.from_numpy(masks), threshold).double().numpy()
    return MaskPredictions(ids, scores.numpy(), overlaps, threshold, key)


def _package(setup: Setup, model: Segmentation, labelled: LabelledFrames, key: str) -> SegmenterPackage:
    """The trained model as one that reads frames, on the CPU."""
    encoder = setup.encoder
    if encoder is not None:
        # What made the weights of a trained encoder is this run.
        tuned = {"key": f"{key}.encoder"} if setup.use.finetune else {}
        encoder = dataclasses.replace(encoder, model=encoder.model.cpu().eval(), **tuned)
    whole = on_frames(model.head.cpu(), encoder, setup.latent)
    whole.shift, whole.scale = model.shift.cpu(), model.scale.cpu()
    return SegmenterPackage(
        model=whole.eval(),
        frame=labelled.frames.shape[1:3],
        target=tuple(labelled.categories),
        threshold=setup.train.threshold,
        key=key,
        origin=labelled.title,
        encoder=encoder,
        latent=setup.latent,
    )


def fastest_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
