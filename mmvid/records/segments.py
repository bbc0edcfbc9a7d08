"""The rated segments of a video, each a row of its own.

A record holds one entry a rating in each of three lists: the class, the second at which the segment starts, and the
verdict, 1 or 0. Classes that nobody rated a segment for are neither there nor absent: their loss and their scores
must not count, so the rated classes are kept beside the labels.

A video without ratings, as those of a test split, is cut into segments from its beginning, without overlap; a rest
that is shorter than a segment is none. Source: google/youtube-8m, readers.py and inference.py (2019).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mmvid.records.payloads import check_labels, keys_of, parse_record, read_video, unreadable
from mmvid.records.quantised import mean_frame
from mmvid.records.video import BadRecord, Video
from mmvid.tfrecords import example
from mmvid.tfrecords.example import Record
from mmvid.tfrecords.values import read_floats, read_ints
from mmvid.tfrecords.wire import MalformedExample

if TYPE_CHECKING:
    from mmvid.records.schema import Schema

Ratings = dict[int, dict[int, bool]]
"""Start -> class -> whether the class is there."""


def decode_rows(schema: "Schema", payload: bytes, parse: Callable[[bytes], Record] = example.parse) -> list[Video]:
    """What one record gives to a data set: its video, or its segments by rising start.

    A segment has the frames of its seconds, their mean as its features, and the id of its video.

    Raises:
        BadRecord: as `decode_video`. Of segments also, if a record has no frames, if the lists of ratings differ in
            length, a score is neither 0 nor 1, a segment reaches beyond the kept frames of the video, or one class
            of one segment is rated both 0 and 1.
    """
    record = parse_record(payload, parse)
    video = read_video(schema, record)
    if schema.segments is None:
        return [video]
    if not video.frames:
        raise BadRecord("no feature", f"no frames to cut segments from; {keys_of(record)}", video.id)
    ratings = _ratings(schema, record, video.id)
    if ratings:
        return [_segment(schema, video, start, ratings[start]) for start in sorted(ratings)]
    length = schema.segments.frames
    starts = range(0, video.num_frames - length + 1, length)
    if not starts:
        what = f"a segment has {length} frames, the video has {video.num_frames}"
        raise BadRecord("length", what, video.id)
    return [_segment(schema, video, start, None) for start in starts]


def video_of(id: str) -> str:
    """The id of the video that a segment of a store, `video:start`, belongs to."""
    return id.rpartition(":")[0]


def _ratings(schema: "Schema", record: Record, id: str) -> Ratings:
    spec = schema.segments
    labels = _values(record, spec.labels, read_ints, id)
    starts = _values(record, spec.start_times, read_ints, id)
    scores = _values(record, spec.scores, read_floats, id)
    if not len(labels) == len(starts) == len(scores):
        keys = f"{spec.labels!r}, {spec.start_times!r} and {spec.scores!r}"
        what = f"{keys} must have one length, they have {len(labels)}, {len(starts)} and {len(scores)} values"
        raise BadRecord("rating", what, id)
    check_labels(schema, sorted(labels), id)
    ratings: Ratings = {}
    for label, start, score in zip(labels, starts, map(float, scores), strict=True):
        if score not in (0, 1):
            what = f"{spec.scores!r} must be 0 or 1, got {score:g} for class {label} at {start} s"
            raise BadRecord("rating", what, id)
        if ratings.setdefault(start, {}).setdefault(label, score == 1) != (score == 1):
            raise BadRecord("rating", f"class {label} at {start} s is rated both 0 and 1", id)
    return ratings


def _values(record: Record, key: str, read: Callable, id: str) -> list | np.ndarray:
    place = record.context.get(key)
    if place is None:
        return []
    try:
        return read(record.data, place)
    except MalformedExample as error:
        raise unreadable(key, error, id) from error


def _segment(schema: "Schema", video: Video, start: int, rated: dict[int, bool] | None) -> Video:
    stop = start + schema.segments.frames
    if start < 0 or stop > video.num_frames:
        what = f"the segment of seconds {start} to {stop - 1} is outside the video, which has {video.num_frames} frames"
        raise BadRecord("rating", what, video.id)
    frames = {modality: rows[start:stop].copy() for modality, rows in video.frames.items() if len(rows) > start}
    ranges = {modality: schema.features[modality].quantised_range for modality in frames}
    return Video(
        id=video.id,
        labels=None if rated is None else np.array(sorted(label for label in rated if rated[label]), np.int32),
        features={modality: mean_frame(rows, *ranges[modality]) for modality, rows in frames.items()},
        frames=frames,
        num_frames=schema.segments.frames,
        start=start,
        rated=None if rated is None else np.array(sorted(rated), np.int32),
    )
