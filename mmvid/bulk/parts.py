"""A long job as numbered parts on disk: a killed one goes on with those that it lacks, and ends with the same bytes.

The parts lie in a folder beside the file that they will make; that file is there whole or not at all, and then the
parts are removed.
"""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmvid.durable import exclusively, remove_leftovers, replacing
from mmvid.runs import home

PLAN = "plan.json"


class Scored(NamedTuple):
    """The best classes of N videos or segments.

    Attributes:
        ids: N ids.
        starts: of segments the second at which each begins, int32 (N,); None for whole videos.
        classes: class ids by falling score, int32 (N, K).
        scores: their scores, float32 (N, K).
    """

    ids: list[str]
    starts: np.ndarray | None
    classes: np.ndarray
    scores: np.ndarray


class Parts:
    """The parts of one job.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, output: Path):
        self.output = output
        self.folder = output.with_name(f".{output.name}.parts")

    @contextlib.contextmanager
    def claimed(self, plan: dict[str, object]) -> Iterator[None]:
        """Holds the parts while the block runs; those of another plan are removed first, and all of them at its end.

        Args:
            plan: what decides what the parts hold, as JSON values.
        """
        lock = hashlib.blake2b(str(self.output).encode(), digest_size=16).hexdigest()
        with exclusively(home() / "locks" / lock, f"another process writes {self.output}; waiting for it"):
            self.folder.mkdir(exist_ok=True)
            stated = self.folder / PLAN
            if stated.exists() and json.loads(stated.read_text(encoding="utf-8")) != plan:
                sys.stderr.write(f"{self.folder} was left by another job; it is begun anew\n")
                for path in self.folder.glob("part-*"):
                    path.unlink()
            remove_leftovers(self.folder)
            with replacing(stated) as temporary:
                temporary.write_text(json.dumps(plan), encoding="utf-8")
            yield
            shutil.rmtree(self.folder)

    def has(self, name: str) -> bool:
        """Whether a part is done."""
        return self._path(name).exists()

    def rows(self, name: str) -> int:
        """The rows of a part that is done."""
        return pq.read_metadata(self._path(name)).num_rows

    def write(self, name: str, scored: Scored) -> None:
        """Writes a part, whole or not at all."""
        with replacing(self._path(name)) as temporary:
            pq.write_table(table_of(scored), temporary)

    def read(self) -> Iterator[Scored]:
        """The parts in the order of their names."""
        for path in sorted(self.folder.glob("part-*.parquet")):
            yield scored_of(pq.read_table(path))

    def _path(self, name: str) -> Path:
        return self.folder / f"part-{name}.parquet"


def table_of(scored: Scored) -> pa.Table:
    """Scored videos as columns: `id`, `start` where there are segments, `classes`, `scores`."""
    count, kept = scored.classes.shape
    columns = {"id": pa.array(scored.ids, pa.string())}
    if scored.starts is not None:
        columns["start"] = pa.array(scored.starts, pa.int32())
    for name, values, kind in (("classes", scored.classes, pa.int32()), ("scores", scored.scores, pa.float32())):
        ends = pa.array(np.arange(count + 1, dtype=np.int32) * kept, pa.int32())
        columns[name] = pa.ListArray.from_arrays(ends, pa.array(values.reshape(-1), kind))
    return pa.table(columns)


def scored_of(table: pa.Table) -> Scored:
    """The scored videos of a table as `table_of` makes it.

    Raises:
        ValueError: if columns are missing or of other kinds, or videos have several numbers of classes, a class twice,
            or a score that is no number.
    """
    try:
        ids = table.column("id").to_pylist()
        classes, scores = (_matrix(table.column(name), len(ids)) for name in ("classes", "scores"))
    except (KeyError, pa.ArrowInvalid) as error:
        raise ValueError(f"scores must be in columns id, classes and scores: {error}") from error
    check(ids, classes, scores)
    starts = table.column("start").to_numpy() if "start" in table.column_names else None
    return Scored(ids, starts, classes.astype(np.int32), scores.astype(np.float32))


def check(ids: list[str], classes: np.ndarray, scores: np.ndarray) -> None:
    """Raises ValueError unless these are scores of classes, each class once a video: repeated hits would count."""
    if classes.shape != scores.shape:
        raise ValueError(f"classes and scores must have one shape, got {classes.shape} and {scores.shape}")
    if classes.dtype.kind not in "iu" or (classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < 2**31):
        raise ValueError("classes must be whole numbers from 0 on")
    if scores.dtype.kind not in "fiu" or not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers")
    ordered = np.sort(classes, axis=1)
    twice = np.argwhere(ordered[:, 1:] == ordered[:, :-1])
    if len(twice):
        row, place = twice[0]
        raise ValueError(f"each class of a video must be there once, {ids[row]!r} has {ordered[row, place]} twice")


def _matrix(column: pa.ChunkedArray, rows: int) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise ValueError(f"classes and scores must be lists, one a video, got {column.type}")
    whole = column.combine_chunks()
    if whole.null_count or whole.flatten().null_count:
        raise ValueError("classes and scores must be there for every video, some are null")
    lengths = np.unique(np.diff(whole.offsets.to_numpy()))
    if len(lengths) > 1:
        raise ValueError(f"all videos must have equally many classes, got {lengths.min()} to {lengths.max()}")
    return whole.flatten().to_numpy().reshape(rows, -1)


def joined(parts: Iterable[Scored]) -> Scored:
    """Parts as one.

    Raises:
        ValueError: if there is none.
    """
    found = list(parts)
    if not found:
        raise ValueError("there must be at least one video to score, got none")
    starts = None if found[0].starts is None else np.concatenate([part.starts for part in found])
    ids = [video for part in found for video in part.ids]
    return Scored(ids, starts, *(np.concatenate([getattr(p, name) for p in found]) for name in ("classes", "scores")))
