"""A labelled picture and its shapes become a clip of one frame with a mask for each category."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmvid import storage
from mmvid.clips.clip import Clip
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.shapes import OtherSize, Shape, mask_picture, rasterise
from mmvid.clips.pictures import fault, fitted, fitted_clip
from mmvid.clips.sources import BadClip, Piece, Report
from mmvid.storage import File


class Instance(NamedTuple):
    """One labelled thing: its category, and its pixels bool (H, W)."""

    category: str
    mask: np.ndarray


class _Fault(ValueError):
    """What is wrong with a labelled picture: the kind of fault and a sentence."""

    def __init__(self, reason: str, what: str):
        super().__init__(what)
        self.reason = reason


def read(piece: Piece, options: MaskOptions, report: Report, notes: Counter[str]) -> Iterator[Clip]:
    """The clip of a labelled picture, or none: what is wrong goes to `report`, what is left out on request to `notes`.

    Args:
        piece: a picture as `Index.pieces` gives it.
        options: how it is read.
        report: is given the faults.
        notes: counts what is worth telling: shapes without a pixel, masks that are empty, pictures without any.
    """
    layout = json.loads(piece.layout)
    categories = tuple(layout["categories"])
    if not layout["labelled"] and options.without_mask == "skip":
        notes["pictures without a mask, left out"] += 1
        return
    try:
        if not layout["labelled"] and options.without_mask == "stop":
            raise _Fault("no mask", "nobody labelled this picture; without_mask says what to do with such")
        frame, instances = _instances(piece, layout, notes)
    except _Fault as fault:
        report(BadClip(piece.file, fault.reason, str(fault)))
        return
    masks = np.zeros((len(categories), *frame.shape[:2]), bool)
    for instance in instances:
        masks[categories.index(instance.category)] |= instance.mask
    clip = Clip(piece.name, layout["trajectory"], piece.split, frame[None], masks=masks[None], categories=categories)
    clip = fitted_clip(clip, options.clip_resolution)
    seen = clip.masks[0].any(axis=(1, 2))
    if layout["labelled"] and not seen.any() and options.empty_mask != "keep":
        if options.empty_mask == "stop":
            report(BadClip(piece.file, "empty mask", f"it shows no {' and no '.join(categories)}; see empty_mask"))
        else:
            notes["pictures that show none of the categories, left out"] += 1
        return
    if not layout["labelled"]:
        notes["pictures without a mask, taken as empty"] += 1
    for category, there in zip(categories, seen, strict=True):
        if not there:
            notes[f"pictures that show no {category}"] += 1
    yield clip


def instances_of(piece: Piece) -> tuple[np.ndarray, list[Instance]]:
    """The picture, uint8 (H, W, 3), and each thing that is labelled on it; each value of an indexed mask is one.

    Raises:
        ValueError: if the picture or a mask cannot be read, or a mask is of another size.
    """
    try:
        return _instances(piece, json.loads(piece.layout), Counter())
    except _Fault as fault:
        raise BadClip(piece.file, fault.reason, str(fault)) from None


def _instances(piece: Piece, layout: dict, notes: Counter[str]) -> tuple[np.ndarray, list[Instance]]:
    if layout["missing"]:
        raise _Fault("missing picture", f"the picture {layout['missing']!r} that it labels is not there")
    frame = fitted(_loaded(piece.file), None)
    height, width = frame.shape[:2]
    found: list[Instance] = []
    for plain in layout["shapes"]:
        shape = Shape(*plain)
        if shape.form == "values":
            found += _of_values(shape, piece.files[shape.file], height, width)
            continue
        try:
            mask = rasterise(shape, height, width)
        except OtherSize as error:
            raise _Fault("size", str(error)) from None
        except ValueError as error:
            raise _Fault("mask", f"{shape.category}: {error}") from None
        if not mask.any():
            notes[f"shapes of {shape.category} without a pixel"] += 1
        found.append(Instance(shape.category, mask))
    return frame, found


def _of_values(shape: Shape, file: File, height: int, width: int) -> list[Instance]:
    try:
        values = mask_picture(_loaded(file), file.name)
    except _Fault:
        raise
    except ValueError as error:
        raise _Fault("mask", str(error)) from None
    if values.shape != (height, width):
        stated = " x ".join(map(str, reversed(values.shape)))
        raise _Fault("size", f"its mask {file.name} has {stated} pixels, the picture {width} x {height}")
    there = np.unique(values[values != 0]).tolist()
    if shape.content is not None:
        unknown = set(there) - set(shape.content["every"])
        if unknown:
            listed = ", ".join(map(str, sorted(unknown)))
            raise _Fault("unknown category", f"its mask {file.name} has values that mask_values leaves out: {listed}")
        there = [value for value in shape.content["own"] if (values == value).any()]
    return [Instance(shape.category, values == value) for value in there]


def _loaded(file: File) -> Image.Image:
    """A picture, read whole; what is none is a fault, a disk that fails is not."""
    try:
        with storage.opened(file) as stream, Image.open(stream) as picture:
            picture.load()
            return picture
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _Fault("picture", f"{file}: not a readable picture: {fault(error)}") from None
