"""What a pre-trained VideoGPT makes of one frame, as maps (C, h, w) that a segmentation head decodes.

The paper (Maier and Mohankumar 2024) names two latents: the frame ResNet's 16 x 16 x 240, and "the output of the
pre-trained transformer", 4 x 32 x 32, of which it leaves open what the numbers are. Each reading is a kind, explained
in `readings`; two more put noise in the place of the frame or of the latent. A frozen encoder's are computed once.

    compute(package, config, frames, ids, cache=folder)     all of them, kept on disk
    encode(package, config, clips, ids)                      of a batch, with gradients for `resnet`

N or B pictures.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmvid.clips.batches import as_pixels
from mmvid.clips.loader import resize_clips
from mmvid.config import Options, option
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import videogpt
from mmvid.feature_cache import features_of, is_cached
from mmvid.latents import readings
from mmvid.latents.sampling import Told, estimate_steps

Kind = Literal["resnet", "codes_sampled", "codes_still", "codes_teacher", "hidden", "noise_frames", "noise"]
Like = Literal["resnet", "codes_sampled", "codes_still", "codes_teacher", "hidden"]

_BATCH = {"resnet": 16, "codes_still": 4, "codes_teacher": 4, "hidden": 4, "codes_sampled": 4}  # by memory and time
_TYPES = {"hidden": "float16"}


class LatentConfig(Options):
    """The latent."""

    latent: Kind = option("resnet", "what the head decodes; codes_sampled takes hours for 250 frames at BAIR's size")
    noise_like: Like = option("resnet", "the latent that noise, or the encoder of noise frames, stands for")
    latent_seed: int = option(0, "of sampled codes and of noise", ge=0)
    latent_temperature: float = option(1.0, "of sampled codes; 0 takes the likeliest", ge=0)
    pixel_range: Literal["centred", "unit"] = option(
        "centred", "[-0.5, 0.5], as the encoder was trained; unit, [0, 1], as the paper may have fed it"
    )

    @property
    def reading(self) -> Like:
        """The kind whose shape and encoder it has."""
        return self.noise_like if self.latent in ("noise", "noise_frames") else self.latent


class Part(NamedTuple):
    """Some pictures: pixels (B, 3, H, W), as the encoder was told to see them, and ids."""

    clips: Tensor
    ids: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Frames that latents are computed of; rows of a cache.

    Attributes:
        frames: uint8 (N, H, W, 3).
        ids: N, unique; noise and draws belong to them.
        side: pixels of the encoder's frames.
    """

    frames: np.ndarray
    ids: Sequence[str]
    side: int
    what: str = "labelled frames"

    def __len__(self) -> int:
        return len(self.ids)

    def described(self) -> dict[str, Any]:
        hashed = hashlib.blake2b(np.ascontiguousarray(self.frames), digest_size=16)
        return {"frames": hashed.hexdigest(), "shape": list(self.frames.shape), "ids": list(self.ids)}

    def part(self, rows: slice) -> Part:
        clips = as_pixels(self.frames[rows][:, None])  # (B, 3, 1, H, W)
        if clips.shape[-2:] != (self.side, self.side):
            clips = resize_clips(clips, self.side)
        return Part(clips[:, :, 0], list(self.ids[rows]))


def shape(package: EncoderPackage, config: LatentConfig) -> tuple[int, int, int]:
    """Channels, height and width of the latent: (240, 16, 16) or (4, 32, 32) at BAIR's size.

    Raises:
        ValueError: if the encoder has no such latent.
    """
    return readings.SHAPES[config.reading](_model(package, config))


def compute(
    package: EncoderPackage,
    config: LatentConfig,
    frames: np.ndarray,
    ids: Sequence[str],
    *,
    cache: Path,
    batch_size: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """The latents of all pictures, a read-only map of a file (N, C, h, w), float32 (`hidden`: float16).

    They are as the encoder gives them; codes are their numbers, 0 to K - 1. What is sampled states its time before it
    begins, and keeps what it has after each batch, so that it goes on after a kill.

    Args:
        package: the frozen encoder, on the device that it shall run on.
        config: which latent.
        frames: uint8 (N, H, W, 3); of another size than the encoder's they are cut to a square and resized.
        ids: N, unique.
        cache: the folder of all caches.
        batch_size: pictures at once; None takes what the kind can bear.
        progress: whether to tell how far it is.

    Raises:
        ValueError: if the encoder has no such latent, or frames and ids do not fit each other.
    """
    model = _model(package, config)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (N, H, W, 3), got {frames.dtype} {frames.shape}")
    if len(ids) != len(frames) or len(set(ids)) < len(ids):
        raise ValueError(f"ids must be {len(frames)}, one a frame and unique, got {len(ids)}, {len(set(ids))} of them")
    pictures = Pictures(frames, ids, model.vqvae.config.resolution)
    place = {
        "home": cache,
        "key": _key(package, config),
        "kind": config.latent,
        "dtype": _TYPES.get(config.reading, "float32"),
    }
    size = batch_size or _BATCH[config.reading]
    sampled = config.latent != "noise" and config.reading == "codes_sampled"
    told = None
    if sampled and progress and not is_cached(pictures, **place):
        seconds = estimate(package, config, len(frames), batch_size=size)
        codes = " x ".join(map(str, model.grid))
        sys.stderr.write(
            f"codes_sampled: {codes} codes for each of {len(frames)} pictures, {size} at once, one code after another: "
            f"about {_duration(seconds)} here. Stopped and started again it goes on after the last batch. "
            "codes_teacher and codes_still need one pass instead.\n"
        )
        told = Told(len(frames))
    return features_of(
        pictures,
        lambda part: _encoded(model, config, part, told),
        batch_size=size,
        saved_every=1 if sampled else None,
        progress=progress,
        **place,
    )


def encode(package: EncoderPackage, config: LatentConfig, clips: Tensor, ids: Sequence[str] | None = None) -> Tensor:
    """The latents of a batch, (B, C, h, w), for fine-tuning and serving; only `resnet` has gradients.

    Args:
        package: the encoder.
        config: which latent.
        clips: pictures of the encoder's size, float32 (B, 3, H, W) in [-0.5, 0.5].
        ids: B, where the latent is drawn: each has draws of its own. By default they are 0, 1, 2 ...

    Raises:
        ValueError: if the encoder has no such latent, or the pictures are of another size.
    """
    model = _model(package, config)
    side = model.vqvae.config.resolution
    if clips.shape[1:] != (3, side, side):
        got = "x".join(map(str, clips.shape[1:]))
        raise ValueError(f"pictures must be of 3x{side}x{side} channels and pixels, got {got}")
    return _encoded(model, config, Part(clips, list(map(str, range(len(clips)))) if ids is None else ids))


def estimate(package: EncoderPackage, config: LatentConfig, pictures: int, *, batch_size: int | None = None) -> float:
    """Seconds that the latents of so many pictures take here, from a few steps of the transformer or one picture."""
    model = _model(package, config)
    size = min(batch_size or _BATCH[config.reading], pictures)
    if config.latent != "noise" and config.reading == "codes_sampled":
        return estimate_steps(model, size) * -(-pictures // size)
    side = model.vqvae.config.resolution
    return readings.timed(lambda: encode(package, config, torch.zeros(1, 3, side, side))) * pictures


def _encoded(model: videogpt.Model, config: LatentConfig, part: Part, told: Told | None = None) -> Tensor:
    clips, ids = part.clips, part.ids
    if config.latent == "noise":
        return readings.noise(readings.SHAPES[config.reading](model), ids, config.latent_seed).to(clips.device)
    if config.latent == "noise_frames":
        clips = readings.noise(tuple(clips.shape[1:]), ids, config.latent_seed) - 0.5
    if config.pixel_range == "unit":
        clips = clips + 0.5
    clips = clips.to(model.input.weight.device)
    if config.reading != "codes_sampled":
        return readings.READINGS[config.reading](model, clips)
    temperature, seed = config.latent_temperature, config.latent_seed
    return readings.codes_sampled(model, clips, ids, seed=seed, temperature=temperature, told=told)


def _model(package: EncoderPackage, config: LatentConfig) -> videogpt.Model:
    model = package.model
    if not isinstance(model, videogpt.Model):
        raise ValueError(f"latent {config.latent} is a VideoGPT's, the encoder is a {package.name}")
    if config.reading == "resnet" and model.resnet is None:
        raise ValueError("latent resnet needs a VideoGPT that is conditioned on frames, this one is on none")
    if config.reading not in ("resnet", "codes_still") and model.config.categories:
        raise ValueError(f"latent {config.reading} needs a VideoGPT without categories, labelled frames have none")
    return model


def _key(package: EncoderPackage, config: LatentConfig) -> str:
    named = {"latent", "pixel_range"}
    named |= {"noise_like"} if config.latent != config.reading else set()
    named |= {"latent_seed"} if config.latent != config.reading or config.reading == "codes_sampled" else set()
    named |= {"latent_temperature"} if config.reading == "codes_sampled" else set()
    content = [package.key, config.model_dump(include=named)]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
