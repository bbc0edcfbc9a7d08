"""Mask pictures beside the pictures that they label: binary, or one value a category or an instance.

    images/7.jpg, masks/7.png                       also train/images/... or images/train/...; frames, imgs; labels, ...
    images/7.jpg, masks/robot/7.png                 a folder a category, all but 0 is it
    7.jpg, 7_mask.png                               side by side

What the values of one mask show is said by `mask_values`; without it all but 0 is one thing. A mask with values that
`mask_values` leaves out is refused when it is read.
"""

import re
from collections import Counter
from typing import Any

from mmvid.clips.masks.index import Index, Labelled, Place, split_of
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.shapes import Shape

_MASKS = {"mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "gt"}
_FRAMES = {"image", "images", "img", "imgs", "frame", "frames", "jpegimages", "rgb", "pictures"}
_MARKED = re.compile(r"[_-](?:mask|label|seg|gt)s?$", re.IGNORECASE)
_LOSSLESS = (".png", ".bmp", ".tif", ".tiff")

Key = tuple[str, ...]


def recognises(documents: dict[Place, Any], places: list[Place]) -> bool:
    """Whether some pictures are masks by their folder or name."""
    return any(_is_mask(place) for place in places if place.is_picture)


def index(documents: dict[Place, Any], places: list[Place], frames: list[Place], options: MaskOptions) -> Index:
    """Each picture with the masks of its name.

    Raises:
        ValueError: if a mask has no picture, is a JPEG, or several categories are asked for without `mask_values`.
    """
    if options.frames:
        masks = [place for place in places if place.is_picture]
    else:
        masks, frames = ([place for place in frames if _is_mask(place) == wanted] for wanted in (True, False))
    pictures: dict[Key, Labelled] = {}
    for place in frames:
        other = pictures.setdefault(_key(place, _FRAMES), Labelled(place, [], split_of([place.parts[:-1]]), False))
        if other.place is not place:
            raise ValueError(f"{place.file} and {other.place.file} would have the same masks; rename one")
    notes: Counter[str] = Counter()
    categories: set[str] = set()
    for mask in masks:
        if not mask.parts[-1].lower().endswith(_LOSSLESS):
            raise ValueError(f"{mask.file}: a mask must be a picture without loss, such as PNG")
        key, folder = _picture_of(mask, pictures)
        if key is None:
            raise ValueError(f"{mask.file}: there is no picture for this mask")
        picture = pictures[key]
        picture.masks, picture.labelled = (*picture.masks, mask.file), True
        values = _values(folder, options, mask)
        every = sorted({each for some in values.values() for each in some or ()})
        for name, some in values.items():
            content = None if some is None else {"own": some, "every": every}
            picture.shapes.append(Shape(name, "values", content, None, len(picture.masks)))
        categories |= values.keys()
    return Index(list(pictures.values()), categories, notes)


def _values(folder: str, options: MaskOptions, mask: Place) -> dict[str, list[int] | None]:
    """Category -> the values of a mask that are it, None for all but 0."""
    if folder:
        return {folder: None}
    if options.mask_values:
        return options.values_of_categories()
    if len(options.categories) > 1:
        raise ValueError(f"{mask.file}: say what the values of masks are with mask_values, such as robot=1,block=2")
    return {options.categories[0] if options.categories else "mask": None}


def _picture_of(mask: Place, pictures: dict[Key, Labelled]) -> tuple[Key | None, str]:
    """The key of a mask's picture, and the folder that names its category, if one does."""
    whole = _key(mask, _MASKS)
    for stem in dict.fromkeys([whole[-1], _MARKED.sub("", whole[-1])]):
        key = (*whole[:-1], stem)
        if key in pictures:
            return key, ""
        for number in reversed(range(len(key) - 1)):
            without = key[:number] + key[number + 1 :]
            if without in pictures:
                return without, key[number]
    return None, ""


def _key(place: Place, words: set[str]) -> Key:
    """A place without the folder that says what it holds, and without its ending."""
    return (*(part for part in place.parts[:-1] if part.lower() not in words), place.stem)


def _is_mask(place: Place) -> bool:
    return any(part.lower() in _MASKS for part in place.parts[:-1]) or bool(_MARKED.search(place.stem))
