"""Rows of JSON Lines, CSV and Parquet files, one after the other, each with the place that it stands at.

A row is a dictionary by column; what is empty in a CSV file is None. Files may be gzip (not Parquet) and may lie on S3.
"""

import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmvid import storage
from mmvid.storage import File

Row = tuple[str, dict[str, Any]]

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
_LONGEST = 1 << 24  # characters of a field of CSV; the module's own limit is 131072
_BATCH = 4096


def find_row_files(places: str) -> list[File]:
    """The files of a place, a pattern, or a list of such with commas between.

    Raises:
        ValueError: if one of them is not there or is of another kind. OSError: if S3 does not answer.
    """
    found: dict[str, File] = {}
    for place in (place.strip() for place in places.split(",")):
        if storage.is_pattern(place):
            files = storage.match_files(place)
        else:
            files = [file] if (file := storage.find_file(place)) is not None else []
        if not files:
            raise ValueError(f"there is no file {place}")
        for file in files:
            if not file.name.endswith(ENDINGS):
                raise ValueError(f"{file}: the name of a file of rows must end in {', '.join(ENDINGS)}")
            if storage.absolute(file.place) in found:
                raise ValueError(f"{file} is named twice")
            found[storage.absolute(file.place)] = file
    return list(found.values())


def read_rows(file: File) -> Iterator[Row]:
    """The rows of a file and their places, such as `titles.csv: line 12`.

    Raises:
        ValueError: if the file is damaged; the place is named. OSError: if it cannot be read.
    """
    if file.name.endswith(".parquet"):
        yield from _parquet(file)
        return
    with storage.opened(file) as raw:
        stream = gzip.GzipFile(fileobj=raw) if file.name.endswith(".gz") else raw
        try:
            yield from _csv(file, stream) if ".csv" in file.name else _json_lines(file, stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{file}: the gzip file is cut off or damaged: {error}") from None


def _json_lines(file: File, stream: Any) -> Iterator[Row]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        place = f"{file}: line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError itself at a number of thousands of digits
            raise ValueError(f"{place}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{place}: must be an object with an id, got {type(row).__name__}")
        yield place, row


def _csv(file: File, stream: Any) -> Iterator[Row]:
    before = csv.field_size_limit(_LONGEST)
    try:
        with io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            header = [column.strip().lower() for column in next(rows, [])]
            for cells in rows:
                place = f"{file}: line {rows.line_num}"
                if cells and len(cells) != len(header):
                    raise ValueError(f"{place}: must have the {len(header)} fields of the header, has {len(cells)}")
                if cells:
                    yield place, {column: cell or None for column, cell in zip(header, cells, strict=True)}
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: must be UTF-8 text, byte {error.start} is not") from None
    except csv.Error as error:
        raise ValueError(f"{file}: line {rows.line_num}: not CSV: {error}") from None
    finally:
        csv.field_size_limit(before)


def _parquet(file: File) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(file.place)
        if storage.is_remote(file):  # its index is at its end
            path = Path(folder) / "rows.parquet"
            with storage.opened(file) as source, open(path, "xb") as target:
                shutil.copyfileobj(source, target)
        try:
            with pyarrow.parquet.ParquetFile(path) as rows:
                number = 0
                for batch in rows.iter_batches(_BATCH):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{file}: row {number}", row
        except (pa.ArrowException, ValueError, OSError) as error:
            sentence = " ".join(str(error).split())
            raise ValueError(f"{file}: not a Parquet file, or a damaged one: {sentence}") from None
