"""Files of scores: Parquet, and the two CSV formats in which YouTube-8M's challenges took submissions.

parquet   id, classes, scores (and start, of segments): the best classes of each video, best first
csv       VideoId,LabelConfidencePairs: a line a video, pairs of label and score (6 digits), best first (2017, 2018)
segments  Class,Segments: a line a class, `video:start` by falling score, at most 100,000 of a class (2019)
Source: google/youtube-8m, inference.py and segment_eval_inference.py.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmvid.bulk.parts import Scored, check, joined, scored_of, table_of
from mmvid.durable import replacing

Format = Literal["parquet", "csv", "segments"]
KEPT = {"parquet": 100, "csv": 20, "segments": 1000}  # best classes of a video that are written
HEADER = ("VideoId", "LabelConfidencePairs")
TOP_N = 100_000  # segments of a class


def write(parts: Iterable[Scored], path: Path, kind: Format, facts: dict[str, str], classes: np.ndarray) -> int:
    """Writes a file of scores, part by part; it is there whole or not at all.

    Args:
        parts: what is written, in order.
        path: the file.
        kind: its format.
        facts: what a Parquet file says of itself.
        classes: which classes a file of segments has lines for, ascending.

    Returns:
        How many videos or segments there were.

    Raises:
        ValueError: if there are none, or segments are to be written and there are whole videos.
    """
    with replacing(path) as temporary:
        if kind == "parquet":
            return _write_parquet(parts, temporary, facts)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            lines = _lines(parts) if kind == "csv" else _segment_lines(parts, classes)
            return sum(file.write(line) and count for line, count in lines)


def _write_parquet(parts: Iterable[Scored], path: Path, facts: dict[str, str]) -> int:
    count, writer = 0, None
    try:
        for part in parts:
            table = table_of(part).replace_schema_metadata(facts)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            count += len(table)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("there must be at least one video to score, got none")
    return count


def _lines(parts: Iterable[Scored]) -> Iterator[tuple[str, int]]:
    """The lines of a file of videos, and how many videos each counts."""
    yield f"{','.join(HEADER)}\n", 0
    for part in parts:
        for video, classes, scores in zip(part.ids, part.classes.tolist(), part.scores.tolist(), strict=True):
            pairs = " ".join(f"{label} {score:g}" for label, score in zip(classes, scores, strict=True))
            yield f"{_cell(video)},{pairs}\n", 1


def _cell(text: str) -> str:
    """An id as CSV has it: in quotes where it would else end early; YouTube's own never would."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(letter in text for letter in ',"\r\n') else text


def _segment_lines(parts: Iterable[Scored], classes: np.ndarray) -> Iterator[tuple[str, int]]:
    """The lines of a file of segments.

    Memory: the names of all segments, and of each class 1.25 times `TOP_N` scores at most.
    """
    names: list[str] = []
    kept = [(np.zeros(0, np.float32), np.zeros(0, np.int64)) for _ in classes]
    for part in parts:
        if part.starts is None:
            raise ValueError("a file of segments must be of segments, the records hold whole videos")
        rows = np.repeat(np.arange(len(names), len(names) + len(part.ids)), part.classes.shape[1])
        names += [f"{video}:{start}" for video, start in zip(part.ids, part.starts.tolist(), strict=True)]
        wanted = np.isin(part.classes, classes).reshape(-1)
        place = np.searchsorted(classes, part.classes.reshape(-1)[wanted])
        order = np.argsort(place, kind="stable")
        scores, rows = part.scores.reshape(-1)[wanted][order], rows[wanted][order]
        ends = np.searchsorted(place[order], np.arange(len(classes) + 1))
        for number in range(len(classes)):
            begin, end = ends[number], ends[number + 1]
            if end > begin:
                both = zip(kept[number], (scores[begin:end], rows[begin:end]), strict=True)
                kept[number] = tuple(np.concatenate(pair) for pair in both)
                if len(kept[number][0]) > 1.25 * TOP_N:
                    kept[number] = _best(*kept[number])
    yield "Class,Segments\n", len(names)
    for label, (scores, rows) in zip(classes.tolist(), kept, strict=True):
        _, rows = _best(scores, rows)
        yield f"{label},{' '.join(names[row] for row in rows.tolist())}\n", 0


def _best(scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, kind="stable")[:TOP_N]
    return scores[order], rows[order]


def read(path: Path) -> tuple[Scored, dict[str, str]]:
    """Reads a file of videos' scores, Parquet or CSV, and what it says of itself.

    Raises:
        ValueError: if it is neither; the sentence names the file. OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        parquet = file.read(4) == b"PAR1"
    try:
        if not parquet:
            return _read_csv(path), {}
        table = pq.read_table(path)
        return scored_of(table), {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    except (ValueError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a file of scores: {error}") from error


def _read_csv(path: Path) -> Scored:
    parts: list[Scored] = []
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark before the first line
        reader = csv.reader(file)
        header = next(reader, None)
        if header is None or tuple(header) != HEADER:
            raise ValueError(f"its first line must be {','.join(HEADER)}, got {','.join(header or [])[:80]!r}")
        for number, row in enumerate(reader, 2):
            try:
                video, pairs = row
                words = pairs.split()
                classes, scores = np.array(words[::2], np.int32), np.array(words[1::2], np.float32)
            except (ValueError, OverflowError):
                raise ValueError(f"line {number} must be an id and pairs of label and score") from None
            if len(classes) != len(scores) or not np.isfinite(scores).all():
                raise ValueError(f"line {number} must be an id and pairs of label and score")
            if parts and len(classes) != parts[0].classes.shape[1]:
                raise ValueError(f"line {number} must have as many pairs as the first line, got {len(classes)}")
            parts.append(Scored([video], None, classes[None], scores[None]))
    found = joined(parts)
    check(found.ids, found.classes, found.scores)
    return found
