"""One split's word ids on disk: an Arrow file of one record batch, so that each column is two arrays of the map.

title, keywords                          large_list<int32>, ids of the known words, in order
title_unlabelled, keywords_unlabelled    the same without the words of the video's own labels

A video without text has empty lists.
"""

import contextlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from mmvid.durable import replacing
from mmvid.manifests import digest_of

FIELDS = ("title", "keywords")
LabelWords = Literal["kept", "removed"]
COLUMNS = tuple(f"{field}{suffix}" for suffix in ("", "_unlabelled") for field in FIELDS)

_SCHEMA = pa.schema([pa.field(column, pa.large_list(pa.int32()), nullable=False) for column in COLUMNS])


@dataclass(frozen=True)
class Tokens:
    """The word ids of a split's videos: those of video i are `values[offsets[i] : offsets[i + 1]]`.

    Attributes:
        offsets: int64 ``(N + 1,)``, memory-mapped.
        values: int32 ``(L,)``, each 0 to V - 1, memory-mapped.
    """

    offsets: np.ndarray
    values: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Words of each video, int64 ``(N,)``."""
        return np.diff(self.offsets)


def column_of(field: str, label_words: LabelWords) -> str:
    """The column of a field, with the words of the video's own labels kept or removed.

    Raises:
        ValueError: if there is no such field or no such choice.
    """
    if field not in FIELDS:
        raise ValueError(f"field must be {' or '.join(FIELDS)}, got {field!r}")
    if label_words not in ("kept", "removed"):
        raise ValueError(f"label_words must be kept or removed, got {label_words!r}")
    return field if label_words == "kept" else f"{field}_unlabelled"


def write_tokens(path: Path, parts: Iterable[dict[str, tuple[np.ndarray, np.ndarray]]]) -> str:
    """Writes a split's file whole or not at all; a part is in memory, the split never is.

    Args:
        path: the file.
        parts: for each column the lengths ``(n,)`` and the ids of the next videos.

    Returns:
        BLAKE2b of the file's bytes.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tokens-") as scratch:
        rows, ends = 0, dict.fromkeys(COLUMNS, 0)
        with contextlib.ExitStack() as stack:
            files = {
                name: stack.enter_context(open(Path(scratch) / name, "wb"))
                for column in COLUMNS
                for name in (f"{column}.offsets", f"{column}.values")
            }
            for column in COLUMNS:
                files[f"{column}.offsets"].write(np.zeros(1, np.int64).tobytes())
            for part in parts:
                for column, (lengths, values) in part.items():
                    offsets = ends[column] + np.cumsum(lengths, dtype=np.int64)
                    ends[column] += int(lengths.sum())
                    files[f"{column}.offsets"].write(offsets.tobytes())
                    files[f"{column}.values"].write(values.astype(np.int32, copy=False).tobytes())
                rows += len(part[COLUMNS[0]][0])
        arrays = []
        for column in COLUMNS:
            offsets, values = (_mapped(Path(scratch) / f"{column}.{kind}") for kind in ("offsets", "values"))
            ids = pa.Array.from_buffers(pa.int32(), ends[column], [None, values])
            arrays.append(pa.Array.from_buffers(pa.large_list(pa.int32()), rows, [None, offsets], children=[ids]))
        with replacing(path) as temporary:
            with pa.ipc.new_file(str(temporary), _SCHEMA) as file:
                file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))
            return digest_of(temporary)


def read_tokens(path: Path) -> dict[str, Tokens]:
    """The columns of a split's file, memory-mapped.

    Raises:
        ValueError: if it is not such a file.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != _SCHEMA or reader.num_record_batches != 1:
            raise ValueError(f"{path}: not a file of word ids: it must have one batch of {', '.join(COLUMNS)}")
        batch = reader.get_batch(0)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not an Arrow file: {error}") from None
    return {column: _tokens(batch.column(column)) for column in COLUMNS}


def _tokens(array: pa.LargeListArray) -> Tokens:
    return Tokens(array.offsets.to_numpy(), array.values.to_numpy())


def _mapped(path: Path) -> pa.Buffer:
    if path.stat().st_size == 0:
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()
