"""Files of segments' scores, read as their measure needs them: Parquet with `start`, or the challenge's CSV of 2019."""

from pathlib import Path

import numpy as np

from mmvid.bulk import files
from mmvid.metrics.segments import Submitted

HEADER = "Class,Segments"


def read(path: Path, num_classes: int) -> tuple[list[str], Submitted]:
    """The names of the segments, `video:start`, and what was submitted of them, by their numbers in that list.

    The CSV has an order of each class's segments and no scores: of n segments the first has the score n, the last 1.

    Raises:
        ValueError: if it is no such file; the sentence names it, and the line. OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    if first.decode("utf-8-sig", "replace").strip() == HEADER:
        return _read_csv(path, num_classes)
    scored, _ = files.read(path)
    if scored.starts is None:
        raise ValueError(f"{path} must be of segments, which have a column start; it is of whole videos")
    names = [f"{video}:{start}" for video, start in zip(scored.ids, scored.starts.tolist(), strict=True)]
    if (twice := _first_twice(names)) is not None:
        raise ValueError(f"{path} must have each segment once, it has {twice!r} twice")
    if scored.classes.size and scored.classes.max() >= num_classes:
        raise ValueError(f"{path} must have classes from 0 to {num_classes - 1}, got {scored.classes.max()}")
    rows = np.arange(len(names)).repeat(scored.classes.shape[1])
    return names, Submitted(rows, scored.classes.reshape(-1), scored.scores.reshape(-1))


def _read_csv(path: Path, num_classes: int) -> tuple[list[str], Submitted]:
    place: dict[str, int] = {}
    segments, classes, scores = [], [], []
    with path.open(encoding="utf-8-sig") as file:
        next(file)
        for number, line in enumerate(file, 2):
            label, comma, listed = line.rstrip("\r\n").partition(",")
            if not (comma and label.isdecimal() and int(label) < num_classes):
                wanted = f"a class from 0 to {num_classes - 1}, a comma and segments"
                raise ValueError(f"{path}: line {number} must be {wanted}, got {line[:80].rstrip()!r}")
            names = listed.split()
            if (bad := next((name for name in names if not name.rpartition(":")[2].isdecimal()), None)) is not None:
                raise ValueError(f"{path}: line {number}: a segment must be video:start, got {bad[:80]!r}")
            if int(label) in classes:
                raise ValueError(f"{path}: line {number} must be another class's, {label} was there before")
            if (twice := _first_twice(names)) is not None:
                raise ValueError(f"{path}: line {number} must have each segment once, it has {twice!r} twice")
            segments.append(np.array([place.setdefault(name, len(place)) for name in names], np.int64))
            classes.append(int(label))
            scores.append(np.arange(len(names), 0, -1, dtype=np.float64))
    if not place:
        raise ValueError(f"{path} must have at least one segment, it has none")
    repeats = [len(each) for each in segments]
    submitted = Submitted(np.concatenate(segments), np.repeat(classes, repeats), np.concatenate(scores))
    return list(place), submitted


def _first_twice(names: list[str]) -> str | None:
    """The first name that was there before; None where all differ."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)
