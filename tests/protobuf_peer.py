"""Our reading of records held against protobuf's own (upb), on the messages of `tf.train` built from descriptors."""

import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, unknown_fields

from mmvid.tfrecords.example import Place, Record, parse
from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows
from mmvid.tfrecords.wire import MalformedExample

_TYPE = descriptor_pb2.FieldDescriptorProto


def _messages(packed: bool) -> dict[str, type[message.Message]]:
    """The messages of tensorflow/core/example, with packed or unpacked numbers."""
    file = descriptor_pb2.FileDescriptorProto(name=f"tf_{packed}.proto", package=f"tf{packed}", syntax="proto3")

    def add(name, *fields, oneof=None, into=file.message_type):
        kind = into.add(name=name)
        if oneof:
            kind.oneof_decl.add(name=oneof)
        for number, (field, label, type_, type_name) in enumerate(fields, 1):
            made = kind.field.add(name=field, number=number, label=label, type=type_)
            if type_name:
                made.type_name = f".tf{packed}.{type_name}"
            if oneof:
                made.oneof_index = 0
            if type_ in (_TYPE.TYPE_FLOAT, _TYPE.TYPE_INT64):
                made.options.packed = packed
        return kind

    one, many = _TYPE.LABEL_OPTIONAL, _TYPE.LABEL_REPEATED
    add("BytesList", ("value", many, _TYPE.TYPE_BYTES, None))
    add("FloatList", ("value", many, _TYPE.TYPE_FLOAT, None))
    add("Int64List", ("value", many, _TYPE.TYPE_INT64, None))
    lists = [(f"{name.lower()}_list", one, _TYPE.TYPE_MESSAGE, f"{name}List") for name in ("Bytes", "Float", "Int64")]
    add("Feature", *lists, oneof="kind")
    add("FeatureList", ("feature", many, _TYPE.TYPE_MESSAGE, "Feature"))
    for name, field, value in (
        ("Features", "feature", "Feature"),
        ("FeatureLists", "feature_list", "FeatureList"),
    ):
        entry = "".join(part.title() for part in field.split("_")) + "Entry"
        holder = add(name, (field, many, _TYPE.TYPE_MESSAGE, f"{name}.{entry}"))
        pair = add(
            entry,
            ("key", one, _TYPE.TYPE_STRING, None),
            ("value", one, _TYPE.TYPE_MESSAGE, value),
            into=holder.nested_type,
        )
        pair.options.map_entry = True
    add(
        "SequenceExample",
        ("context", one, _TYPE.TYPE_MESSAGE, "Features"),
        ("feature_lists", one, _TYPE.TYPE_MESSAGE, "FeatureLists"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("SequenceExample", "Feature", "FeatureList")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tf{packed}.{name}")) for name in names}


THEIRS = {packed: _messages(packed) for packed in (True, False)}


def theirs_of(feature) -> tuple[str | None, list]:
    """Kind and values of a protobuf Feature; floats as their bytes."""
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    return kind, bits(values) if kind == "float_list" else values


def bits(floats) -> list[bytes]:
    """Floats as bytes, so that -0 is not 0; every NaN as one, for Python's floats keep no other."""
    return [struct.pack("<f", value if value == value else np.nan) for value in map(float, floats)]


def ours_of(data: bytes, place: Place, kind: str | None) -> tuple[str | None, list]:
    if kind is None:
        assert not read_bytes(data, place) and not read_ints(data, place) and not len(read_floats(data, place))
        return None, []
    if kind == "float_list":
        return kind, bits(read_floats(data, place))
    return kind, (read_bytes if kind == "bytes_list" else read_ints)(data, place)


def check_same(payload: bytes, theirs: message.Message) -> None:
    """Every feature and every list that protobuf reads, we read."""
    record = parse(payload)
    assert set(record.context) == set(theirs.context.feature)
    for key, feature in theirs.context.feature.items():
        expected = theirs_of(feature)
        assert ours_of(record.data, record.context[key], expected[0]) == expected
    assert set(record.lists) == set(theirs.feature_lists.feature_list)
    for key, steps in theirs.feature_lists.feature_list.items():
        check_rows(record, key, [theirs_of(step) for step in steps.feature])


def check_rows(record: Record, key: str, expected: list[tuple[str | None, list]]) -> None:
    sizes = set()
    for kind, values in expected:
        whole = kind == "float_list" or (kind == "bytes_list" and len(values) == 1)
        sizes.add((kind, len(values) if kind == "float_list" else len(values[0])) if whole else None)
    if len(sizes) > 1 or None in sizes:
        with pytest.raises(MalformedExample):
            read_rows(record.data, record.lists[key])
        return
    rows = read_rows(record.data, record.lists[key])
    assert len(rows) == len(expected)
    ours = [bits(row) if rows.dtype == np.float32 else [row.tobytes()] for row in rows]
    assert ours == [values for _, values in expected]


def check_any(payload: bytes) -> None:
    """We may read more than protobuf, since only what is asked for is looked into; never less, never otherwise."""
    try:
        theirs = THEIRS[True]["SequenceExample"].FromString(payload)
    except message.DecodeError:
        with_errors(payload)
    else:
        if set_aside(theirs.context) or set_aside(theirs.feature_lists):
            with_errors(payload)
        else:
            check_same(payload, theirs)


def set_aside(holder: message.Message) -> bool:
    """Whether Python's protobuf kept a map entry as unknown, as it does if the entry has unknown fields."""
    return any(field.field_number == 1 for field in unknown_fields.UnknownFieldSet(holder))


def with_errors(payload: bytes) -> None:
    try:
        record = parse(payload)
    except MalformedExample:
        return
    places = [*record.context.values(), *record.lists.values()]
    for place in places:
        for read in (read_bytes, read_floats, read_ints, read_rows):
            try:
                read(record.data, place)
            except MalformedExample as error:
                assert 0 <= error.place <= len(record.data)
