"""Videos of which there is text and labels but no features: rows of JSON Lines, CSV or Parquet, as `rows` reads them.

    {"id": "eguZ69v_vlQ", "title": "Muerte por amor", "labels": [26, 466]}

The keys are those of `text`, and the schema's for labels: a list of numbers, in CSV one field with spaces or
semicolons.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmvid.records.payloads import check_labels
from mmvid.records.rows import read_rows
from mmvid.records.schema import Schema
from mmvid.records.text import Text, read_row
from mmvid.records.video import BadRecord, Video
from mmvid.storage import File


def read_described(file: File, schema: Schema) -> Iterator[tuple[Video, Text]]:
    """The videos of a file and their text.

    Raises:
        ValueError: at the first row that is not as it must be; its place is named.
    """
    for place, row in read_rows(file):
        id, text = read_row(row, place)
        labels = _labels(row.get(schema.labels_key), place)
        try:
            check_labels(schema, labels or [], id)
        except BadRecord as error:
            raise ValueError(f"{place}: {error}") from None
        yield Video(id, None if labels is None else np.array(labels, np.int32), {}), text


def _labels(value: Any, place: str) -> list[int] | None:
    if value is None:
        return None
    words = value.replace(";", " ").split() if isinstance(value, str) else value
    if isinstance(words, list):
        numbers = [int(word) if isinstance(word, str) and word.isdecimal() else word for word in words]
        if all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            return sorted(set(numbers))
    raise ValueError(f"{place}: labels must be whole numbers, got {value!r:.40}")
