"""A packaged segmenter behind HTTP: a picture in, its mask as a PNG, polygons and the confidence out.

    {"inputs": [{"id": "a", "picture": "iVBORw0KGgo...", "options": {"threshold": 0.4}}]}

`picture` is a PNG or JPEG as base64, or rows of pixels as nested lists: [R, G, B] or grey, whole numbers from 0 to 255.
It may have any size; its largest centred square is read, and the mask has the picture's own size. A JPEG that its EXIF
turns is turned first, as viewers show it. Anything wrong is HTTP 400 and one sentence, as `serving` tells it.
"""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from mlflow.pyfunc import PythonModel
from PIL import Image

from mmvid.config import Options, explain, option
from mmvid.encoder_serving import LARGEST, read_picture
from mmvid.logged import log_package, package_of
from mmvid.requests import BadRequest, record_model
from mmvid.segmentation import package as packages
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation.pictures import png, polygons

KEYS = ("id", "picture", "options")


class RequestOptions(Options):
    """What to answer for a record."""

    threshold: float | None = option(
        None, "probability from which on a pixel is in the mask; none: the model's", gt=0, lt=1
    )
    polygons: bool = option(True, "whether to answer outlines", strict=True)
    scores: bool = option(False, "whether to answer the probabilities, too, as a grey PNG", strict=True)


class Service:
    """Checked records to answers."""

    def __init__(self, package: SegmenterPackage):
        self.package = package

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a record.

        `mask` is a PNG of 0 and 255 (base64) of the picture's size, `polygons` as `pictures.polygons` has them,
        `confidence` the mean probability of the mask's pixels (0 where it has none), `share` their share of all,
        `scores` the probabilities as a grey PNG (base64), where they are asked for.

        Raises:
            BadRequest: at the first fault; the sentence says which record and key, what was needed, what came.
        """
        if not records:
            raise BadRequest("inputs must hold at least one record, got none")
        checked = [_checked(row, record) for row, record in enumerate(records)]
        scores = self.package.segment([picture for _, picture in checked])
        return [
            {"id": record.get("id"), **self._shown(each, options)}
            for record, each, (options, _) in zip(records, scores, checked, strict=True)
        ]

    def _shown(self, scores: np.ndarray, options: RequestOptions) -> dict[str, Any]:
        threshold = self.package.threshold if options.threshold is None else options.threshold
        mask = scores >= threshold
        answer: dict[str, Any] = {"mask": _encoded(mask), "height": len(mask), "width": mask.shape[1]}
        answer["confidence"] = float(scores[mask].mean()) if mask.any() else 0.0
        answer["share"] = float(mask.mean())
        if options.polygons:
            answer["polygons"] = polygons(scores, threshold)
        if options.scores:
            answer["scores"] = _encoded(scores)
        return answer


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(png(values)).decode("ascii")


def _checked(row: int, record: dict[str, Any]) -> tuple[RequestOptions, Image.Image]:
    for key in record:
        if key not in KEYS:
            raise BadRequest(f"record {row}: unknown key {key!r}; there are {', '.join(KEYS)}")
    if not isinstance(record.get("id"), str | int | None):
        raise BadRequest(f"record {row}: id must be text or a whole number, got {type(record['id']).__name__}")
    given = record.get("options")
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise BadRequest(f"record {row}: options must be an object, got {given!r}")
    try:
        options = RequestOptions(**given)
    except pydantic.ValidationError as error:
        raise BadRequest(f"record {row}: {explain(error)}") from error
    where, value = f"record {row}: picture", record.get("picture")
    if value is None:
        raise BadRequest(f"{where} must be given")
    return options, _of_numbers(where, value) if isinstance(value, list | np.ndarray) else read_picture(where, value)


def _of_numbers(where: str, value: list | np.ndarray) -> Image.Image:
    """The picture of nested lists (H, W, 3) or (H, W)."""
    try:
        pixels = np.asarray(value)
        pixels = np.asarray(pixels.tolist()) if pixels.dtype == object else pixels  # of a DataFrame
    except ValueError as error:
        raise BadRequest(f"{where} must have rows of one length") from error
    if pixels.dtype.kind not in "iuf":
        raise BadRequest(f"{where} must be rows of pixels, whole numbers, or base64 text")
    if pixels.size == 0:
        raise BadRequest(f"{where} must have at least one pixel, got none")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise BadRequest(f"{where} must be of height x width, or x 3, got {' x '.join(map(str, pixels.shape))}")
    if pixels.shape[0] * pixels.shape[1] > LARGEST:
        raise BadRequest(f"{where} must have at most {LARGEST} pixels, it is {pixels.shape[1]} x {pixels.shape[0]}")
    if not ((pixels >= 0) & (pixels <= 255)).all() or (pixels != np.floor(pixels)).any():
        raise BadRequest(f"{where} must be whole numbers from 0 to 255")
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def open_service(folder: Path) -> Service:
    """The service of a package folder."""
    return Service(packages.load(folder))


def python_model() -> PythonModel:
    """The MLflow model class."""
    return record_model({"id": str, "picture": str, "options": dict[str, float]}, open_service)


def input_example(package: SegmenterPackage) -> list[dict[str, Any]]:
    """A request of one record: a grey picture of the training frames' size."""
    content = io.BytesIO()
    Image.fromarray(np.full((*package.frame, 3), 128, np.uint8)).save(content, format="PNG")
    picture = base64.b64encode(content.getvalue()).decode("ascii")
    return [{"id": "example", "picture": picture, "options": {"threshold": 0.5}}]


def log_model(package: SegmenterPackage, folder: Path, requirements: list[str]) -> str:
    """Logs a package folder as a pyfunc model of the active run, with our code beside it; the model's URI.

    Args:
        package: what is in the folder.
        folder: the folder that `package.save` wrote.
        requirements: pinned requirements of the serving environment.
    """
    return log_package(package.name, "served_segmenter.py", folder, input_example(package), requirements)


def load_logged(uri: str) -> SegmenterPackage:
    """The package inside a logged or registered model, such as `models:/mmvid-segmenter@champion`.

    Raises:
        ValueError: if there is no such model, or it is no segmenter of ours.
    """
    return packages.load(package_of(uri, "a segmenter"))
