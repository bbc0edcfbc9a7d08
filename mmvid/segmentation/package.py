"""A trained segmenter as a folder: `config.json`, `model.safetensors` and, where it reads latents, `encoder/`.

The encoder's own package is inside, with the weights that it was trained to, so that the folder serves alone; reading
it runs no code from it.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from mmvid import encoder_package, segmenters
from mmvid.clips.batches import as_pixels
from mmvid.config import explain
from mmvid.encoder_package import EncoderPackage
from mmvid.segmentation.model import Segmentation
from mmvid.segmenters import Segmenter

if TYPE_CHECKING:
    from mmvid.latents import LatentConfig

FORMAT = 1
CHUNK = 64  # pictures computed at once


@dataclasses.dataclass(frozen=True)
class SegmenterPackage:
    """A segmenter with all that is needed to use it.

    Attributes:
        model: the segmenter, in evaluation mode, on the CPU; it reads frames.
        frame: height and width of the frames that it was trained on.
        target: what its masks show, such as `robot`.
        threshold: probability from which on a pixel is in the mask.
        key: the key of the run that trained it.
        origin: the title of the data that it was trained on.
        encoder: what makes its latents; none for a segmenter of frames.
        latent: which latents; none for a segmenter of frames.
    """

    model: Segmentation
    frame: tuple[int, int]
    target: tuple[str, ...]
    threshold: float
    key: str
    origin: str
    encoder: EncoderPackage | None = None
    latent: "LatentConfig | None" = None

    @property
    def name(self) -> str:
        """The segmenter's name in the catalogue."""
        return self.model.head.name

    @property
    def title(self) -> str:
        """The segmenter and what it reads, for people."""
        return self.name if self.encoder is None else f"{self.name} on {self.latent.latent} of {self.encoder.name}"

    @torch.inference_mode()
    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (N, H, W), of frames uint8 (N, H, W, 3) of the size that it was trained on."""
        if frames.shape[1:] != (*self.frame, 3):
            wanted, got = (" x ".join(map(str, shape)) for shape in ((*self.frame, 3), frames.shape[1:]))
            raise ValueError(f"frames must be of {wanted}, got {got}")
        device = next(self.model.parameters()).device
        parts = [
            self.model(frame_pixels(frames[begin : begin + CHUNK]).to(device)).float().sigmoid().cpu().numpy()
            for begin in range(0, len(frames), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *self.model.head.size), np.float32)

    def to(self, device: torch.device) -> "SegmenterPackage":
        """Moves the model, and the encoder behind it, to a device."""
        self.model.to(device)
        if self.encoder is not None:
            self.encoder.model.to(device)
        return self

    def segment(self, pictures: list[Image.Image]) -> list[np.ndarray]:
        """Probabilities of pictures of any size, each float32 of its picture's height and width.

        The largest centred window with the sides' ratio of the training's frames is read, as pictures are cut when
        they are ingested; beyond it the probability is 0.
        """
        if not pictures:
            return []
        boxes = [window(picture.size, self.frame) for picture in pictures]
        frames = [fitted_to(picture, box, self.frame) for picture, box in zip(pictures, boxes, strict=True)]
        found = self.scores(np.stack(frames))
        return [placed(scores, box, picture.size) for scores, box, picture in zip(found, boxes, pictures, strict=True)]


def frame_pixels(frames: np.ndarray) -> Tensor:
    """uint8 frames (N, H, W, 3) as float32 (N, 3, H, W) in [-0.5, 0.5]."""
    return as_pixels(np.ascontiguousarray(frames)[:, None]).squeeze(2)


def window(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest centred window with a frame's ratio of height to width.

    Args:
        size: width and height of a picture.
        frame: height and width of a frame.
    """
    width, height = size
    across = max(1, min(width, round(height * frame[1] / frame[0])))
    down = max(1, min(height, round(width * frame[0] / frame[1])))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def fitted_to(picture: Image.Image, box: tuple[int, int, int, int], frame: tuple[int, int]) -> np.ndarray:
    """The window of a picture at the size of a frame, uint8 (H, W, 3)."""
    picture = picture.convert("RGB")
    if picture.size != frame[::-1]:
        picture = picture.resize(frame[::-1], Image.Resampling.BILINEAR, box=box)
    return np.asarray(picture)


def placed(scores: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """Scores of a window at their place in a picture of `size` (width, height), which is 0 beyond it."""
    left, top, right, bottom = box
    whole = np.zeros(size[::-1], np.float32)
    maps = torch.from_numpy(np.ascontiguousarray(scores))[None, None]
    if maps.shape[2:] != (bottom - top, right - left):
        maps = functional.interpolate(maps, (bottom - top, right - left), mode="bilinear", align_corners=False)
    whole[top:bottom, left:right] = maps[0, 0].numpy()
    return whole


def on_frames(head: Segmenter, encoder: EncoderPackage | None, latent: "LatentConfig | None") -> Segmentation:
    """The model that reads frames: a head behind its frozen encoder, or one that reads frames itself."""
    if encoder is None:
        return Segmentation(head)
    from mmvid import latents

    return Segmentation(head, functools.partial(latents.encode, encoder, latent))


def save(package: SegmenterPackage, folder: Path) -> None:
    """Writes the package into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    state = package.model.state_dict()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(weights, folder / "model.safetensors")
    head = package.model.head
    description = {
        "format": FORMAT,
        "segmenter": head.name,
        "config": head.config.model_dump(mode="json", by_alias=True),
        "shape": head.shape,
        "size": head.size,
        "frame": package.frame,
        "target": package.target,
        "threshold": package.threshold,
        "key": package.key,
        "origin": package.origin,
    }
    if package.encoder is not None:
        encoder_package.save(package.encoder, folder / "encoder")
        description["latent"] = package.latent.model_dump(mode="json")
    (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> SegmenterPackage:
    """Rebuilds a package from its folder.

    Raises:
        ValueError: if a file is missing or damaged, the format is another one, or weights and config disagree;
            the message names the file.
    """
    path = folder / "config.json"
    encoder = latent = None
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, got {description['format']}")
        member = segmenters.load(description["segmenter"])
        shape, size, frame, target = (tuple(description[name]) for name in ("shape", "size", "frame", "target"))
        head = member.Model(member.Config.model_validate(description["config"]), shape, size)
        rest = {name: description[name] for name in ("threshold", "key", "origin")}
        if "latent" in description:
            from mmvid.latents import LatentConfig

            latent = LatentConfig.model_validate(description["latent"])
            encoder = encoder_package.load(folder / "encoder")
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must describe a segmenter: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    model = on_frames(head, encoder, latent)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        sentence = " ".join(str(error).split())
        raise ValueError(f"{folder / 'model.safetensors'} must hold the weights of config.json: {sentence}") from error
    return SegmenterPackage(model.eval(), frame, target, **rest, encoder=encoder, latent=latent)
