"""TFRecord files: where each record begins and ends, and whether its bytes are the ones that were written.

A record is four little-endian parts: its length (uint64), the masked CRC-32C of those eight bytes (uint32),
the payload, and the masked CRC-32C of the payload (uint32). Masking keeps the checksum of data that itself
holds checksums from degenerating. A file may be compressed as a whole by gzip; offsets then count
uncompressed bytes.

Source: TensorFlow, `tensorflow/core/lib/io/record_writer.h`, for the format.
"""

import contextlib
import gzip
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from mmvid import storage
from mmvid.durable import replacing

# Many video-level records a system call, yet smaller than a frame-level record, which then skips the buffer.
_BUFFER = 64 * 1024
_PIECE = 64 * 1024 * 1024
# glibc keeps freed memory for the next record only up to the size of the largest block that it has seen freed; else
# it hands every frame-level record's pages back and faults them in again, which doubles the time of reading.
_SPARE = 16 * 1024 * 1024
_DEFLATE_RATIO = 1032  # no deflate stream expands further
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_GZIP_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile)


class CorruptRecord(ValueError):
    """Bytes of a TFRecord file that are not what was written.

    Attributes:
        path: the file.
        offset: byte at which the damaged record begins, in uncompressed bytes.
        reason: the kind of damage: `truncated`, `length checksum`, `payload checksum` or `gzip`.
    """

    def __init__(self, path: str | os.PathLike, offset: int, reason: str, what: str):
        super().__init__(os.fspath(path), offset, reason, what)  # all of them, so that it survives pickling
        self.path, self.offset, self.reason, self.what = os.fspath(path), offset, reason, what

    def __str__(self) -> str:
        return f"{self.path}: record at byte {self.offset}: {self.what}"


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C of `data`, rotated right by 15 bits and shifted by a constant, as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(
    path: str | os.PathLike, damaged: Callable[[CorruptRecord], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Reads a file record by record; memory is bounded by the longest record.

    Args:
        path: a TFRecord file, on disk or on S3, plain or compressed by gzip (told by its first bytes, not its name).
        damaged: called with each damage. A record with a wrong payload checksum is then passed over; after a
            wrong length checksum, a truncation or a gzip fault no later record can be found, and the file
            ends there.

    Yields:
        The byte offset of each record, and its payload.

    Raises:
        CorruptRecord: at the first damage, if `damaged` is not given.
        OSError: if the file cannot be read.
    """
    report = _raise if damaged is None else damaged
    with _opened(path) as (file, capacity):
        offset = 0
        try:
            header = file.read(12)
            while header:
                fault = _header_fault(header, capacity - offset)
                if fault:
                    break
                length = _HEADER.unpack(header)[0]
                payload = file.read(length) if length <= _PIECE else _read_long(file, length)
                tail = file.read(16)  # the payload's checksum, and the next header
                if len(tail) < 4:
                    fault = ("truncated", _truncation(length + 16, 12 + len(payload) + len(tail)))
                    break
                got, want = masked_crc32c(payload), _CHECKSUM.unpack_from(tail)[0]
                if got == want:
                    yield offset, payload
                else:
                    what = f"payload checksum is {got:08x}, its trailer says {want:08x}"
                    report(CorruptRecord(path, offset, "payload checksum", what))
                offset += length + 16
                header = tail[4:]
            else:
                return
        except _GZIP_FAULTS as error:
            fault = ("gzip", f"the gzip stream is damaged ({error})")
        report(CorruptRecord(path, offset, *fault))


class RecordFile:
    """One TFRecord file that is open, and its records at known bytes; a forward order costs no searching."""

    def __init__(self, path: str | os.PathLike, file: BinaryIO, capacity: int):
        self.path, self._file, self._capacity = path, file, capacity
        self._place = 0

    def read(self, offset: int) -> bytes:
        """The payload of the record that begins at `offset`, in uncompressed bytes.

        Raises:
            CorruptRecord: if it is damaged. OSError: if the file cannot be read.
        """
        if offset != self._place:
            self._file.seek(offset)
        self._place = -1  # until it is known
        try:
            header = self._file.read(12)
            fault = _header_fault(header, self._capacity - offset)
            if fault:
                raise CorruptRecord(self.path, offset, *fault)
            length = _HEADER.unpack(header)[0]
            payload = self._file.read(length) if length <= _PIECE else _read_long(self._file, length)
            tail = self._file.read(4)
        except _GZIP_FAULTS as error:
            raise CorruptRecord(self.path, offset, "gzip", f"the gzip stream is damaged ({error})") from error
        if len(tail) < 4:
            found = 12 + len(payload) + len(tail)
            raise CorruptRecord(self.path, offset, "truncated", _truncation(length + 16, found))
        got, want = masked_crc32c(payload), _CHECKSUM.unpack(tail)[0]
        if got != want:
            what = f"payload checksum is {got:08x}, its trailer says {want:08x}"
            raise CorruptRecord(self.path, offset, "payload checksum", what)
        self._place = offset + length + 16
        return payload


@contextlib.contextmanager
def opened_records(path: str | os.PathLike) -> Iterator[RecordFile]:
    """Opens a TFRecord file, plain or gzip, on disk or on S3, for reading records at known bytes."""
    with _opened(path) as (file, capacity):
        yield RecordFile(path, file, capacity)


def write_records(path: str | os.PathLike, payloads: Iterable[bytes]) -> int:
    """Writes a plain TFRecord file, all of it or none.

    Returns:
        The number of records written.
    """
    count = 0
    with replacing(Path(path)) as temporary, open(temporary, "xb", buffering=1 << 20) as file:
        for payload in payloads:
            length = len(payload).to_bytes(8, "little")
            file.write(length + _CHECKSUM.pack(masked_crc32c(length)))
            file.write(payload)
            file.write(_CHECKSUM.pack(masked_crc32c(payload)))
            count += 1
    return count


def _raise(error: CorruptRecord) -> None:
    raise error


def _header_fault(header: bytes, left: int) -> tuple[str, str] | None:
    """Reason and sentence of what is wrong with a header; the file holds at most `left` bytes from there."""
    if len(header) < 12:
        return "truncated", f"the file ends {len(header)} bytes into the 12 of the record's header"
    length, want = _HEADER.unpack(header)
    got = masked_crc32c(header[:8])
    if got != want:
        return "length checksum", f"length checksum is {got:08x}, header says {want:08x}"
    if length + 16 > left:
        return "truncated", _truncation(length + 16, left)
    return None


def _truncation(need: int, got: int) -> str:
    return f"the file ends early: the record takes {need} bytes and at most {got} are left"


def _read_long(file: BinaryIO, length: int) -> bytes:
    """Reads up to `length` bytes in pieces: a false length costs no more memory than the file has bytes."""
    pieces = []
    while length and (piece := file.read(min(length, _PIECE))):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a file for reading; beside it the most uncompressed bytes that it can hold."""
    bytes(_SPARE)
    with storage.opened(path, _BUFFER) as file:
        size = storage.size_of(path, file)
        if not _is_gzip(file.peek(12)[:12]):
            yield file, size
            return
        with gzip.GzipFile(fileobj=file) as plain:
            yield plain, size * _DEFLATE_RATIO


def _is_gzip(head: bytes) -> bool:
    """Whether a file that begins so is gzip. A plain one may have the same first bytes, as its record's length."""
    return head.startswith(b"\x1f\x8b") and _header_fault(head, 1 << 64) is not None
