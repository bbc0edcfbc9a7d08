"""A packaged encoder behind HTTP: pictures as base64 in, a predicted clip as a GIF or feature maps out.

    {"inputs": [{"id": "a", "frames": ["iVBORw0KGgo..."], "options": {"answer": "clip", "seed": 3}}]}

`frames` are as many PNG or JPEG pictures as the model is conditioned on (for features: one or a whole clip), of any
size: their centred square is resized. Anything wrong is HTTP 400 and one sentence, as `serving` tells it.
"""

import base64
import binascii
import io
import re
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from mlflow.pyfunc import PythonModel
from PIL import Image, UnidentifiedImageError

from mmvid import encoder_package
from mmvid.animation import gif
from mmvid.clips.batches import as_bytes, as_pixels
from mmvid.clips.pictures import as_seen, fitted
from mmvid.config import Options, explain, option
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import videogpt
from mmvid.logged import log_package, package_of
from mmvid.requests import BadRequest, record_model

LARGEST = 16_000_000  # pixels of a picture
KEYS = ("id", "frames", "category", "options")
_ADDRESS = re.compile(r"^data:image/(?:png|jpeg);base64,")  # what a browser writes before the picture


class RequestOptions(Options):
    """What to answer for a record."""

    answer: Literal["clip", "features"] | None = option(None, "a predicted clip, or feature maps; none: what it can")
    temperature: float = option(1.0, "of the sampling; 0 takes the likeliest code", ge=0)
    top_k: int = option(0, "codes that sampling draws among; 0 for all", ge=0, strict=True)
    seed: int = option(0, "of the sampling", ge=0, strict=True)


class Service:
    """Checked records to answers."""

    def __init__(self, package: EncoderPackage):
        self.package, self.model = package, package.model
        self.predicts = isinstance(self.model, videogpt.Model)
        self.source = self.model.vqvae if self.predicts else self.model

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a record: `id` with `gif` (base64), `frames`, `height` and `width`, or with `features`.

        Raises:
            BadRequest: at the first fault; the sentence says which record and key, what was needed, what came.
        """
        if not records:
            raise BadRequest("inputs must hold at least one record, got none")
        checked = [self._checked(row, record) for row, record in enumerate(records)]
        return [
            {"id": record.get("id"), **self._answered(*each)} for record, each in zip(records, checked, strict=True)
        ]

    def _checked(self, row: int, record: dict[str, Any]) -> tuple[RequestOptions, torch.Tensor | None, int | None]:
        for key in record:
            if key not in KEYS:
                raise BadRequest(f"record {row}: unknown key {key!r}; there are {', '.join(KEYS)}")
        given = record.get("options")
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise BadRequest(f"record {row}: options must be an object, got {given!r}")
        try:
            options = RequestOptions(**given)
        except pydantic.ValidationError as error:
            raise BadRequest(f"record {row}: {explain(error)}") from error
        answer = options.answer or ("clip" if self.predicts else "features")
        if answer == "clip" and not self.predicts:
            raise BadRequest(f"record {row}: answer must be features: a {self.package.name} predicts no clips")
        frames, category = self._frames(row, record.get("frames"), answer), record.get("category")
        categories = self.model.config.categories if self.predicts else 0
        if answer == "clip" and categories:
            if not isinstance(category, int) or isinstance(category, bool) or not 0 <= category < categories:
                raise BadRequest(f"record {row}: category must be from 0 to {categories - 1}, got {category!r}")
        elif category is not None:
            raise BadRequest(f"record {row}: category must not be given: it changes nothing in this answer")
        return options.model_copy(update={"answer": answer}), frames, category

    def _frames(self, row: int, value: Any, answer: str) -> torch.Tensor | None:
        """The pictures of a record as pixels (1, 3, T, H, W)."""
        value = [value] if isinstance(value, str) else value
        length = self.source.config.sequence_length
        if answer == "clip":
            wanted = {self.model.config.conditioned_frames}
        else:
            wanted = {1, length}
            if self.predicts and self.model.resnet is None:
                raise BadRequest(f"record {row}: answer must be clip: this model has no features of frames")
        if wanted == {0}:
            if value:
                raise BadRequest(f"record {row}: frames must not be given: this model is not conditioned on any")
            return None
        if not isinstance(value, list) or len(value) not in wanted:
            need = " or ".join(map(str, sorted(wanted)))
            got = len(value) if isinstance(value, list) else repr(value)
            raise BadRequest(f"record {row}: frames must be pictures as base64, {need} of them, got {got}")
        side = self.source.config.resolution
        pictures = [
            fitted(read_picture(f"record {row}: frame {number}", each), side) for number, each in enumerate(value)
        ]
        return as_pixels(np.stack(pictures))[None]

    @torch.inference_mode()
    def _answered(self, options: RequestOptions, frames: torch.Tensor | None, category: int | None) -> dict[str, Any]:
        if options.answer == "features":
            features = self.model.features(frames)[0].float().numpy()
            return {"features": features.tolist(), "shape": list(features.shape)}
        clip = self.model.sample(
            1,
            frames,
            None if category is None else torch.tensor([category]),
            temperature=options.temperature,
            top_k=options.top_k or None,
            generator=torch.Generator().manual_seed(options.seed),
        )
        pixels = as_bytes(clip[0]).numpy()
        steps, height, width, _ = pixels.shape
        encoded = base64.b64encode(gif(pixels)).decode("ascii")
        return {"gif": encoded, "frames": steps, "height": height, "width": width}


def read_picture(where: str, value: Any) -> Image.Image:
    """The picture of a base64 text, upright and in RGB.

    Raises:
        BadRequest: if it is none, or too large; the sentence begins with `where`.
    """
    if not isinstance(value, str):
        raise BadRequest(f"{where} must be a picture as base64 text, got {type(value).__name__}")
    try:
        content = base64.b64decode(_ADDRESS.sub("", value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{where} must be base64: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked below
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        if picture.width * picture.height > LARGEST:
            raise BadRequest(f"{where} must have at most {LARGEST} pixels, it is {picture.width} x {picture.height}")
        return as_seen(picture)
    except UnidentifiedImageError as error:  # it would name an object in memory
        raise BadRequest(f"{where} must be a PNG or JPEG picture: its {len(content)} bytes are of neither") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadRequest(f"{where} must be a PNG or JPEG picture: {str(error) or type(error).__name__}") from error


def open_service(folder: Path) -> Service:
    """The service of a package folder."""
    return Service(encoder_package.load(folder))


def python_model() -> PythonModel:
    """The MLflow model class."""
    return record_model({"id": str, "frames": list[str], "category": int, "options": dict[str, str]}, open_service)


def input_example(package: EncoderPackage) -> list[dict[str, Any]]:
    """A request of one record; its features are asked for, where it has some, as they take less time than a clip."""
    model = package.model
    if isinstance(model, videogpt.Model) and model.resnet is None:
        return [{"id": "example"} | ({"category": 0} if model.config.categories else {})]
    content = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(content, format="PNG")
    picture = base64.b64encode(content.getvalue()).decode("ascii")
    return [{"id": "example", "frames": [picture], "options": {"answer": "features"}}]


def log_model(package: EncoderPackage, folder: Path, requirements: list[str]) -> str:
    """Logs a package folder as a pyfunc model of the active run, with our code beside it.

    Args:
        package: what is in the folder.
        folder: the folder that `encoder_package.save` wrote.
        requirements: pinned requirements of the serving environment.

    Returns:
        The model's URI, `models:/m-...`.
    """
    return log_package(package.name, "served_encoder.py", folder, input_example(package), requirements)


def load_logged(uri: str) -> EncoderPackage:
    """The package inside a logged or registered model, such as `models:/mmvid-videogpt@candidate`.

    Raises:
        ValueError: if there is no such model, or it is no encoder of ours.
    """
    return encoder_package.load(package_of(uri, "an encoder"))
