"""Pictures cut to their centre and resized, as video-prediction data are made, in whole numbers: equal everywhere."""

import dataclasses

import numpy as np
from PIL import Image

from mmvid.clips.clip import Clip


def fitted(picture: Image.Image, resolution: int | None) -> np.ndarray:
    """A picture as uint8 (H, W, 3); with a resolution, its largest centred square resized to that (bilinear)."""
    if picture.mode.startswith("I;16"):  # of 16 bits a grey value; converted as they are, all above 255 are white
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"a picture must have 8 or 16 bits a value, it has 32 (mode {picture.mode})")
    picture = picture.convert("RGB")
    if resolution is not None and picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR, box=_centre(picture.size))
    return np.asarray(picture)


def fitted_clip(clip: Clip, resolution: int | None) -> Clip:
    """A clip whose frames, and masks, are resized as `fitted` does; a mask is set where most of the pixel was."""
    if resolution is None or clip.frames.shape[1:3] == (resolution, resolution):
        return clip
    frames = np.stack([fitted(Image.fromarray(frame), resolution) for frame in clip.frames])
    masks = clip.masks
    if masks is not None:
        grey = masks.astype(np.uint8).reshape(-1, *masks.shape[-2:]) * 255
        small = [fitted(Image.fromarray(mask), resolution)[..., 0] >= 128 for mask in grey]
        masks = np.stack(small).reshape(*masks.shape[:2], resolution, resolution)
    return dataclasses.replace(clip, frames=frames, masks=masks)


def _centre(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest centred square."""
    width, height = size
    side = min(size)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
