"""Pictures cut to their centre and resized, as video-prediction data are made, in whole numbers: equal everywhere."""

import dataclasses
import struct
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.Image import Transpose

from mmvid.clips.clip import Clip

# What makes the picture of a camera that was held otherwise upright, by the number that EXIF has for it; 1 is upright.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def as_seen(picture: Image.Image) -> Image.Image:
    """A picture as people and labelling tools see it: RGB, turned as its EXIF says; of 16 bits the upper eight count.

    Raises:
        ValueError: if its numbers have no stated range, as those of a TIFF of floats. OSError: if it is damaged.
    """
    picture.load()  # a fault of the picture must not be taken for one of its EXIF
    turn = _TURNS.get(_orientation(picture))
    if picture.mode.startswith("I;16") or (picture.mode, picture.format) == ("I", "PNG"):  # RGB would cut it at 255
        picture = Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its pixels must have 8 or 16 bits a channel, they are of Pillow's mode {picture.mode}")
    picture = picture.convert("RGB")
    return picture if turn is None else picture.transpose(turn)


def fault(error: Exception) -> str:
    """What Pillow has against a picture, in words; one of no kind that it knows it would call an object in memory."""
    return "it is of no known kind" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__


def fitted(picture: Image.Image, resolution: int | None) -> np.ndarray:
    """A picture as uint8 (H, W, 3); with a resolution, its largest centred square resized to that (bilinear)."""
    picture = as_seen(picture)
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


def _orientation(picture: Image.Image) -> int:
    """EXIF's number of how the camera was held; damaged EXIF says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage in it
        try:
            return picture.getexif().get(ExifTags.Base.Orientation, 1)
        except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
            return 1
