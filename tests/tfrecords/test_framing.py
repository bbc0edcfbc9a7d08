"""Framing: every record comes back, every damage is told with its place, and nothing is half-written."""

import gzip
import os
import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvid.tfrecords.framing import CorruptRecord, masked_crc32c, read_records, write_records

PAYLOADS = [b"first", b"", b"x" * 100_000, b"last"]


def reference_crc32c(data: bytes) -> int:
    """The CRC-32C bit by bit, from its polynomial 0x1EDC6F41 (reflected: 0x82F63B78)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_all(path, damaged=None):
    return list(read_records(path, damaged))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, PAYLOADS)
    return path


@given(st.binary(max_size=300))
def test_checksum_is_the_masked_crc32c(data):
    crc = reference_crc32c(data)
    rotated = ((crc >> 15) | (crc << 17)) % 2**32
    assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_checksum_of_the_standard_check_string():
    assert reference_crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4, gives CRC-32C this check value


def test_records_come_back_with_their_offsets(file):
    offsets = [0, 16 + 5, 32 + 5, 48 + 100_005]
    assert read_all(file) == list(zip(offsets, PAYLOADS, strict=True))


@settings(max_examples=50)
@given(payloads=st.lists(st.binary(max_size=2000), max_size=20))
def test_any_payloads_round_trip(tmp_path_factory, payloads):
    path = tmp_path_factory.mktemp("round") / "a.tfrecord"
    assert write_records(path, iter(payloads)) == len(payloads)
    assert [payload for _, payload in read_records(path)] == payloads


def test_gzip_is_told_by_its_content_and_offsets_count_plain_bytes(file):
    plain = read_all(file)
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert read_all(file) == plain


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_record_whose_length_looks_like_gzip_is_not_taken_for_it(file, pack):
    length = int.from_bytes(b"\x1f\x8b\x08", "little")
    write_records(file, [bytes(length), b"last"])
    file.write_bytes(pack(file.read_bytes()))
    assert [(offset, len(payload)) for offset, payload in read_all(file)] == [(0, length), (length + 16, 4)]


def test_original_shards_read(shared):
    sizes = {
        name: len(read_all(shared / "golden/youtube8m" / name))
        for name in ("reader_video4.tfrecord", "reader_frame2.tfrecord")
    }
    assert sizes == {"reader_video4.tfrecord": 4, "reader_frame2.tfrecord": 2}


def test_every_flipped_bit_is_a_corrupt_record(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"one", b"two"])
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CorruptRecord) as caught:
            read_all(path)
        assert caught.value.offset == (0 if bit < 8 * 19 else 19)


def test_every_cut_is_a_corrupt_record_except_between_records(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"one", b"two"])
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size in (0, 19):
            assert len(read_all(path)) == size // 19
            continue
        with pytest.raises(CorruptRecord, match=r"a\.tfrecord: record at byte \d+: the file ends ") as caught:
            read_all(path)
        assert caught.value.reason == "truncated"
        assert caught.value.offset == size // 19 * 19


def test_sentence_of_a_wrong_payload(file):
    content = bytearray(file.read_bytes())
    content[12] ^= 1
    file.write_bytes(content)
    want, got = masked_crc32c(b"first"), masked_crc32c(b"girst")
    with pytest.raises(CorruptRecord) as caught:
        read_all(file)
    assert str(caught.value) == (
        f"{file}: record at byte 0: payload checksum is {got:08x}, its trailer says {want:08x}"
    )


def test_a_wrong_payload_is_reported_and_passed_over(file):
    content = bytearray(file.read_bytes())
    content[12] ^= 1
    content[-5] ^= 1
    file.write_bytes(content)
    faults = []
    assert [payload for _, payload in read_records(file, faults.append)] == PAYLOADS[1:3]
    assert [(fault.offset, fault.reason) for fault in faults] == [
        (0, "payload checksum"),
        (48 + 100_005, "payload checksum"),
    ]


def test_a_wrong_length_is_reported_once_and_ends_the_file(file):
    content = bytearray(file.read_bytes())
    content[21] ^= 1
    file.write_bytes(content)
    faults = []
    assert [payload for _, payload in read_records(file, faults.append)] == [b"first"]
    assert [(fault.offset, fault.reason) for fault in faults] == [(21, "length checksum")]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_claim_of_exabytes_costs_no_memory(tmp_path, compressed):
    path = tmp_path / "a.tfrecord"
    length = (1 << 60).to_bytes(8, "little")
    content = length + masked_crc32c(length).to_bytes(4, "little") + b"little"
    path.write_bytes(gzip.compress(content) if compressed else content)
    tracemalloc.start()
    with pytest.raises(CorruptRecord, match="the file ends early"):
        read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, (bytes(1 << 20) for _ in range(48)))
    tracemalloc.start()
    assert sum(1 for _ in read_records(path)) == 48
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize("damage", [lambda z: z[:-20], lambda z: z[:30] + bytes(20) + z[50:], lambda z: z[:5]])
def test_a_damaged_gzip_file_is_a_corrupt_record(tmp_path, damage):
    path = tmp_path / "a.tfrecord.gz"
    write_records(path, [os.urandom(500) for _ in range(5)])
    path.write_bytes(damage(gzip.compress(path.read_bytes())))
    faults = []
    read_all(path, faults.append)
    assert faults[-1].reason == "gzip"
    with pytest.raises(CorruptRecord, match=r"^.*a\.tfrecord\.gz: record at byte \d+: "):
        read_all(path)


@settings(max_examples=200)
@given(content=st.binary(max_size=200), compressed=st.booleans())
def test_any_bytes_are_records_or_one_fault(tmp_path_factory, content, compressed):
    path = tmp_path_factory.mktemp("any") / "a.tfrecord"
    path.write_bytes(gzip.compress(content) if compressed else content)
    faults = []
    read_all(path, faults.append)
    assert len(faults) == (1 if content else 0)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_all(tmp_path / "none.tfrecord")


def test_a_failed_write_leaves_the_old_file_and_no_other(file):
    before = file.read_bytes()

    def payloads():
        yield b"new"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="^no more$"):
        write_records(file, payloads())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_faults_survive_pickling():
    fault = CorruptRecord("a.tfrecord", 7, "truncated", "the file ends early")
    again = pickle.loads(pickle.dumps(fault))
    assert (str(again), again.offset, again.reason) == (str(fault), 7, "truncated")
