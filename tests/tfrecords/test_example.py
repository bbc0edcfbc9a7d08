"""The wire format, held against protobuf's own parser on the messages of `tf.train`, built here from descriptors."""

import pickle
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, unknown_fields
from hypothesis import example as for_instance
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvid.tfrecords.encode import encode_example, encode_feature, encode_sequence_example
from mmvid.tfrecords.example import ANY, BYTES, Parser, Place, Record, parse
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

NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32)
FEATURES = st.one_of(
    st.lists(st.binary(max_size=20), max_size=4),
    st.lists(FLOATS, max_size=6).map(lambda values: np.array(values, np.float32)),
    st.lists(NUMBERS, max_size=6).map(lambda values: np.array(values, np.int64)),
)
CONTEXTS = st.dictionaries(st.text(max_size=5), FEATURES, max_size=4)
LISTS = st.dictionaries(st.text(max_size=5), st.lists(FEATURES, max_size=4), max_size=3)


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


@given(CONTEXTS, LISTS)
def test_protobuf_reads_what_we_write_and_we_read_the_same(context, lists):
    payload = encode_sequence_example(context, lists)
    theirs = THEIRS[True]["SequenceExample"].FromString(payload)
    assert {key: theirs_of(feature)[1] for key, feature in theirs.context.feature.items()} == {
        key: bits(values) if getattr(values, "dtype", None) == np.float32 else list(values)
        for key, values in context.items()
    }
    check_same(payload, theirs)


@pytest.mark.parametrize("packed", [True, False])
@given(context=CONTEXTS, lists=LISTS)
def test_we_read_what_protobuf_writes(packed, context, lists):
    payload = encode_sequence_example(context, lists)
    theirs = THEIRS[packed]["SequenceExample"].FromString(payload)
    check_same(theirs.SerializeToString(), theirs)


@settings(max_examples=500)
@given(st.lists(st.tuples(CONTEXTS, LISTS), min_size=1, max_size=3), st.data())
def test_mutated_bytes_mean_what_protobuf_says_or_are_malformed(parts, data):
    payload = bytearray(b"".join(encode_sequence_example(*part) for part in parts))  # joined: repeated fields
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, max(0, len(payload) - 1)))
        payload[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    check_any(bytes(payload))


@settings(max_examples=500)
@given(st.binary(max_size=60))
@for_instance(b"\x0b\x0a\x00\x0c")  # an unknown group
@for_instance(b"\x0a\x02\x0a\x00")  # a map entry of neither key nor value
@for_instance(b"\x8a\x00\x00")  # a tag of two bytes where one would do
@for_instance(b"\x0a\x06\x0a\x04\x0a\x00\x20\x00")  # a map entry with an unknown field
@for_instance(b"\x0b" * 5000)  # groups without end
@for_instance(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")  # a length beyond every file
def test_any_bytes_mean_what_protobuf_says_or_are_malformed(payload):
    check_any(payload)


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


@given(st.lists(FEATURES, min_size=2, max_size=4))
def test_a_feature_in_parts_is_protobufs_merger(parts):
    encoded = b"".join(encode_feature(part) for part in parts)
    theirs = THEIRS[True]["Feature"].FromString(encoded)
    expected = theirs_of(theirs)
    assert ours_of(encoded, (ANY, 0, len(encoded)), expected[0]) == expected


def test_values_in_parts_are_merged_in_linear_time():
    value = b"\x12\x00"  # one empty part of the entry's value
    entry = b"\x0a\x01k" + value * 300_000 + b"\x12\x05\x1a\x03\x0a\x01\x07"
    features = b"\x0a" + _varint(len(entry)) + entry
    record = parse(b"\x0a" + _varint(len(features)) + features)
    assert read_ints(record.data, record.context["k"]) == [7]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


@given(st.lists(st.tuples(CONTEXTS, LISTS), max_size=6), st.integers(0, 5))
def test_a_parser_that_remembers_agrees_with_one_that_does_not(parts, again):
    payloads = [encode_sequence_example(*part) for part in parts]
    parser = Parser()
    for payload in payloads + payloads[: again + 1]:
        assert parser.parse(payload) == parse(payload)


@settings(max_examples=300)
@given(CONTEXTS, LISTS, st.data())
def test_a_parser_is_not_deceived_by_a_layout_with_other_structure(context, lists, data):
    payload = encode_sequence_example(context, lists)
    parser = Parser()
    parser.parse(payload)
    if not payload:
        return
    place = data.draw(st.integers(0, len(payload) - 1))
    changed = payload[:place] + bytes([data.draw(st.integers(0, 255))]) + payload[place + 1 :]
    try:
        expected = parse(changed)
    except MalformedExample:
        with pytest.raises(MalformedExample):
            parser.parse(changed)
        return
    got = parser.parse(changed)
    assert got.data == expected.data
    assert got.context.keys() == expected.context.keys()
    for key, (kind, start, stop) in got.context.items():
        # A remembered place may name the whole Feature where a fresh look finds its one list, and read the same.
        assert (kind, start, stop) == expected.context[key] or kind == ANY
    assert got.lists == expected.lists


def test_a_parser_forgets_before_its_memory_grows():
    parser = Parser()
    for size in range(5000):
        parser.parse(encode_example({"k": [bytes(size)]}))
    assert parser._count <= 1024
    parser = Parser()
    parser.parse(encode_example({"k" * 5000: [b"x"]}))
    assert parser._count == 0


def test_a_feature_of_another_kind_is_refused():
    record = parse(encode_example({"labels": np.array([1.5])}))
    with pytest.raises(MalformedExample, match="^malformed Example at byte .* holds floats, expected integers$"):
        read_ints(record.data, record.context["labels"])
    with pytest.raises(MalformedExample, match="holds floats, expected byte strings$"):
        read_bytes(record.data, record.context["labels"])


def test_packed_floats_that_are_cut_are_refused():
    record = parse(encode_example({"x": np.ones(2, np.float32)}).replace(struct.pack("<f", 1.0), b"\0\0\0\x3f"))
    assert len(read_floats(record.data, record.context["x"])) == 2
    with pytest.raises(MalformedExample, match="3 bytes, which is not a multiple of 4$"):
        read_floats(b"\x12\x05\x0a\x03abc", (ANY, 0, 7))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1024), (300, 128), (2, 0)])
def test_rows_come_back(dtype, shape):
    rows = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    record = parse(encode_sequence_example({}, {"x": rows}))
    got = read_rows(record.data, record.lists["x"])
    assert got.dtype == dtype
    assert np.array_equal(got, rows)
    assert not got.size or dtype == np.float32 or got.base is not None  # of bytes, a view


def test_rows_that_differ_are_refused():
    record = parse(encode_sequence_example({}, {"x": [[b"abc"], [b"ab"]]}))
    with pytest.raises(MalformedExample, match="step 1 of a feature list has 2 bytes, step 0 has 3 bytes$"):
        read_rows(record.data, record.lists["x"])
    record = parse(encode_sequence_example({}, {"x": [[b"abc"], [b"abc", b"d"]]}))
    with pytest.raises(MalformedExample, match="step 1 of a feature list holds 2 byte strings, expected 1$"):
        read_rows(record.data, record.lists["x"])


def test_rows_written_another_way_are_read_all_the_same():
    twice = encode_feature([b"abc"]) + encode_feature([b"xyz"])[:0]
    unknown = b"\x20\x05"  # field 4 of a Feature, which has three
    step = lambda feature: b"\x0a" + _varint(len(feature)) + feature  # noqa: E731
    data = step(twice + unknown) + step(unknown + encode_feature([b"def"]))
    assert read_rows(data, (ANY, 0, len(data))).tobytes() == b"abcdef"


def test_places_of_one_value_need_no_second_look():
    record = parse(encode_example({"id": [b"abcd"]}))
    kind, start, stop = record.context["id"]
    assert kind == BYTES and record.data[start:stop] == b"abcd"


@pytest.mark.parametrize("values", ["text", 3, [True], [1, b"x"], [None], [[1, 2]], np.ones((2, 2))])
def test_what_no_feature_can_hold_is_refused(values):
    with pytest.raises((TypeError, ValueError), match="^a feature must "):
        encode_example({"x": values})


def test_faults_survive_pickling():
    fault = MalformedExample(5, "a field runs past the end")
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)
