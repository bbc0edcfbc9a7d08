"""Train VideoGPT's VQ-VAE on clips and log it to MLflow.

    mlflow run . -e train_vqvae --env-manager local
    mlflow run . -e train_vqvae -P data=/data/bair -P preset=bair
    python -m steps.train_vqvae --data /data/bair --preset bair

Reads  the clips at --data (the demo is made if it is `demo` and not there yet; published formats are ingested first).
Logs   config.json, train/loss and dev/* at each check (PSNR, SSIM, the codebook's use), pictures of reconstructions
       as images and animations, validate/* with PSNR and SSIM by time step, the model as a version of mmvid-vqvae.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmvid import encoder_experiment, encoder_package, encoder_serving, packaging
from mmvid.animation import gif, side_by_side, stacked, strip, write_mp4
from mmvid.clips.store import ClipStore
from mmvid.clipset import ClipsConfig, open_clips
from mmvid.config import parse
from mmvid.console import run_command
from mmvid.encoder_experiment import MeasureConfig, Setup, WindowConfig
from mmvid.encoder_package import EncoderPackage
from mmvid.encoder_presets import VQVAE, VqvaePresetConfig
from mmvid.encoders import vqvae
from mmvid.presets import settle, unset
from mmvid.pretraining import PretrainConfig
from mmvid.registry import versions
from mmvid.runs import Command, Finished, Run, RunConfig, home, load_run

PARTS = (
    VqvaePresetConfig,
    unset(vqvae.Config),
    unset(PretrainConfig),
    unset(WindowConfig),
    unset(MeasureConfig),
    ClipsConfig,
    RunConfig,
)


def main(argv: list[str]) -> None:
    size, model, train, windows, measure, data, control = parse(argv, *PARTS, about=__doc__)
    preset = VQVAE[size.preset]
    with Command() as command:
        model, train = settle(vqvae.Config, model, preset), settle(PretrainConfig, train, preset)
        windows, measure = settle(WindowConfig, windows, preset), settle(MeasureConfig, measure, preset)
        store = open_clips(command, data)
        setup = Setup("vqvae", model, train, windows, measure)
        finished = find_or_train(command, setup, store, force=control.force, own=True)
    tell(finished)


def find_or_train(
    command: Command, setup: Setup, store: ClipStore, *, force: bool = False, own: bool = False
) -> Finished:
    """The finished run of a setup, trained now if there is none."""
    task = setup.task(store)
    checkpoints = home() / "checkpoints" / task.key
    if force:
        shutil.rmtree(checkpoints, ignore_errors=True)

    def compute(run: Run) -> None:
        run.params({"data": str(store.folder), "encoder": setup.name})
        run.json("config.json", setup.describe())
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="train")
        outcome = encoder_experiment.run(
            setup,
            store,
            key=task.key,
            caches=home() / "features",
            report=run.report,
            show=shower(run),
            checkpoints=checkpoints,
        )
        log_outcome(run, outcome)
        run.tags({"mmvid.data.store": store.folder})
        shutil.rmtree(checkpoints)

    finished = command.find_or_run(task, compute, force=force, own=own)
    versions.register(f"mmvid-{setup.name}", finished)
    return finished


def encoder_of(given: str) -> EncoderPackage:
    """The encoder that a run logged, by its id, or that is registered, by its `models:/...`."""
    return encoder_serving.load_logged(given if given.startswith("models:/") else versions.model_uri(load_run(given)))


def shower(run: Run) -> Callable[[dict[str, np.ndarray], int], None]:
    """Logs pictures of a check as an image with a step, and as an animation."""

    def show(clips: dict[str, np.ndarray], check: int) -> None:
        run.image("dev", rows(clips), check)
        with run.file(f"animations/check_{check:04d}.gif") as path:
            path.write_bytes(gif(animation(clips)))

    return show


def log_outcome(run: Run, outcome: encoder_experiment.Outcome) -> None:
    """Logs what was measured, by time step too, pictures, animations and the model."""
    run.report(outcome.metrics() | {f"seconds/{stage}": spent for stage, spent in outcome.seconds.items()})
    run.report({"best_check": float(outcome.fitted.best_epoch)})
    if outcome.changed is not None:
        run.report({"codes/changed": outcome.changed})
    for name, values in outcome.curves().items():
        for step, value in enumerate(values):
            run.report({name: float(value)}, step)
    run.image("validate", rows(outcome.shown), 0)
    moving = animation(outcome.shown)
    with run.file("animations/validate.gif") as path:
        path.write_bytes(gif(moving))
    with run.file("animations/validate.mp4") as path:
        write_mp4(path, moving)
    log_package(run, outcome.package)
    run.describe(f"{outcome.package.name} on {outcome.package.origin}. {outcome.summary()}")


def log_package(run: Run, package: EncoderPackage) -> None:
    """Logs an encoder as a model of the run."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "package"
        encoder_package.save(package, folder)
        uri = encoder_serving.log_model(package, folder, packaging.pinned_requirements())
    run.tags({"mmvid.model": uri})


def rows(clips: dict[str, np.ndarray]) -> np.ndarray:
    """The strips of several clips below each other: each clip, then what was made of it."""
    count = len(next(iter(clips.values())))
    named = {f"{name} {row + 1}": several[row] for row in range(count) for name, several in clips.items()}
    return strip(named)


def animation(clips: dict[str, np.ndarray]) -> np.ndarray:
    """Several clips below each other, each beside what was made of it."""
    count = len(next(iter(clips.values())))
    return stacked([side_by_side({name: several[row] for name, several in clips.items()}) for row in range(count)])


def tell(finished: Finished) -> None:
    """Prints what a run came to."""
    shown = ", ".join(
        f"{name.removeprefix('validate/')} {value:.4f}"
        for name, value in sorted(finished.metrics.items())
        if name.startswith("validate/") and not name.endswith("_by_step")
    )
    print(f"{finished.run.info.run_name}: validate {shown}\nrun {finished.id}")


if __name__ == "__main__":
    run_command(main)
