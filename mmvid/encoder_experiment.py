"""One training of an encoder on clips: data -> codes -> fit -> measure. Steps, searches and tables call it."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmvid import encoders
from mmvid.clip_evaluation import (
    Nearness,
    Predictions,
    copied,
    device_of,
    first_clips,
    measure_predictions,
    measure_reconstructions,
    reconstruct,
)
from mmvid.clips.batches import ClipBatch, as_bytes
from mmvid.clips.loader import ClipLoader
from mmvid.clips.store import ClipStore
from mmvid.config import Options, deciding, option
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import Encoder, videogpt, vqvae
from mmvid.feature_cache import Windows, features_of
from mmvid.loop import Fitted, Precision, Report
from mmvid.pretraining import CodedLoader, PretrainConfig, fit
from mmvid.runs import Task

MEASURE_BATCH = 8  # clips measured at once; what is found does not depend on it
SHOWN = 4  # clips in a picture

Show = Callable[[dict[str, np.ndarray], int], None]


class WindowConfig(Options):
    """Windows of the clips."""

    frame_stride: int = option(1, "from one frame of a window to the next", ge=1)


class MeasureConfig(Options):
    """Measures and pictures."""

    measured_clips: int = option(64, "clips of validate that are measured at most", ge=1)
    samples: int = option(1, "predictions of each of them", ge=1)
    temperature: float = option(1.0, "of the predictions' sampling; 0 takes the likeliest code", ge=0)
    top_k: int = option(0, "codes that sampling draws among; 0 for all", ge=0)


@dataclasses.dataclass(frozen=True)
class Setup:
    """An encoder by name, its options, how to train it, on which windows, and how it is measured."""

    name: str
    model: Options
    train: PretrainConfig
    windows: WindowConfig
    measure: MeasureConfig
    part: EncoderPackage | None = None
    code_precision: Precision = "32"  # of a VideoGPT: the arithmetic of its VQ-VAE's encoding

    def task(self, store: ClipStore) -> Task:
        """The run that this setup on this data set is."""
        inputs = {"data": store.digest} | ({"vqvae": self.part.key} if self.part else {})
        options = deciding(self.model) | deciding(self.train) | deciding(self.windows) | deciding(self.measure)
        options |= {"code_precision": self.code_precision} if self.part else {}
        return Task(
            entry=f"train_{self.name}",
            options=options,
            inputs=inputs,
            modules=("mmvid.encoder_experiment", f"mmvid.encoders.{self.name}"),
            name=f"{self.name} on {store.name}, seed {self.train.seed}",
        )

    def describe(self) -> dict[str, Any]:
        """The setup as JSON: what config.json of a run holds."""
        parts = {
            "model": self.model,
            "train": self.train,
            "windows": self.windows,
            "measure": self.measure,
        }
        described = {name: part.model_dump(mode="json", by_alias=True) for name, part in parts.items()}
        frozen = {"vqvae": self.part.key, "code_precision": self.code_precision} if self.part else {}
        return {"encoder": self.name, **described} | frozen


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        package: the trained encoder, with the weights of its best check.
        fitted: the history of its training.
        measured: what was measured on `validate`: of a VQ-VAE its reconstructions, of a VideoGPT its predictions.
        shown: name -> uint8 clips (N, T, H, W, 3) of `validate`, for pictures.
        seconds: stage -> wall seconds.
        changed: share of the codes that the encoding's arithmetic changed, over as many clips of dev as are measured of
            `validate`; None where it is float32.
    """

    package: EncoderPackage
    fitted: Fitted
    measured: Nearness | Predictions
    shown: dict[str, np.ndarray]
    seconds: dict[str, float]
    changed: float | None = None

    def metrics(self) -> dict[str, float]:
        """The means, by the names that they are logged under."""
        return {f"validate/{name}": value for part, each in self.parts().items() for name, value in named(part, each)}

    def curves(self) -> dict[str, np.ndarray]:
        """PSNR and SSIM by time step, (T,) each, by name."""
        return {
            f"validate/{part}{name}_by_step": values
            for part, each in self.parts().items()
            for name, values in each.curves().items()
        }

    def parts(self) -> dict[str, Nearness]:
        """What was measured, by the prefix of its metrics."""
        if isinstance(self.measured, Nearness):
            return {"": self.measured}
        found = self.measured
        return {"": found.samples, "best_": found.best, "copy_": found.copies, "reconstruction_": found.ceiling}

    def summary(self) -> str:
        """One line for people: what was measured, on how many clips, from how many given frames."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics().items())
        first = self.measured if isinstance(self.measured, Nearness) else self.measured.samples
        given = f", from {first.given} given" if first.given else ""
        return (
            f"{shown} ({first.clips} clips of {len(first.psnr)} frames{given}; {self.seconds['fit']:.0f} s of training)"
        )


def named(part: str, nearness: Nearness) -> list[tuple[str, float]]:
    """The means with their prefix."""
    return [(f"{part}{name}", value) for name, value in nearness.means().items()]


def run(
    setup: Setup,
    store: ClipStore,
    *,
    key: str,
    caches: Path,
    report: Report = lambda metrics, check: None,
    show: Show | None = None,
    checkpoints: Path | None = None,
    progress: bool = True,
) -> Outcome:
    """Trains on `train`, keeps the best check on `dev`, and measures on `validate`.

    Args:
        setup: what to train and how; of a VideoGPT with its frozen VQ-VAE as `part`.
        store: the data set.
        key: the key of the run, which the package carries.
        caches: the folder of frozen encoders' features.
        report: hears of each check.
        show: is given pictures of clips of dev at each check: name -> uint8 (N, T, H, W, 3), and the check's number.
        checkpoints: where training keeps its state, to go on after a kill.
        progress: whether to show progress bars.

    Raises:
        ValueError: if a split that is needed has no clips, or none long enough.
    """
    for split in ("train", "dev", "validate"):
        if store.count(split) == 0:
            raise ValueError(f"{store.folder} must have clips in {split}, it has none")
    torch.manual_seed(setup.train.seed)
    model = build(setup)
    source = model.vqvae if isinstance(model, videogpt.Model) else model
    seconds: dict[str, float] = {}
    changed: float | None = None
    started = time.monotonic()
    if isinstance(model, videogpt.Model):
        train, dev = (coded(setup, store, model, split, caches, progress) for split in ("train", "dev"))
        seconds["codes"] = time.monotonic() - started
        if setup.code_precision != "32":
            clips = first_clips(whole(setup, store, source, "dev", MEASURE_BATCH), setup.measure.measured_clips)
            changed = changed_codes(clips, source, dev.codes)
    else:
        train = whole(setup, store, source, "train", setup.train.batch_size, shuffle=True)
        dev = whole(setup, store, source, "dev", MEASURE_BATCH)
    listeners: list[Callback] = []
    if show is not None:
        watched = next(iter(first_clips(whole(setup, store, source, "dev", SHOWN), SHOWN)))
        listeners.append(Showing(lambda model, check: show(pictures(model, watched, setup.measure), check)))
    started = time.monotonic()
    fitted = fit(
        model, train, dev, setup.train, checkpoints=checkpoints, report=report, callbacks=listeners, progress=progress
    )
    seconds["fit"] = time.monotonic() - started
    started = time.monotonic()
    model.eval().to(fastest_device())
    measured = measure(model, setup, store)
    shown = pictures(model, next(iter(whole(setup, store, source, "validate", SHOWN))), setup.measure)
    seconds["measure"] = time.monotonic() - started
    package = EncoderPackage(model.cpu(), key, store.title, setup.windows.frame_stride)
    return Outcome(package, fitted, measured, shown, seconds, changed)


def build(setup: Setup) -> Encoder:
    """The untrained encoder of a setup."""
    member = encoders.load(setup.name)
    return member.Model(setup.model) if setup.part is None else member.Model(setup.model, setup.part.model)


def whole(
    setup: Setup, store: ClipStore, source: vqvae.Model, split: str, size: int, *, shuffle: bool = False
) -> ClipLoader:
    """Clips of a split as the VQ-VAE reads them: in train random windows, else every clip's first."""
    return ClipLoader(
        store,
        split,
        size,
        frames=source.config.sequence_length,
        stride=setup.windows.frame_stride,
        windows="random" if shuffle else "first",
        resolution=source.config.resolution,
        shuffle=shuffle,
        seed=setup.train.seed,
    )


def coded(
    setup: Setup, store: ClipStore, model: videogpt.Model, split: str, caches: Path, progress: bool
) -> CodedLoader:
    """The windows of a split with their codes, which are computed once for this VQ-VAE and this store."""
    config, device = model.vqvae.config, fastest_device()
    precision = {"32": torch.float32, "bf16-mixed": torch.bfloat16}[setup.code_precision]
    model.vqvae.to(device)
    # Every window of train, the first ones of dev: those are all that is asked for.
    every = 1 if split == "train" else max(entry.frames for entry in store.entries(split))
    windows = Windows(store, split, config.sequence_length, setup.windows.frame_stride, every, config.resolution)
    codes = features_of(
        windows,
        lambda clips: model.vqvae.encode(clips.to(device), precision),
        home=caches,
        key=setup.part.key,
        kind="codes" if precision == torch.float32 else "codes-bf16",
        dtype="uint16" if config.codes <= 1 << 16 else "int32",
        progress=progress,
    )
    model.vqvae.cpu()
    size, given = setup.train.batch_size, max(1, model.config.conditioned_frames)
    return CodedLoader(windows, codes, given, size, draw=split == "train", seed=setup.train.seed)


def changed_codes(batches: Iterable[ClipBatch], model: vqvae.Model, codes: np.ndarray) -> float:
    """The share of the codes (N, t, h, w) that are not those that float32 gives, over the first of N clips."""
    exact = torch.cat([model.encode(batch.clips.to(device_of(model))).cpu() for batch in batches]).numpy()
    return float((exact != codes[: len(exact)]).mean())


def measure(model: Encoder, setup: Setup, store: ClipStore) -> Nearness | Predictions:
    """Holds a trained encoder's reconstructions or predictions of `validate` against the clips."""
    wanted = setup.measure.measured_clips
    if isinstance(model, vqvae.Model):
        return measure_reconstructions(model, whole(setup, store, model, "validate", MEASURE_BATCH), wanted)
    return measure_predictions(
        model,
        whole(setup, store, model.vqvae, "validate", MEASURE_BATCH),
        wanted,
        samples=setup.measure.samples,
        temperature=setup.measure.temperature,
        top_k=setup.measure.top_k or None,
        seed=setup.train.seed,
    )


@torch.no_grad()
def pictures(model: Encoder, batch: ClipBatch, measure: MeasureConfig) -> dict[str, np.ndarray]:
    """Clips and what the encoder makes of them, by name, uint8 (N, T, H, W, 3) each."""
    clips = batch.clips.to(device_of(model))
    found: dict[str, Tensor] = {"clip": clips}
    if isinstance(model, vqvae.Model):
        found["reconstruction"] = reconstruct(model, clips)
    else:
        given = model.config.conditioned_frames
        found["prediction"] = model.sample(
            len(clips),
            clips[:, :, :given] if given else None,
            batch.classes if model.config.categories else None,
            temperature=measure.temperature,
            top_k=measure.top_k or None,
            generator=torch.Generator(clips.device).manual_seed(0),
        )
        found["copy"] = copied(clips, given)
    return {name: as_bytes(each.cpu()).numpy() for name, each in found.items()}


class Showing(Callback):
    """Shows the model to somebody at each check, with the weights that are measured."""

    def __init__(self, show: Callable[[Encoder, int], None]):
        self.show = show

    def on_validation_epoch_end(self, trainer, module) -> None:
        self.show(module.model, trainer.current_epoch)


def fastest_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
