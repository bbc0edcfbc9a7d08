"""Label Studio's exports: JSON and JSON-MIN, with brushes (their own run lengths), polygons and rectangles.

A task is a picture; its name comes from the task's data, which may be the upload's (`/data/upload/1/0f3a12bc-7.png`) or
a local file's (`/data/local-files/?d=frames/7.png`). Positions are percentages of the picture's sides.
"""

import math
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mmvid.clips.masks.index import Index, Labelled, Place, split_of
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.pictures import Pictures
from mmvid.clips.masks.shapes import Shape
from mmvid.clips.readers.images import ENDINGS

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_FORMS = ("rle", "points", "width")  # what tells a brush, a polygon and a rectangle


def recognises(documents: dict[Place, Any], places: list[Place]) -> bool:
    """Whether one of the JSON files is a list of tasks."""
    return any(_is_export(content) for content in documents.values())


def index(documents: dict[Place, Any], places: list[Place], frames: list[Place], options: MaskOptions) -> Index:
    """The pictures of all tasks, and those that no task names."""
    pictures, notes = Pictures(frames), Counter()
    found: list[Labelled] = []
    for document, content in documents.items():
        if not _is_export(content):
            notes["JSON files that are not Label Studio's"] += 1
            continue
        for number, task in enumerate(content):
            try:
                found.append(_labelled(document, task, pictures, notes))
            except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
                what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
                raise ValueError(f"{document.file}: task {number}: {what}") from None
    for place in pictures.unused():
        found.append(Labelled(place, [], split_of(place), labelled=False))
    return Index(found, {shape.category for picture in found for shape in picture.shapes}, notes)


def _labelled(document: Place, task: dict[str, Any], pictures: Pictures, notes: Counter[str]) -> Labelled:
    results, labelled = _results(task, notes)
    shapes = [shape for result in results for shape in _shapes(result, notes)]
    names = _names(task)
    place = next((found for name in names if (found := pictures.find(name, document)) is not None), None)
    split = split_of(place, document)
    return Labelled(place or document, shapes, split, labelled, missing="" if place else names[0])


def _results(task: dict[str, Any], notes: Counter[str]) -> tuple[list[dict[str, Any]], bool]:
    """What one person labelled, and whether anybody did."""
    if "annotations" not in task:  # JSON-MIN: a list a tag, without who or when
        lists = [value for value in task.values() if isinstance(value, list)]
        return [each for value in lists for each in value if isinstance(each, dict)], bool(lists)
    if task.get("predictions"):
        notes["tasks whose predictions by a model were left out"] += 1
    done = [each for each in task["annotations"] if not each.get("was_cancelled")]
    if len(done) > 1:
        notes["tasks that several people labelled, of whom the ground truth's or the last one's work is taken"] += 1
    done.sort(key=lambda each: (bool(each.get("ground_truth")), str(each.get("updated_at", ""))))
    return (done[-1]["result"], True) if done else ([], False)


def _shapes(result: dict[str, Any], notes: Counter[str]) -> list[Shape]:
    """A result as shapes, one for each of its labels."""
    value = result.get("value", result)
    form = next((form for form in _FORMS if form in value), None)
    if form is None or "radiusX" in value:
        notes[f"results that are no mask ({result.get('type', 'unknown')})"] += 1
        return []
    kind = result.get("type", "")
    labels = value.get(kind) or next((value[key] for key in sorted(value) if key.endswith("labels")), None)
    if not labels:
        raise ValueError(f"a result of type {kind or form} has no label")
    if not isinstance(labels, list):
        raise ValueError(f"a result of type {kind or form} must have its labels in a list, got {labels!r}")
    width, height = (result.get(name, value.get(name)) for name in ("original_width", "original_height"))
    if not isinstance(width, int) or not isinstance(height, int) or min(width, height) < 1:
        raise ValueError("a result must have original_width and original_height, whole numbers of pixels from 1 on")
    if form == "rle":
        return [Shape(str(label), "brush", value["rle"], (height, width)) for label in labels]
    points = value["points"] if form == "points" else _corners(value, width, height)
    outline = [coordinate for x, y in points for coordinate in (x * width / 100, y * height / 100)]
    return [Shape(str(label), "polygons", [outline], (height, width)) for label in labels]


def _corners(value: dict[str, Any], width: int, height: int) -> list[tuple[float, float]]:
    """The corners of a rectangle that may be turned about its first one, in percent."""
    angle = math.radians(value.get("rotation", 0))
    right = math.cos(angle) * value["width"], math.sin(angle) * value["width"] * width / height
    down = -math.sin(angle) * value["height"] * height / width, math.cos(angle) * value["height"]
    x, y = value["x"], value["y"]
    return [
        (x + a * right[0] + b * down[0], y + a * right[1] + b * down[1]) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]


def _names(task: dict[str, Any]) -> list[str]:
    """What the task's picture may be called on disk, the likeliest first.

    Raises:
        ValueError: if the task's data names no picture.
    """
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [data.get("image"), *data.values()]
    for text in texts:
        if not isinstance(text, str):
            continue
        address = urlsplit(text)
        path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
        if path.lower().endswith(ENDINGS):
            folder, slash, name = path.rpartition("/")
            return [path] + ([folder + slash + _UPLOADED.sub("", name)] if _UPLOADED.match(name) else [])
    raise ValueError("its data name no picture")


def _is_export(content: Any) -> bool:
    if not isinstance(content, list) or not content or not all(isinstance(task, dict) for task in content):
        return False
    return all("annotations" in task or _is_minimal(task) for task in content)


def _is_minimal(task: dict[str, Any]) -> bool:
    return any(isinstance(value, str) and urlsplit(value).path.lower().endswith(ENDINGS) for value in task.values())
