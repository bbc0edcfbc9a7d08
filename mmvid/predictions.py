"""Predictions: for each video its best-scored classes, its labels, and the key of the model that made them.

Sparse, so that 1.4 million videos of 4716 classes take one gigabyte instead of 26; an Arrow IPC file on disk.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mmvid.durable import replacing
from mmvid.metrics.ranked import Ranked, match

KEPT = 100  # classes of a video


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The K best-scored classes of N videos, which have M labels in all.

    Attributes:
        ids: N video ids.
        classes: class ids by falling score, equal scores by rising id, int32 (N, K).
        scores: their scores in [0, 1], float32 (N, K).
        labels: true class ids, one video after another, int32 (M,); None where the split has none.
        offsets: where each video's labels begin, and M at the end, int64 (N + 1,); None where there are none.
        num_classes: C; K is at most that.
        key: the key of the run whose model made them.
    """

    ids: list[str]
    classes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray | None
    offsets: np.ndarray | None
    num_classes: int
    key: str

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> "Predictions":
        """The videos where `rows`, bool (N,), is True."""
        labels = offsets = None
        if self.labels is not None:
            counts = np.diff(self.offsets)
            labels = self.labels[np.repeat(rows, counts)]
            offsets = np.concatenate([[0], np.cumsum(counts[rows])])
        return dataclasses.replace(
            self,
            ids=[video for video, kept in zip(self.ids, rows, strict=True) if kept],
            classes=self.classes[rows],
            scores=self.scores[rows],
            labels=labels,
            offsets=offsets,
        )

    def without(self, label: int) -> "Predictions":
        """The same videos as if they had no such label: it comes last everywhere, with the score 0.

        Raises:
            ValueError: if the videos have no labels.
        """
        if self.labels is None or self.offsets is None:
            raise ValueError("predictions without labels cannot be scored")
        order = np.argsort(self.classes == label, axis=1, kind="stable")
        classes = np.take_along_axis(self.classes, order, axis=1)
        scores = np.where(classes == label, 0, np.take_along_axis(self.scores, order, axis=1))
        kept = np.concatenate([[0], np.cumsum(self.labels != label)])
        return dataclasses.replace(
            self,
            classes=classes,
            scores=scores.astype(self.scores.dtype),
            labels=self.labels[self.labels != label],
            offsets=kept[self.offsets],
        )

    def ranked(self) -> Ranked:
        """What the ranking metrics are computed from.

        Raises:
            ValueError: if the videos have no labels.
        """
        if self.labels is None or self.offsets is None:
            raise ValueError("predictions without labels cannot be scored")
        arrays = (self.classes, self.scores, self.labels, self.offsets)
        return match(*(torch.tensor(array) for array in arrays), num_classes=self.num_classes)


def write(predictions: Predictions, path: Path) -> None:
    """Writes predictions, all of them or none."""
    count, kept = predictions.classes.shape
    if predictions.labels is None:
        labels = pa.nulls(count, pa.large_list(pa.int32()))
    else:
        labels = pa.LargeListArray.from_arrays(predictions.offsets, pa.array(predictions.labels, pa.int32()))
    columns = {
        "id": pa.array(predictions.ids, pa.string()),
        "classes": pa.FixedSizeListArray.from_arrays(pa.array(predictions.classes.reshape(-1), pa.int32()), kept),
        "scores": pa.FixedSizeListArray.from_arrays(pa.array(predictions.scores.reshape(-1), pa.float32()), kept),
        "labels": labels,
    }
    facts = {"mmvid.key": predictions.key, "mmvid.num_classes": str(predictions.num_classes)}
    table = pa.table(columns).replace_schema_metadata(facts)
    with replacing(path) as unfinished, pa.ipc.new_file(str(unfinished), table.schema) as file:
        file.write_table(table)


def read(path: Path) -> Predictions:
    """Reads what `write` wrote.

    Raises:
        ValueError: if the file is not one of predictions; the message names it.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        key, num_classes = facts["mmvid.key"], int(facts["mmvid.num_classes"])
        columns = {name: table.column(name).combine_chunks() for name in ("id", "classes", "scores", "labels")}
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(f"{path} must be an Arrow file of predictions: {error}") from error
    count = len(table)
    labels = offsets = None
    if columns["labels"].null_count == 0:
        labels = columns["labels"].flatten().to_numpy()
        offsets = columns["labels"].offsets.to_numpy()
        offsets = offsets - offsets[0]
    return Predictions(
        ids=columns["id"].to_pylist(),
        classes=columns["classes"].flatten().to_numpy().reshape(count, -1),
        scores=columns["scores"].flatten().to_numpy().reshape(count, -1),
        labels=labels,
        offsets=offsets,
        num_classes=num_classes,
        key=key,
    )
