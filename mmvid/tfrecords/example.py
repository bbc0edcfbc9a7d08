"""Where the features of a `tf.train.Example` or `tf.train.SequenceExample` lie in its bytes.

    Example          features 1: Features
    SequenceExample  context 1: Features, feature_lists 2: FeatureLists
    Features         feature 1: map<string, Feature>
    FeatureLists     feature_list 1: map<string, FeatureList>
    FeatureList      feature 1: repeated Feature
    Feature          one of bytes_list 1, float_list 2, int64_list 3, each with 1: repeated value

Field 1 means the same in both messages, so one parser serves both. It only finds places: `mmvid.tfrecords.values`
reads those that are asked for, and a feature nobody asks for is never looked into. As in protobuf, the last of
several map entries with one key wins, a message given in parts is their merger, and unknown fields are passed over.

Source: the protobuf encoding guide; TensorFlow, `tensorflow/core/example/{example,feature}.proto`.
"""

from typing import NamedTuple

from mmvid.tfrecords import wire
from mmvid.tfrecords.wire import MalformedExample

BYTES, FLOATS, INTS = 0x0A, 0x12, 0x1A  # tags of the three lists that a Feature may be
ANY = 0
_FIRST, _SECOND = 0x0A, 0x12  # tags of length-delimited fields 1 and 2

Place = tuple[int, int, int]
"""Kind, start and stop. The kind BYTES is one byte string, FLOATS and INTS one packed list: the bytes are the values.
ANY is a whole encoded Feature or FeatureList."""

_MOST_LAYOUTS = 1024
_MOST_OF_A_LENGTH = 8
_LONGEST_STRUCTURE = 4096  # bytes outside the values; common records have fewer than 200


class Record(NamedTuple):
    """The places of a record's features and, for a SequenceExample, of its feature lists.

    Attributes:
        data: the bytes that the places index: the payload, followed by the mergers of messages given in parts.
        context: key -> place of a Feature.
        lists: key -> place of a FeatureList.
    """

    data: bytes
    context: dict[str, Place]
    lists: dict[str, Place]


class Parser:
    """A parser that remembers how records were laid out.

    The records of a file mostly differ in their values only. A payload that has the length and, outside the values,
    the bytes of an earlier one has its places too, since nothing else decides them: it is not walked through again.
    """

    def __init__(self):
        self._layouts: dict[int, list[tuple[list[tuple[int, bytes]], Record]]] = {}
        self._count = 0

    def parse(self, payload: bytes) -> Record:
        """As the function `parse`; the dictionaries are shared between records and must not be changed."""
        for fixed, known in self._layouts.get(len(payload), ()):
            for start, content in fixed:
                if not payload.startswith(content, start):
                    break
            else:
                return Record(payload, known.context, known.lists)
        record = parse(payload)
        if record.data is payload:
            self._remember(record)
        return record

    def _remember(self, record: Record) -> None:
        fixed = _fixed(record)
        if sum(len(content) for _, content in fixed) > _LONGEST_STRUCTURE:
            return
        if self._count == _MOST_LAYOUTS:
            self._layouts.clear()
            self._count = 0
        alike = self._layouts.setdefault(len(record.data), [])
        if len(alike) < _MOST_OF_A_LENGTH:
            alike.append((fixed, record._replace(data=b"")))
            self._count += 1


def parse(payload: bytes) -> Record:
    """Finds the features of an Example or a SequenceExample.

    Raises:
        MalformedExample: if the bytes are not of the wire format, with the byte at which they go wrong.
    """
    context: dict[str, Place] = {}
    lists: dict[str, Place] = {}
    merged = bytearray()
    for tag, start, stop in wire.fields(payload, 0, len(payload)):
        if tag == _FIRST:
            _entries(payload, start, stop, context, merged)
        elif tag == _SECOND:
            _entries(payload, start, stop, lists, merged)
    data = payload + bytes(merged) if merged else payload
    return Record(data, {key: packed(data, place) for key, place in context.items()}, lists)


def _entries(data: bytes, place: int, end: int, into: dict[str, Place], merged: bytearray) -> None:
    """Reads the entries of a map."""
    for tag, start, stop in wire.fields(data, place, end):
        if tag != _FIRST:
            continue
        key, parts = "", []
        for part, begin, close in wire.fields(data, start, stop):
            if part == _FIRST:
                key = _text(data, begin, close)
            elif part == _SECOND:
                parts.append((begin, close))
        into[key] = (ANY, *parts[0]) if len(parts) == 1 else _merger(data, parts, merged)


def _merger(data: bytes, parts: list[tuple[int, int]], merged: bytearray) -> Place:
    """The place of a message given in parts, or in none: by the wire format their merger is their concatenation."""
    begin = len(data) + len(merged)
    for start, stop in parts:
        merged += data[start:stop]
    return ANY, begin, len(data) + len(merged)


def _text(data: bytes, start: int, stop: int) -> str:
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError:
        raise MalformedExample(start, "a feature's name is not UTF-8") from None


def packed(data: bytes, place: Place) -> Place:
    """The values' place if a Feature is one list of one chunk, as every common writer makes it; else `place`."""
    _, start, end = place
    if end - start < 4:
        return place
    kind = data[start]
    if kind != BYTES and kind != FLOATS and kind != INTS:
        return place
    try:
        begin, stop = wire.span(data, start + 1, end)
        if stop != end or begin == end or data[begin] != _FIRST:
            return place
        begin, stop = wire.span(data, begin + 1, end)
    except (MalformedExample, IndexError):
        return place  # whoever asks for the values will hear of it
    return (kind, begin, stop) if stop == end else place


def _fixed(record: Record) -> list[tuple[int, bytes]]:
    """The stretches of a record outside its values."""
    places = sorted(place[1:] for places in (record.context, record.lists) for place in places.values())
    stretches, begin = [], 0
    for start, stop in [*places, (len(record.data), 0)]:
        stretches.append((begin, record.data[begin:start]))
        begin = stop
    return stretches
