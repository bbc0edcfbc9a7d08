"""One labelled shape of a picture, in any form that labelling tools write, as pixels.

Polygons are drawn as COCO's own tools draw them (pycocotools). Run lengths are decoded here: that library trusts them,
and gives whatever was in memory for those that do not add up to the picture.
"""

import dataclasses
import itertools
import math
from typing import Any, Literal

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mmvid.clips.masks.brush import decode_brush

Form = Literal["polygons", "runs", "brush", "values"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A labelled thing.

    Attributes:
        category: what it shows.
        form: how it is written.
        content: `polygons`: lists x, y, x, y, ... in pixels; `runs`: COCO's counts, a list or a text; `brush`: Label
            Studio's bytes; `values`: which values of the mask picture `file` are it, or None for all but 0.
        size: height and width of the picture that it was drawn on, where they are stated.
        file: the number of the mask picture among the piece's files.
    """

    category: str
    form: Form
    content: Any
    size: tuple[int, int] | None = None
    file: int = 0

    def plain(self) -> list:
        """As JSON values; `Shape(*plain)` reads them."""
        return [self.category, self.form, self.content, self.size, self.file]


class OtherSize(ValueError):
    """A mask is of another size than its picture."""


def rasterise(shape: Shape, height: int, width: int) -> np.ndarray:
    """The pixels of a shape that is not a mask picture's, bool (H, W).

    Raises:
        OtherSize: if it was drawn on a picture of another size.
        ValueError: if it is not written as its form says.
    """
    if shape.size is not None and tuple(shape.size) != (height, width):
        stated = " x ".join(map(str, reversed(shape.size)))
        raise OtherSize(f"a mask of {shape.category} is for {stated} pixels, the picture has {width} x {height}")
    if shape.form == "polygons":
        return _polygons(shape.content, height, width)
    if shape.form == "runs":
        return decode_runs(shape.content, height, width)
    return decode_brush(shape.content, height, width)


def decode_runs(counts: list[int] | str, height: int, width: int) -> np.ndarray:
    """COCO's run lengths as pixels, bool (H, W): they alternate, unset first, down the columns.

    Raises:
        ValueError: if they do not add up to the picture, or the text is not COCO's packing of them.
    """
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    whole = isinstance(lengths, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in lengths)
    negative = whole and min(lengths, default=0) < 0
    if not whole or negative or sum(lengths) != height * width:
        total = "some are negative" if negative else f"they come to {sum(lengths)}" if whole else "they are none"
        need = f"{height * width}, the pixels of {width} x {height}"
        raise ValueError(f"the counts of a run-length mask must be whole numbers that come to {need}; {total}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def mask_picture(picture: Image.Image, where: str) -> np.ndarray:
    """The values of a mask picture, integers (H, W): grey levels, or the indices of a palette.

    Raises:
        ValueError: if its pixels have colours.
    """
    if picture.mode in ("1", "L", "P", "I", "I;16", "I;16B"):
        values = np.asarray(picture)
        return values.astype(np.int64)
    channels = np.asarray(picture.convert("RGB"))
    if picture.mode not in ("RGB", "RGBA", "LA") or (channels != channels[..., :1]).any():
        raise ValueError(f"{where}: a mask must be grey or have a palette, this one is a picture with colours")
    return channels[..., 0].astype(np.int64)


def _polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    if not isinstance(polygons, list) or not polygons:
        raise ValueError("a mask's segmentation must be polygons, lists of x and y, or run lengths")
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(_is_number(each) for each in polygon)
        if not numbers or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be at least three points x, y in one list of finite numbers")
        for each, side in zip(polygon, itertools.cycle((width, height))):  # noqa: B905 (the second has no end)
            if not -side <= each <= 2 * side:  # drawing takes memory by the length of the outline
                raise ValueError(
                    f"a polygon must lie near its {width} x {height} pixels, it has a point at {str(each)[:20]}"
                )
    drawn = coco_mask.merge(coco_mask.frPyObjects([[float(each) for each in p] for p in polygons], height, width))
    return decode_runs(drawn["counts"].decode("ascii"), height, width)


def _unpacked(text: str) -> list[int]:
    """COCO's packed counts: digits of five bits from the lowest, a sixth bit that more follow, characters from `0` on.

    The last digit's highest bit is the sign; from the fourth on, a count is the difference to the one two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("the text of a run-length mask is not COCO's packing of counts")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the text of a run-length mask ends within a count")
    return counts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
