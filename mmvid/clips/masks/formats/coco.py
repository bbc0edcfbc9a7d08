"""COCO's instance segmentation: polygons and run lengths, by category name, as Roboflow, CVAT and others export it.

    train/_annotations.coco.json, train/0.jpg, valid/...                     Roboflow's layout
    annotations/instances_train2017.json, train2017/000000000009.jpg         COCO's own

Source: cocodataset.org, "Data format".
"""

from collections import Counter
from typing import Any

from mmvid.clips.masks.index import Index, Labelled, Place, split_of
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.pictures import Pictures
from mmvid.clips.masks.shapes import Shape


def recognises(documents: dict[Place, Any], places: list[Place]) -> bool:
    """Whether one of the JSON files has COCO's three lists."""
    return any(_is_coco(content) for content in documents.values())


def index(documents: dict[Place, Any], places: list[Place], frames: list[Place], options: MaskOptions) -> Index:
    """The pictures of all annotation files, and those that none of them names."""
    pictures, notes, known = Pictures(frames), Counter(), set()
    found: list[Labelled] = []
    for document, content in documents.items():
        if not _is_coco(content):
            notes["JSON files that are not COCO's"] += 1
            continue
        try:
            found += _labelled(document, content, pictures)
            known |= {str(category["name"]) for category in content["categories"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{document.file}: not COCO's format: {type(error).__name__} {error}") from None
    for place in pictures.unused():
        found.append(Labelled(place, [], split_of(place), labelled=False))
    return Index(found, known, notes)


def _labelled(document: Place, content: dict[str, Any], pictures: Pictures) -> list[Labelled]:
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    if len(images) < len(content["images"]) or len(names) < len(content["categories"]):
        raise ValueError(f"{document.file}: two images, or two categories, have one id")
    shapes: dict[Any, list[Shape]] = {number: [] for number in images}
    for annotation in content["annotations"]:
        image, category = annotation["image_id"], annotation["category_id"]
        where = f"{document.file}: annotation {annotation.get('id')}"
        if image not in images:
            raise ValueError(f"{where} is of image {image!r}, which the file does not list")
        if category not in names:
            raise ValueError(f"{where} is of category {category!r}, which the file does not list")
        shapes[image].append(_shape(names[category], annotation.get("segmentation"), images[image]))
    found = []
    for number, image in images.items():
        name = image["file_name"]
        if not isinstance(name, str) or not name.strip("./\\"):
            raise ValueError(f"{document.file}: image {number} must have the name of a picture, got {name!r}")
        place = pictures.find(name, document)
        split = split_of(document, place)
        missing = "" if place else name
        found.append(Labelled(place or document, shapes[number], split, bool(shapes[number]), missing=missing))
    return found


def _shape(category: str, segmentation: Any, image: dict[str, Any]) -> Shape:
    size = image["height"], image["width"]
    if not isinstance(segmentation, dict):
        return Shape(category, "polygons", segmentation, size)
    return Shape(category, "runs", segmentation["counts"], tuple(segmentation["size"]))


def _is_coco(content: Any) -> bool:
    lists = ("images", "annotations", "categories")
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in lists)
