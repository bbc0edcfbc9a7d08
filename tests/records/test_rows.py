"""Files of rows that are damaged: whatever stands in them, one sentence that names the file."""

import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmvid import storage
from mmvid.records.rows import read_rows
from mmvid.records.text import TextIndex, read_row

ROWS = [{"id": f"v{n}", "title": f"The title {n * n}", "keywords": ["one", f"two {n}"]} for n in range(300)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, and sometimes cut off."""
    found = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8])):
        found[draw.randrange(len(found))] = draw.randrange(256)
    return bytes(found[: draw.randrange(len(found))] if draw.random() < 0.2 else found)


@pytest.mark.parametrize("kind", ["jsonl.gz", "csv.gz", "parquet", "csv"])
def test_damaged_bytes_are_told_with_the_file(tmp_path, kind):
    path, draw, refused = tmp_path / f"rows.{kind}", random.Random(0), 0
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "whole.parquet")
    csv = "id,title\n" + "".join(f'{row["id"]},"{row["title"]}"\n' for row in ROWS)
    whole = {
        "jsonl.gz": gzip.compress(LINES, mtime=0),
        "csv.gz": gzip.compress(csv.encode(), mtime=0),
        "parquet": (tmp_path / "whole.parquet").read_bytes(),
        "csv": csv.encode(),
    }[kind]
    for _ in range(120):
        path.write_bytes(damaged(whole, draw))
        try:
            for place, row in read_rows(storage.find_file(path)):
                read_row(row, place)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 20


def test_a_number_of_thousands_of_digits_is_told_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b", "title": ' + "9" * 5000 + "}\n")
    for read in (lambda: list(read_rows(storage.find_file(path))), lambda: TextIndex.build(path)):
        with pytest.raises(ValueError, match="rows.jsonl: line 2: not JSON: "):
            read()
