"""A packaged classifier behind HTTP: records as JSON in, labels with names and scores out.

A record has the keys of the TFRecords that the model was trained on: `mean_rgb` for a video-level feature, `rgb` for
frames (uint8; averaged here for a model that reads video-level features). A model that reads frames takes no mean for
them. Any subset of the modalities will do. `options` in a record are checked like any others.
A model that reads titles and keywords takes them raw; with `language`, where it is known, it is not detected.

    {"inputs": [{"id": "a", "mean_rgb": [...], "mean_audio": [...], "options": {"top_k": 5}}]}
    {"inputs": [{"title": "How to tune a guitar", "keywords": ["guitar", "acoustic music"], "mean_rgb": [...]}]}
"""

import dataclasses
import math
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch
from mlflow.pyfunc import PythonModel

from mmvid import packaging
from mmvid.config import Options, explain, option
from mmvid.logged import log_package, package_of
from mmvid.packaging import Package
from mmvid.records.batches import Batch
from mmvid.records.quantised import mean_frame, pad_frames
from mmvid.records.schema import FeatureSpec
from mmvid.requests import BadRequest, record_model
from mmvid.text.fields import Cleaning
from mmvid.text.raw import RawText
from mmvid.text_encoder import pad_numbers

CHUNK = 256  # records scored at once
FRAME_CHUNK = 32  # of a model that reads frames: 300 frames of 1152 numbers each are 44 MB then
TEXT_KINDS = {"title": "text", "keywords": "texts"}  # key of raw text -> what it is
EXAMPLE = {"title": "How to play the guitar", "keywords": ["guitar lesson", "music"]}
LARGEST = 1e15  # of a feature's numbers: the squares of larger ones overflow float32


class RequestOptions(Options):
    """What to answer for a record."""

    top_k: int = option(20, "best labels to answer", ge=1, strict=True)
    dense: bool = option(False, "answer the scores of all classes instead", strict=True)


def request_keys(package: Package) -> dict[str, tuple[str, bool]]:
    """The feature keys that a record may have -> (modality, whether the key holds frames)."""
    keys = {}
    for modality in _recorded(package):
        spec = package.schema.features[modality]
        if spec.mean and package.level(modality) == "features":
            keys[spec.mean] = (modality, False)
        if spec.frames:
            keys[spec.frames] = (modality, True)
    return keys


def text_keys(package: Package) -> list[str]:
    """The keys of raw text that a record may have: `title`, `keywords`; none for a model that reads no text."""
    read = {*package.model.reads_text}
    if package.encoder is not None and "keywords" in package.model.modalities:
        read.add("keywords")
    if package.encoder is not None and "title" in package.model.modalities:
        read.update(package.encoder.titles.reads_text)
    return [key for key in TEXT_KINDS if key in read]


def _recorded(package: Package) -> list[str]:
    """The modalities of a model that come as features; a text encoder makes the others."""
    made = () if package.encoder is None else package.encoder.sizes
    return [modality for modality in package.model.modalities if modality not in made]


@dataclasses.dataclass(frozen=True)
class Given:
    """A checked record.

    Attributes:
        features: modality -> its video-level feature.
        words: `title` and `keywords` -> numbers of their words; none where the record has no such text.
    """

    features: dict[str, np.ndarray]
    words: dict[str, list[int]]


class Service:
    """Checked records to answers."""

    def __init__(self, package: Package):
        self.package = package
        self.keys = request_keys(package)
        self.text_keys = text_keys(package)
        self.known = ["id", *self.keys, *self.text_keys, *(["language"] if self.text_keys else []), "options"]
        if package.encoder is None:
            self.text = RawText(package.words, package.cleaning or Cleaning())
        else:
            self.text = package.encoder.text

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a record: `id` with `labels` (id, name, score; best first), or with `scores` of all classes.

        Raises:
            BadRequest: at the first fault; the sentence says which record and key, what was needed, what came.
        """
        options, scores = self._checked(records)
        return [
            {"id": record.get("id"), **self._shown(row, wanted)}
            for record, row, wanted in zip(records, scores, options, strict=True)
        ]

    def scores(self, records: list[dict[str, Any]]) -> np.ndarray:
        """Scores of all classes, float32 (records, C); options have nothing to say here but must be right.

        Raises:
            BadRequest: as `answer`.
        """
        return self._checked(records)[1]

    def _checked(self, records: list[dict[str, Any]]) -> tuple[list[RequestOptions], np.ndarray]:
        """The options of each record, and the scores."""
        if not records:
            raise BadRequest("inputs must hold at least one record, got none")
        options = [self._options(row, record) for row, record in enumerate(records)]
        given = []
        for row, record in enumerate(records):
            self._check_keys(row, record)
            given.append(self.read(row, record))
            self._check_found(row, given[-1:])
        return options, self.score(given)

    def score(self, given: list[Given]) -> np.ndarray:
        """Scores of all classes, float32 (records, C)."""
        chunk = FRAME_CHUNK if self.package.model.reads_frames else CHUNK
        with torch.inference_mode():
            parts = [
                self.package.model(self._batch(given[start : start + chunk])).float().numpy()
                for start in range(0, len(given), chunk)
            ]
        return np.concatenate(parts)

    def _batch(self, given: list[Given]) -> Batch:
        batch, videos = Batch(ids=[""] * len(given)), [each.features for each in given]
        recorded = _recorded(self.package)
        framed = [each for each in recorded if self.package.level(each) == "frames"]
        if framed:  # a video is as long as its first modality, and has a frame of zeros where it has none at all
            lengths = [max([1, *[len(each[m]) for m in framed if m in each][:1]]) for each in videos]
            batch.num_frames = torch.tensor(lengths)
        for modality in recorded:
            batch.presence[modality] = torch.tensor([modality in each for each in videos])
            if modality in framed:
                batch.frames[modality] = self._padded([each.get(modality) for each in videos], modality, lengths)
            else:
                absent = np.zeros(self.package.shapes.features[modality], np.float32)
                values = np.stack([each.get(modality, absent) for each in videos])
                batch.features[modality] = torch.from_numpy(values)
        if self.text_keys:
            self._add_text(batch, given)
        return batch

    def _padded(self, videos: list[np.ndarray | None], modality: str, lengths: list[int]) -> torch.Tensor:
        """Frames of several videos, dequantised, cut to the videos' lengths and padded with zeros, (B, T, D)."""
        size, span = self.package.shapes.frames[modality], self.package.schema.features[modality].quantised_range
        none = np.zeros((0, size), np.float32)
        frames = [none if each is None else each[:length] for each, length in zip(videos, lengths, strict=True)]
        return torch.from_numpy(np.stack([pad_frames(each, max(lengths), *span) for each in frames]))

    def _add_text(self, batch: Batch, given: list[Given]) -> None:
        """Gives a batch the words that the model reads, or the features that the encoder makes of them."""
        encoder, model = self.package.encoder, self.package.model
        words = {key: [each.words.get(key, []) for each in given] for key in TEXT_KINDS}
        if encoder is None:
            for field in model.reads_text:
                batch.tokens[field], batch.token_lengths[field] = pad_numbers(words[field], model.longest)
                batch.presence[field] = batch.token_lengths[field] > 0
            return
        tokens = {field: pad_numbers(rows)[0] for field, rows in words.items()}
        present = encoder.present(tokens)
        for modality, features in encoder.features(tokens).items():
            if modality in model.modalities:
                batch.features[modality], batch.presence[modality] = features, present[modality]

    def _shown(self, scores: np.ndarray, wanted: RequestOptions) -> dict[str, Any]:
        if wanted.dense:
            return {"scores": scores.tolist()}
        best = np.argsort(-scores, kind="stable")[: wanted.top_k]
        names = self.package.labels
        return {"labels": [{"id": int(c), "name": names[c], "score": float(scores[c])} for c in best]}

    def _options(self, row: int, record: dict[str, Any]) -> RequestOptions:
        given = record.get("options")
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise BadRequest(f"record {row}: options must be an object, got {given!r}")
        try:
            return RequestOptions(**given)
        except pydantic.ValidationError as error:
            raise BadRequest(f"record {row}: {explain(error)}") from error

    def _check_keys(self, row: int, record: dict[str, Any]) -> None:
        for key in record:
            if key not in self.known:
                raise BadRequest(f"record {row}: unknown key {key!r}; there are {', '.join(self.known)}")
        if not isinstance(record.get("id"), str | int | None):
            raise BadRequest(f"record {row}: id must be text or a whole number, got {record['id']!r}")

    def _check_found(self, row: int, given: list[Given]) -> None:
        if not any(each.features or each.words for each in given):
            raise BadRequest(f"record {row} must have at least one of {', '.join([*self.keys, *self.text_keys])}")

    def read(self, row: int, record: dict[str, Any]) -> Given:
        """What a record has of what the model reads; `row` is its number in the request, for errors."""
        found: dict[str, np.ndarray] = {}
        for key, (modality, holds_frames) in self.keys.items():
            if record.get(key) is None:
                continue
            if modality in found:
                raise BadRequest(f"record {row}: {modality} must be given once, as its mean or as its frames")
            where, spec = f"record {row}: {key}", self.package.schema.features[modality]
            if not holds_frames:
                found[modality] = self._vector(where, record[key], spec)
            else:
                quantised = modality not in self.package.shapes.float_frames
                frames = self._frames(where, record[key], spec, quantised)
                averaged = self.package.level(modality) == "features"
                found[modality] = mean_frame(frames, *spec.quantised_range) if averaged else frames
        return Given(found, self._words(row, record))

    def _words(self, row: int, record: dict[str, Any]) -> dict[str, list[int]]:
        """The words of the raw texts that a record has; none of a text that has no word that the model knows."""
        language = record.get("language")
        if not isinstance(language, str | None):
            raise BadRequest(f"record {row}: language must be a code such as en, got {reprlib.repr(language)}")
        words = {}
        for key in self.text_keys:
            value = record.get(key)
            if value is None:
                continue
            if key == "title":
                if not isinstance(value, str):
                    raise BadRequest(f"record {row}: title must be text, got {reprlib.repr(value)}")
                words[key] = self.text.title(value, language or None)
            else:
                value = value.tolist() if isinstance(value, np.ndarray) else value  # of a DataFrame read from Parquet
                if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                    raise BadRequest(f"record {row}: keywords must be a list of texts, got {reprlib.repr(value)}")
                words[key] = self.text.keywords(value, language or None)
        return words

    def _vector(self, where: str, value: Any, spec: FeatureSpec) -> np.ndarray:
        vector = _numbers(where, value)
        if vector.shape != (spec.size,):
            raise BadRequest(f"{where} must be {spec.size} numbers, got {_extent(vector)}")
        return vector.astype(np.float32)

    def _frames(self, where: str, value: Any, spec: FeatureSpec, quantised: bool) -> np.ndarray:
        """The frames that are kept, (T, D), uint8 where they are quantised, else float32."""
        frames = _numbers(where, value)
        if frames.ndim != 2 or frames.shape[1] != spec.size or len(frames) == 0:
            raise BadRequest(f"{where} must be frames of {spec.size} numbers each, got {_extent(frames)}")
        frames = frames[: self.package.schema.max_frames]
        if not quantised:
            return frames.astype(np.float32)
        if frames.min() < 0 or frames.max() > 255 or (frames != np.floor(frames)).any():
            raise BadRequest(f"{where} must be whole numbers from 0 to 255, as quantised features are")
        return frames.astype(np.uint8)


def _numbers(where: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.array([None])
    if array.dtype.kind not in "iuf":
        raise BadRequest(f"{where} must be an array of numbers, all rows of one length")
    array = array.astype(np.float64)
    bad = np.argwhere(~(np.abs(array) <= LARGEST))
    if len(bad):
        number, found = ", ".join(map(str, bad[0])), array[tuple(bad[0])]
        need = "finite" if not np.isfinite(found) else f"of at most {LARGEST:g} in size"
        raise BadRequest(f"{where} must be {need}, number {number} is {found:g}")
    return array


def _extent(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) if array.ndim else "a single number"


def open_service(folder: Path) -> Service:
    """The service of a classifier's package folder."""
    return Service(packaging.load(folder))


def python_model(keys: dict[str, bool | str], opened: Callable[[Path], Service] = open_service) -> PythonModel:
    """The MLflow model class for records with the given keys: True for frames, False for a vector, or a `TEXT_KINDS`.

    `opened` makes the service of the package folder. With the model config `dense` it answers the array of all scores.
    """
    types = {True: list[list[float]], False: list[float], "text": str, "texts": list[str]}
    kinds = {"id": str, **{key: types[kind] for key, kind in keys.items()}, "options": dict[str, int]}
    return record_model(kinds, opened)


def input_example(package: Package) -> list[dict[str, Any]]:
    """A request of one record with all that the model reads."""
    record: dict[str, Any] = {"id": "example"}
    for modality in _recorded(package):
        spec, level = package.schema.features[modality], package.level(modality)
        size = getattr(package.shapes, level)[modality]
        if spec.mean and level == "features":
            record[spec.mean] = [round(math.sin(i), 3) for i in range(size)]
        else:
            record[spec.frames] = [[128] * size]  # right as bytes and as floats
    record |= {key: EXAMPLE[key] for key in text_keys(package)}
    return [record | {"options": {"top_k": 3}}]


def log_model(package: Package, folder: Path, requirements: list[str]) -> str:
    """Logs a package folder as a pyfunc model of the active run, with our code beside it.

    Args:
        package: what is in the folder.
        folder: the folder that `packaging.save` wrote.
        requirements: pinned requirements of the serving environment.

    Returns:
        The model's URI, `models:/m-...`.
    """
    settings = {"keys": kinds(package), "dense": False}
    return log_package(package.name, "served.py", folder, input_example(package), requirements, settings)


def kinds(package: Package) -> dict[str, bool | str]:
    """The keys of a record as `python_model` takes them."""
    texts = text_keys(package)
    features: dict[str, bool | str] = {key: frames for key, (_, frames) in request_keys(package).items()}
    return features | {key: TEXT_KINDS[key] for key in texts} | ({"language": "text"} if texts else {})


def load_logged(uri: str) -> Package:
    """The package inside a logged or registered model, such as `models:/mmvid-moe@champion`.

    Raises:
        ValueError: if there is no such model, or it is none of ours.
    """
    return packaging.load(package_of(uri, "a model"))
