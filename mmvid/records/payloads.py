"""Records and videos: what a payload says in a schema's terms, and the payload of a video."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmvid.records.quantised import mean_frame
from mmvid.records.video import BadRecord, Video
from mmvid.tfrecords import example
from mmvid.tfrecords.encode import encode_example, encode_sequence_example
from mmvid.tfrecords.example import Place, Record
from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows
from mmvid.tfrecords.wire import MalformedExample

if TYPE_CHECKING:
    from mmvid.records.schema import Schema

_SHOWN_KEYS = 10


def decode_video(schema: "Schema", payload: bytes, parse: Callable[[bytes], Record] = example.parse) -> Video:
    """Reads one record.

    A modality whose key is absent, whose feature is empty or whose feature list has no steps is absent from
    the video. As in the original readers each modality keeps its own frames, at most `max_frames`, and the
    first modality listed says how many frames the video has. A stored mean goes before the mean of the
    frames.

    Args:
        parse: `example.parse`, or that of a `Parser` that remembers the layouts of a file.

    Raises:
        BadRecord: if the record cannot be read, has no id key or none of the features, if a label is outside
            0 to C - 1, a vector of another length, or a value NaN or infinite.
    """
    return read_video(schema, parse_record(payload, parse))


def parse_record(payload: bytes, parse: Callable[[bytes], Record] = example.parse) -> Record:
    """The places of a record's features, or `BadRecord`."""
    try:
        return parse(payload)
    except MalformedExample as error:
        raise BadRecord("unreadable", str(error)) from error


def read_video(schema: "Schema", record: Record, views: bool = False) -> Video:
    """The video of a parsed record; see `decode_video`.

    Args:
        views: leaves the frames in the record, which they then keep alive, and leaves out means that are not stored.
    """
    id = _id(schema, record)
    labels = _labels(schema, record, id)
    features = _features(schema, record, id)
    frames = _frames(schema, record, id, views)
    for modality, rows in frames.items():
        if modality not in features and not views:
            features[modality] = mean_frame(rows, *schema.features[modality].quantised_range)
    if not features and not frames:
        raise BadRecord("no feature", f"no feature of schema {schema.name}; {keys_of(record)}", id)
    return Video(id, labels, features, frames, len(next(iter(frames.values()))) if frames else 1)


def encode_video(schema: "Schema", video: Video, level: Literal["video", "frame"] = "video") -> bytes:
    """The record of a video in the schema's format: an Example at video level, a SequenceExample at frame
    level.

    The id goes under the first of the schema's id keys; labels that are None are left out. Values are written
    as they are: it is `decode_video` that holds them to the schema.

    Raises:
        ValueError: if the schema has no key of that level for a modality of the video.
    """
    context = {schema.id_keys[0]: [video.id.encode()]}
    if video.labels is not None:
        context[schema.labels_key] = np.asarray(video.labels, np.int64)
    part = video.features if level == "video" else video.frames
    keys = {}
    for modality in part:
        spec = schema.features.get(modality)
        key = None if spec is None else spec.mean if level == "video" else spec.frames
        if key is None:
            raise ValueError(f"schema {schema.name} has no {level}-level key for {modality!r}")
        keys[modality] = key
    if level == "video":
        return encode_example(context | {keys[modality]: vector for modality, vector in part.items()})
    return encode_sequence_example(context, {keys[modality]: rows for modality, rows in part.items()})


def _id(schema: "Schema", record: Record) -> str:
    for key in schema.id_keys:
        place = record.context.get(key)
        if place is None:
            continue
        try:
            values = read_bytes(record.data, place)
        except MalformedExample as error:
            raise unreadable(key, error) from error
        if len(values) > 1:
            raise BadRecord("id", f"{key!r} holds {len(values)} ids, expected 1")
        try:
            return values[0].decode() if values else ""
        except UnicodeDecodeError:
            raise BadRecord("id", f"{key!r} is not UTF-8: {values[0][:40]!r}") from None
    raise BadRecord("id", f"no id under {' or '.join(map(repr, schema.id_keys))}; {keys_of(record)}")


def _labels(schema: "Schema", record: Record, id: str) -> np.ndarray | None:
    place = record.context.get(schema.labels_key)
    if place is None:
        return None
    try:
        labels = sorted(set(read_ints(record.data, place)))
    except MalformedExample as error:
        raise unreadable(schema.labels_key, error, id) from error
    check_labels(schema, labels, id)
    return np.array(labels, np.int32)


def _features(schema: "Schema", record: Record, id: str) -> dict[str, np.ndarray]:
    features = {}
    for modality, spec in schema.features.items():
        key, size = spec.mean, spec.size
        place = record.context.get(key)
        if place is None or place[1] == place[2]:
            continue
        try:
            vector = read_floats(record.data, place)
        except MalformedExample as error:
            raise unreadable(key, error, id) from error
        if len(vector) != size:
            raise BadRecord("length", f"{key!r} has {len(vector)} values, expected {size}", id)
        _check_finite(vector, key, id)
        features[modality] = vector
    return features


def _frames(schema: "Schema", record: Record, id: str, views: bool) -> dict[str, np.ndarray]:
    frames = {}
    if not record.lists:
        return frames
    for modality, spec in schema.features.items():
        key, size = spec.frames, spec.size
        place = record.lists.get(key)
        if place is None or place[1] == place[2]:
            continue
        try:
            rows = read_rows(record.data, place)[: schema.max_frames]
        except MalformedExample as error:
            raise unreadable(key, error, id) from error
        if len(rows) == 0:
            continue
        if rows.shape[1] != size:
            raise BadRecord("length", f"frames of {key!r} have {rows.shape[1]} values, expected {size}", id)
        if not views:
            rows = rows.copy()  # free of the record, whose other frames would be kept alive by a view
        if rows.dtype != np.uint8:
            _check_finite(rows.reshape(-1), key, id)
        frames[modality] = rows
    return frames


def _check_finite(values: np.ndarray, key: str, id: str) -> None:
    finite = np.isfinite(values)
    if 0 in finite.tobytes():  # `finite.all()` takes twice as long, for every vector of a data set
        position = int(finite.argmin())
        what = f"{key!r} holds {values[position]} at position {position}; values must be finite"
        raise BadRecord("not finite", what, id)


def check_labels(schema: "Schema", labels: list[int], id: str) -> None:
    """Raises `BadRecord` if one of the labels, which are ascending, is no class of the schema."""
    if labels and not (0 <= labels[0] and labels[-1] < schema.classes):
        wrong = labels[0] if labels[0] < 0 else labels[-1]
        what = f"label {wrong} is outside 0 to {schema.classes - 1}, the classes of schema {schema.name}"
        raise BadRecord("label", what, id)


def unreadable(key: str, error: MalformedExample, id: str | None = None) -> BadRecord:
    """That a feature's bytes are damaged or of another kind."""
    return BadRecord("unreadable", f"{key!r}: {error}", id)


def keys_of(record: Record) -> str:
    """What a record has, in words."""
    return f"the record has the features {_listed(record.context)} and the feature lists {_listed(record.lists)}"


def _listed(keys: dict[str, Place]) -> str:
    shown = [repr(key) for key in sorted(keys)[:_SHOWN_KEYS]]
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return f"({', '.join(shown)}{more})"
