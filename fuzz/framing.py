"""TFRecord files under attack: any bytes, and sound files with any damage, plain and gzip.

    python -m fuzz.framing CORPUS -max_total_time=60

Any file is read to its end or refused by `CorruptRecord`, with the same records before the damage. What is read
without complaint is, written again, the same bytes. A flipped bit never passes, and a record that claims more than
the file holds costs no memory.
"""

import gzip
import sys
import tempfile
import tracemalloc
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mmvid.tfrecords"]):
    from mmvid.tfrecords import framing

MEMORY = 1 << 26  # bytes that reading a file of a few KiB may take: the read-ahead, the spare block, and no more
MEMORY_FOLDER = "/dev/shm"  # writing is synced, which takes a disk a millisecond
FOLDER = tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if Path(MEMORY_FOLDER).is_dir() else None)
FILE = Path(FOLDER.name) / "fuzzed.tfrecord"
SEEDS = [bytes([mode, *range(1, 40)]) for mode in range(4)]


def check(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    mode = source.ConsumeIntInRange(0, 3)
    if mode == 0:
        check_any(source.ConsumeBytes(len(data)))
    elif mode == 1:
        check_false_length(source)
    else:
        check_damage(source, compressed=mode == 3)


def check_any(content: bytes) -> None:
    """Bytes of the fuzzer's own making."""
    records, faults = read(content)
    if not faults and not content.startswith(b"\x1f\x8b"):
        assert written([payload for _, payload in records]) == content


def check_damage(source: atheris.FuzzedDataProvider, compressed: bool) -> None:
    """A sound file; then a bit flipped or the end cut off."""
    payloads = [source.ConsumeBytes(source.ConsumeIntInRange(0, 60)) for _ in range(source.ConsumeIntInRange(1, 4))]
    sound = written(payloads)
    content = bytearray(gzip.compress(sound, mtime=0) if compressed else sound)
    place = source.ConsumeIntInRange(0, len(content) - 1)
    if source.ConsumeBool():
        content[place] ^= 1 << source.ConsumeIntInRange(0, 7)
    else:
        del content[place:]
    records, faults = read(bytes(content))
    whole = read(sound)[0]
    # The header of gzip has bytes that mean nothing, and what is no gzip file is read as plain.
    if compressed and not faults:
        assert not records or records == whole
        return
    assert set(records) <= set(whole)
    starts = [0, *(offset + len(payload) + 16 for offset, payload in whole)]
    if not compressed:
        assert faults or len(content) in starts
        assert all(fault.offset == max(start for start in starts if start <= place) for fault in faults[:1])


def check_false_length(source: atheris.FuzzedDataProvider) -> None:
    """A header whose checksum is right and whose length is not."""
    length = source.ConsumeInt(8) & (1 << 64) - 1
    head = length.to_bytes(8, "little")
    rest = source.ConsumeBytes(100)
    tracemalloc.start()
    _, faults = read(head + framing.masked_crc32c(head).to_bytes(4, "little") + rest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY
    assert length + 4 <= len(rest) or [fault.reason for fault in faults] == ["truncated"]


def read(content: bytes) -> tuple[list[tuple[int, bytes]], list[framing.CorruptRecord]]:
    """All records and faults; the strict way of reading must stop where the first fault is told."""
    FILE.write_bytes(content)
    faults: list[framing.CorruptRecord] = []
    records = list(framing.read_records(FILE, faults.append))
    strict = []
    try:
        for record in framing.read_records(FILE):
            strict.append(record)
    except framing.CorruptRecord as error:
        assert str(error) == str(faults[0])
        assert strict == [record for record in records if record[0] < error.offset]
    else:
        assert not faults and strict == records
    return records, faults


def written(payloads: list[bytes]) -> bytes:
    framing.write_records(FILE, payloads)
    return FILE.read_bytes()


if __name__ == "__main__":
    from fuzz.corpus import start

    start(sys.argv, check, SEEDS)
