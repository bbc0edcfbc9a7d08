"""Predict clips from their first frames, or draw clips of a model without, and log them as pictures and animations.

    mlflow run . -e predict_video --env-manager local
    mlflow run . -e predict_video -P input=frame.png -P model=models:/mmvid-videogpt@candidate -P samples=4
    python -m steps.predict_video --input push.mp4 --temperature 0.8

Reads  the VideoGPT at --model (without one the newest candidate; where there is none, the demo's is trained), and the
       first frames of --input: a picture, a video, a folder of clips, an ingested store (its validate), or `demo`. A
       model that is conditioned on classes draws clips of --classes; one without given frames reads no input.
Logs   <n>.png, <n>.gif and <n>.mp4 for each clip, as images too; where an input goes on, beside what came, with PSNR
       and SSIM of the predictions and of copying the last given frame. With --i3d FVD on the store's validate, and
       fvd/*: clips, samples and frames it was computed from. No weights of I3D come with mmvid; without, no FVD.
"""

import hashlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mmvid.animation import gif, side_by_side, strip, write_mp4, write_png
from mmvid.clip_evaluation import NearnessMeter, copied
from mmvid.clips import readers
from mmvid.clips.batches import as_bytes, as_pixels
from mmvid.clips.loader import ClipLoader, resize_clips
from mmvid.clips.sources import BadClip, ReadOptions, find_clips
from mmvid.clips.store import ClipStore
from mmvid.clipset import ClipsConfig, open_clips
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.encoder_experiment import fastest_device
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import videogpt
from mmvid.fvd import AT_ONCE, measure_fvd
from mmvid.metrics.i3d import I3D, load_i3d
from mmvid.registry.versions import aliased
from mmvid.runs import Command, Run, Task
from steps import train_videogpt
from steps.train_vqvae import encoder_of

REGISTERED = "mmvid-videogpt"


class PredictConfig(Options):
    """Prediction."""

    input: str = option("demo", "a picture, a video, a folder of clips, a store, or `demo`, made clips")
    model: str = option("", f"a run's id or models:/...; none: {REGISTERED}@candidate, trained on the demo if need be")
    clips: int = option(4, "clips of the input that are predicted at most", ge=1)
    samples: int = option(1, "predictions of each", ge=1)
    temperature: float = option(1.0, "of the sampling; 0 takes the likeliest code", ge=0)
    top_k: int = option(0, "codes that sampling draws among; 0 for all", ge=0)
    classes: tuple[int, ...] = option((), "of a model of classes: those of the clips, in turn; none: 0, 1, 2 and so on")
    seed: int = option(0, "of the sampling", ge=0)
    i3d: str = option("", "weights of I3D (safetensors, or a file of tensors) for FVD on the store's validate")
    fvd_clips: int = option(256, "true clips of FVD at most; as published for BAIR", ge=2)
    fvd_samples: int = option(100, "predictions of each of them; as published", ge=1)


def main(argv: list[str]) -> None:
    (config,) = parse(argv, PredictConfig, about=__doc__)
    task = Task("predict_video", config.model_dump(), {}, ("steps.predict_video",), name=f"predict {config.input}")
    with Command() as command:
        package = model_of(command, config.model)
        frames = first_frames(command, config, package)
        network = load_i3d(Path(config.i3d)) if config.i3d else None
        truth = true_clips(command, config, package) if network else None
        with command.start(task, own=True) as run:
            predict(run, package, frames, config)
            if network:
                log_fvd(run, package, network, truth, config)
    print(f"{len(frames)} clips predicted, in the artifacts of run {run.id}")


def model_of(command: Command, given: str) -> EncoderPackage:
    """The VideoGPT to predict with.

    Raises:
        ValueError: if the model is no VideoGPT.
    """
    if not given and aliased(REGISTERED, "candidate") is None:
        train_videogpt.train(command, train_videogpt.defaults())
    uri = given or f"models:/{REGISTERED}@candidate"
    package = encoder_of(uri)
    if not isinstance(package.model, videogpt.Model):
        raise ValueError(f"model must be a VideoGPT, {uri} is a {package.name}")
    return package


def first_frames(command: Command, config: PredictConfig, package: EncoderPackage) -> dict[str, np.ndarray]:
    """Clips of the input by name, uint8 (T, H, W, 3) each: at least the given frames, at most a whole clip.

    For a model without given frames nothing is read: there are `config.clips` clips without frames.

    Raises:
        ValueError: if the input has too few frames, or no clip; the sentence names it.
    """
    model = package.model
    source, given = model.vqvae.config, model.config.conditioned_frames
    found: dict[str, np.ndarray] = {}
    if not given:
        if config.input != "demo" and not config.i3d:
            raise ValueError(
                f"input must be left out for a model without given frames (only FVD reads it), got {config.input}"
            )
        nothing = np.empty((0, source.resolution, source.resolution, 3), np.uint8)
        return {f"clip {number}": nothing for number in range(config.clips)}
    for name, frames in itertools.islice(clips_of(command, config.input, source.resolution), config.clips):
        frames = frames[:: package.frame_stride][: source.sequence_length]
        if len(frames) < given:
            raise ValueError(
                f"{config.input}: {name} must have {given} frames to be predicted from, it has {len(frames)}"
            )
        found[name] = frames
    if not found:
        raise ValueError(f"{config.input} must have at least one clip to predict from, it has none")
    return found


def clips_of(command: Command, place: str, side: int) -> Iterator[tuple[str, np.ndarray]]:
    """The clips of a place, square pictures of `side` pixels."""
    if place == "demo" or (Path(place) / "manifest.json").exists():
        store = open_clips(command, ClipsConfig()) if place == "demo" else ClipStore.open(place)
        for row, entry in enumerate(store.entries("validate")):
            yield entry.id, squared(store.frames("validate", row), side)
        return

    def stop(fault: BadClip) -> None:
        raise fault

    kind, located = find_clips(place)
    reader = readers.load(kind)
    for piece in reader.pieces(located):
        for clip in reader.read(piece, ReadOptions(clip_resolution=side), stop):
            yield clip.id, squared(clip.frames, side)


def true_clips(command: Command, config: PredictConfig, package: EncoderPackage) -> ClipLoader:
    """The clips of the store's validate, as the model reads them."""
    if config.input != "demo" and not (Path(config.input) / "manifest.json").exists():
        raise ValueError(f"FVD needs a store or `demo` as input, got {config.input}; ingest_clips makes one")
    store = open_clips(command, ClipsConfig()) if config.input == "demo" else ClipStore.open(config.input)
    sizes, stride = package.model.vqvae.config, package.frame_stride
    windows = {"frames": sizes.sequence_length, "stride": stride, "windows": "first", "resolution": sizes.resolution}
    return ClipLoader(store, "validate", AT_ONCE, **windows)


def log_fvd(run: Run, package: EncoderPackage, network: I3D, truth: ClipLoader, config: PredictConfig) -> None:
    """Computes FVD and logs it with its protocol and the digest of the weights."""
    device = fastest_device()
    total = min(config.fvd_clips, truth.count) * config.fvd_samples
    with tqdm(total=total, desc="FVD", unit="clip", disable=not sys.stderr.isatty()) as bar:
        found = measure_fvd(
            package.model.to(device),
            network.to(device),
            truth,
            config.fvd_clips,
            samples=config.fvd_samples,
            temperature=config.temperature,
            top_k=config.top_k or None,
            seed=config.seed,
            progress=bar.update,
        )
    run.report(found.metrics())
    run.tags({"mmvid.fvd.i3d": hashlib.sha256(Path(config.i3d).read_bytes()).hexdigest()})
    print(
        f"FVD {found.distance:.2f}: {found.clips} clips, {found.samples} predictions of each, {found.frames} frames, "
        f"{found.given} of them given"
    )


def squared(frames: np.ndarray, side: int) -> np.ndarray:
    """Frames uint8 (T, H, W, 3) cut to their centred square and resized to `side`, if they are of another size."""
    if frames.shape[1:3] == (side, side):
        return np.array(frames)
    return as_bytes(resize_clips(as_pixels(frames)[None], side))[0].numpy()


def predict(run: Run, package: EncoderPackage, clips: dict[str, np.ndarray], config: PredictConfig) -> None:
    """Predicts all clips at once and logs what came of it."""
    model = package.model.to(fastest_device())
    given, device = model.config.conditioned_frames, fastest_device()
    starts = as_pixels(np.stack([frames[:given] for frames in clips.values()])).to(device) if given else None
    classes = classes_of(model, len(clips), config.classes)
    bar = tqdm(total=None, desc="codes", unit="code", disable=not sys.stderr.isatty())
    with bar:
        predicted = model.sample(
            len(clips) * config.samples,
            None if starts is None else starts.repeat_interleave(config.samples, 0),
            None if classes is None else classes.repeat_interleave(config.samples).to(device),
            temperature=config.temperature,
            top_k=config.top_k or None,
            generator=torch.Generator(device).manual_seed(config.seed),
            progress=lambda done, total: (setattr(bar, "total", total), bar.update(1)),
        ).cpu()
    samples = predicted.unflatten(0, (-1, config.samples))  # (clips, samples, 3, T, H, W)
    meters = {"": NearnessMeter(given), "copy_": NearnessMeter(given)}
    names = []
    for number, ((name, frames), several) in enumerate(zip(clips.items(), samples, strict=True)):
        shown = ({"input": frames} if len(frames) else {}) | {
            f"prediction {row + 1}": each.numpy() for row, each in enumerate(as_bytes(several))
        }
        if len(frames) == predicted.shape[2]:
            truth = as_pixels(frames)[None]
            meters[""].update(several, truth.expand_as(several))
            meters["copy_"].update(copied(truth, given), truth)
        log_clip(run, number, shown)
        kind = {} if classes is None else {"class": int(classes[number])}
        names.append({"clip": number, "input": name, "frames": len(frames), "given": given} | kind)
    run.json("clips.json", names)
    run.report(
        {
            f"{part}{name}": value
            for part, meter in meters.items()
            if meter.clips
            for name, value in meter.compute().means().items()
        }
    )
    run.tags({"mmvid.model.key": package.key})


def classes_of(model: videogpt.Model, clips: int, given: tuple[int, ...]) -> torch.Tensor | None:
    """The class of each clip, int64 (clips,): the given ones in turn, or all in turn; None of a model without.

    Raises:
        ValueError: if classes are given for a model without, or one that it does not have.
    """
    known = model.config.categories
    if any(not 0 <= number < known for number in given):
        has = f"has the classes 0 to {known - 1}" if known else "is not conditioned on classes"
        raise ValueError(f"classes must be the model's, which {has}; got {','.join(map(str, given))}")
    if not known:
        return None
    return torch.tensor(list(itertools.islice(itertools.cycle(given or range(known)), clips)))


def log_clip(run: Run, number: int, shown: dict[str, np.ndarray]) -> None:
    """Logs a clip and its predictions as a strip and as animations."""
    pictures, moving = strip(shown), side_by_side(shown)
    run.image("prediction", pictures, number)
    with run.file(f"predictions/{number}.png") as path:
        write_png(path, pictures)
    with run.file(f"predictions/{number}.gif") as path:
        path.write_bytes(gif(moving))
    with run.file(f"predictions/{number}.mp4") as path:
        write_mp4(path, moving)


if __name__ == "__main__":
    run_command(main)
