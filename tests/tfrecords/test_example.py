"""The wire format, held against protobuf's own parser on the messages of `tf.train`."""

import pickle
import struct

import numpy as np
import pytest
from hypothesis import example as for_instance
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf_peer import THEIRS, bits, check_any, check_same, ours_of, theirs_of

from mmvid.tfrecords.encode import encode_example, encode_feature, encode_sequence_example
from mmvid.tfrecords.example import ANY, BYTES, Parser, parse
from mmvid.tfrecords.values import read_bytes, read_floats, read_ints, read_rows
from mmvid.tfrecords.wire import MalformedExample

NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32)
FEATURES = st.one_of(
    st.lists(st.binary(max_size=20), max_size=4),
    st.lists(FLOATS, max_size=6).map(lambda values: np.array(values, np.float32)),
    st.lists(NUMBERS, max_size=6).map(lambda values: np.array(values, np.int64)),
)
CONTEXTS = st.dictionaries(st.text(max_size=5), FEATURES, max_size=4)
LISTS = st.dictionaries(st.text(max_size=5), st.lists(FEATURES, max_size=4), max_size=3)


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
@for_instance(b"\x63\x00\x00\x64")  # a group with a field of number 0, which is none outside
@for_instance(b"\x0a\x02\x0a\x00")  # a map entry of neither key nor value
@for_instance(b"\x8a\x00\x00")  # a tag of two bytes where one would do
@for_instance(b"\x0a\x06\x0a\x04\x0a\x00\x20\x00")  # a map entry with an unknown field
@for_instance(b"\x0b" * 5000)  # groups without end
@for_instance(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")  # a length beyond every file
def test_any_bytes_mean_what_protobuf_says_or_are_malformed(payload):
    check_any(payload)


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
