"""Schemas: whose features a TFRecord holds, under which keys and in which sizes.

One schema covers both levels of a data set; each record shows which it is by the keys it has. Context
features and feature lists that the schema does not name are passed over. A schema with `segments` makes rows of
the rated segments of each video instead of the video.
"""

import difflib
import os
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from mmvid.config import Options, explain, option
from mmvid.records.payloads import decode_video, encode_video
from mmvid.records.quantised import dequantise, mean_frame, pad_frames, quantise
from mmvid.records.segments import decode_rows
from mmvid.records.video import BadRecord, Video
from mmvid.tfrecords import framing
from mmvid.tfrecords.example import Parser

__all__ = [
    "BadRecord",
    "FeatureSpec",
    "Schema",
    "Video",
    "decode_video",
    "dequantise",
    "encode_video",
    "load_schema",
    "mean_frame",
    "pad_frames",
    "quantise",
    "schema_names",
]

_FOLDER = resources.files("mmvid.records") / "schemas"

Problem = BadRecord | framing.CorruptRecord


class FeatureSpec(Options):
    """One modality's features in a record."""

    size: int = option(..., "D, values of one vector", ge=1)
    mean: str | None = option(None, "key of the video-level feature, a float list")
    frames: str | None = option(None, "key of the frame-level feature list, of bytes or float lists")
    quantised_range: tuple[float, float] = option((-2.0, 2.0), "range that the bytes of a frame are spread over")

    @model_validator(mode="after")
    def _check(self) -> "FeatureSpec":
        if self.mean is None and self.frames is None:
            raise ValueError("a feature must have a mean key, a frames key or both")
        low, high = self.quantised_range
        if low >= high:
            raise ValueError(f"quantised_range must rise, got {low} to {high}")
        return self


class SegmentSpec(Options):
    """Ratings of a video's segments: three lists of equal length in a frame-level record, one entry a rating."""

    labels: str = option("segment_labels", "key of the rated classes, an integer list")
    start_times: str = option("segment_start_times", "key of the segments' first seconds, an integer list")
    scores: str = option("segment_scores", "key of the verdicts, a float list: 1 is there, 0 is not")
    frames: int = option(5, "frames of a segment, one a second", ge=1)


class Schema(Options):
    """A data set's records."""

    name: str = option(..., "what the schema is called", min_length=1)
    classes: int = option(..., "C, number of labels: they are 0 to C - 1", ge=1)
    features: dict[str, FeatureSpec] = Field(..., description="modality -> its features", min_length=1)
    id_keys: tuple[str, ...] = option(("id", "video_id"), "keys of the id; the first one present counts", min_length=1)
    labels_key: str = option("labels", "key of the labels, an integer list")
    max_frames: int = option(300, "frames kept of a video: the first ones", ge=1)
    vocabulary_files: tuple[str, ...] = option((), "files that may name the labels, looked for in the data folder")
    # Left out of the JSON where there are none, so that keys and digests of all other data sets do not know of it.
    segments: SegmentSpec | None = option(
        None, "the ratings of segments, which then are the rows", exclude_if=lambda spec: spec is None
    )

    @model_validator(mode="after")
    def _check(self) -> "Schema":
        for kind in ("mean", "frames"):
            keys = [key for spec in self.features.values() if (key := getattr(spec, kind)) is not None]
            if len(set(keys)) < len(keys):
                raise ValueError(f"features must have distinct {kind} keys, got {', '.join(keys)}")
            for key in keys:
                # A request has its features beside `id` and `options`, under the keys that they have in a record.
                if key in (*self.id_keys, self.labels_key, "id", "options") or key.startswith("_"):
                    raise ValueError(f"a feature's key must not be that of something else or begin with _, got {key!r}")
        for modality, spec in self.features.items():
            if modality in ("title", "keywords") or not modality.isidentifier():
                raise ValueError(f"a modality must be one word other than title and keywords, got {modality!r}")
            if spec.mean == spec.frames:
                raise ValueError(f"{modality} must have distinct keys for mean and frames, got {spec.mean!r} twice")
        return self

    def decode(self, payload: bytes) -> Video:
        """Reads one record as a whole video, even where segments are the rows; see `decode_video`."""
        return decode_video(self, payload)

    def read(self, path: str | os.PathLike, on_bad: Callable[[Problem], None] | None = None) -> Iterator[Video]:
        """Reads the videos of one TFRecord file, plain or gzip, or their segments where the schema has some.

        Args:
            on_bad: called with each record that is damaged or does not fit; the rest is read on as far as it
                can be found (see `framing.read_records`).

        Raises:
            CorruptRecord, BadRecord: at the first such record, if `on_bad` is not given; the sentence names
                the file, the byte offset and, where known, the id.
        """
        parse = Parser().parse
        for offset, payload in framing.read_records(path, on_bad):
            try:
                rows = decode_rows(self, payload, parse)
            except BadRecord as error:
                located = error.at(path, offset)
                if on_bad is None:
                    raise located from error
                on_bad(located)
                continue
            yield from rows


def schema_names() -> list[str]:
    """The names of the schemas that come with mmvid."""
    return sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))


def load_schema(name_or_path: str | os.PathLike) -> Schema:
    """A schema that comes with mmvid, by its name, or a YAML file's, by its path.

        name: my_talks
        classes: 12
        features:
          visual: {size: 512, mean: clip_mean, frames: clip}
          speech: {size: 256, mean: speech_mean}

    Raises:
        ValueError: if there is no such schema, or the file does not hold one; the sentence names file and
            field.
    """
    name = os.fspath(name_or_path)
    if name in schema_names():
        return _read(f"schema {name}", (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    path = Path(name)
    if not path.is_file():
        near = _nearest(name, schema_names())
        raise ValueError(f"unknown schema {name!r}{near}; there are {', '.join(schema_names())}, or give a YAML file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: a schema must be UTF-8 text, byte {error.start} is not") from None
    return _read(name, text)


def _read(place: str, text: str) -> Schema:
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{place}: {line}not YAML: {problem}") from None
    except RecursionError:
        raise ValueError(f"{place}: not a schema: it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"{place}: a schema must be a mapping of fields, got {type(content).__name__}")
    try:
        return Schema(**content)
    except ValidationError as error:
        raise ValueError(f"{place}: {explain(error)}{_hint(error)}") from None
    except TypeError:
        raise ValueError(f"{place}: the fields of a schema must be words") from None


def _hint(error: ValidationError) -> str:
    """The known field nearest to an unknown one."""
    fault = error.errors()[0]
    if fault["type"] != "extra_forbidden":
        return ""
    spec = Schema if len(fault["loc"]) == 1 else SegmentSpec if fault["loc"][0] == "segments" else FeatureSpec
    return _nearest(str(fault["loc"][-1]), list(spec.model_fields))


def _nearest(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {near[0]}?" if near else ""


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key given twice is refused, where YAML would keep the last in silence, and a value that
    its type cannot hold, such as the date 2001-99-99, is a fault of that line."""

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"no valid {kind}", node.start_mark) from None

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (str, int, float, bool)) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)
