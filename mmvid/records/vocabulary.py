"""The names of the labels, from the CSV files that data sets publish them in.

Names are not unique: YouTube-8M of 2017 has 4630 distinct ones among 4716. Ids go to names, never back.
"""

import csv
import io
import os
from collections.abc import Sequence

from mmvid import storage
from mmvid.storage import File

_ID_COLUMNS = ("index", "label_id", "id")
_NAME_COLUMNS = ("name", "display_name", "label_name")


def read_vocabulary(path: File | str | os.PathLike, classes: int) -> list[str]:
    """The name of each label.

    Args:
        path: a CSV file, on disk or on S3, with a header that has a column `index`, `label_id` or `id`, and one `name`,
            `display_name` or `label_name`, in any case; others are passed over.
        classes: C.

    Returns:
        C names; a label whose name is empty is called as in `unnamed`.

    Raises:
        ValueError: if the ids are not 0 to C - 1, each once, or the file is not such a CSV; the sentence names
            file and line.
    """
    names: dict[int, str] = {}
    try:
        with storage.opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            header = [column.strip().lower() for column in next(rows, [])]
            id_column = _column(path, header, _ID_COLUMNS)
            name_column = _column(path, header, _NAME_COLUMNS)
            for row in rows:
                if row:
                    _add(names, row, id_column, name_column, f"{path}: line {rows.line_num}")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a vocabulary must be UTF-8 text, byte {error.start} is not") from None
    except csv.Error as error:
        raise ValueError(f"{path}: line {rows.line_num}: not CSV: {error}") from None
    if len(names) != classes or max(names) != classes - 1:
        got = f"{len(names)} labels up to {max(names)}" if names else "no labels"
        raise ValueError(f"{path}: must name the labels 0 to {classes - 1} of the schema, names {got}")
    return [names[label] or unnamed(label) for label in range(classes)]


def unnamed(label: int) -> str:
    """What a label is called that has no name."""
    return f"label {label}"


def stated(names: Sequence[str]) -> list[str]:
    """The names of labels by their ids, empty for those that have none."""
    return ["" if name == unnamed(label) else name for label, name in enumerate(names)]


def _column(path: File | str | os.PathLike, header: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    found = ", ".join(header) or "nothing"
    raise ValueError(f"{path}: the header must have a column {' or '.join(names)}, it has {found}")


def _add(names: dict[int, str], row: list[str], id_column: int, name_column: int, place: str) -> None:
    if len(row) <= max(id_column, name_column):
        raise ValueError(f"{place}: must have at least {max(id_column, name_column) + 1} fields, has {len(row)}")
    word = row[id_column].strip()
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f"{place}: a label's id must be a whole number, got {word!r}")
    label = int(word)
    if label in names:
        raise ValueError(f"{place}: label {label} stands here a second time")
    names[label] = row[name_column].strip()
