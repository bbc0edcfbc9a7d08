"""Titles and keywords of any files of rows as one index by id."""

import bisect
import json
from collections.abc import Sequence
from pathlib import Path

from mmvid import storage
from mmvid.durable import replacing
from mmvid.records.rows import read_rows
from mmvid.records.text import Repeats, TextIndex, read_row
from mmvid.storage import File


def index_texts(files: Sequence[File], scratch: Path, repeats: Repeats = "stop") -> TextIndex:
    """The index of files of titles and keywords; in memory are 16 bytes an id.

    Args:
        files: JSON Lines, CSV or Parquet, with the keys of `text`; in CSV keywords are one field with commas.
        scratch: where the rows are gathered, unless they are one plain file of JSON Lines on disk; the index reads
            there.
        repeats: `stop` raises at an id that comes twice; `first` keeps its first row.

    Raises:
        ValueError: if a row is not as it must be, or an id comes twice: it and both places are named.
    """
    first = files[0]
    if len(files) == 1 and first.name.endswith(".jsonl") and not storage.is_remote(first):
        return TextIndex.build(Path(first.place), repeats=repeats)
    starts: list[int] = []
    lines = 0
    with replacing(scratch) as temporary, open(temporary, "w", encoding="utf-8") as gathered:
        for file in files:
            starts.append(lines)
            for place, row in read_rows(file):
                id, text = read_row(row, place)
                row = {"id": id, "title": text.title, "keywords": text.keywords, "language": text.language}
                gathered.write(json.dumps(row, ensure_ascii=False) + "\n")
                lines += 1

    def where(line: int) -> str:
        file = bisect.bisect_left(starts, line) - 1
        return f"row {line - starts[file]} of {files[file]}"

    return TextIndex.build(scratch, ",".join(file.place for file in files), where, repeats)
