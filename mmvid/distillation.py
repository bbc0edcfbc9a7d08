"""Distillation: training on the labels and a teacher's scores of `train` (Hinton et al. 2015, arXiv:1503.02531).

The teacher scores every video of `train` once. Of each its best classes are kept, in Arrow files of so many videos each
in a folder of the teacher and the data set; the others count as scored 0. Written part by part and mapped when read,
they take a few megabytes of memory whatever the size of the data, and a computation that was killed goes on after its
last part. A teacher that was trained on `train` knows its labels better than it should: its scores are no forecasts.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from mmvid import experiment
from mmvid.config import Options, option
from mmvid.durable import exclusively, replacing
from mmvid.ensemble_package import EnsemblePackage
from mmvid.metrics.ranked import best_classes
from mmvid.packaging import Package
from mmvid.records.batches import Batch
from mmvid.records.store import Store

SPLIT = "train"
KEPT = 50  # classes of a video
PART = 128  # batches of `experiment.PREDICT_BATCH` videos in a file: 65,536 videos and 26 MB


class TeacherConfig(Options):
    """Distillation."""

    teacher: str = option("", "run id, or models:/name@alias, whose scores to learn from, too", decides=False)
    distillation_weight: float = option(0.5, "share of the teacher's scores in the targets", gt=0, le=1)
    distillation_temperature: float = option(1.0, "what the log-odds of its scores are divided by", gt=0)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained model that another one learns from.

    Attributes:
        package: the model.
        config: how much of its scores goes into the targets.
        folder: where the scores of all teachers lie.
    """

    package: Package | EnsemblePackage
    config: TeacherConfig
    folder: Path

    @property
    def key(self) -> str:
        return self.package.key

    @property
    def options(self) -> dict[str, Any]:
        """What decides the targets, beside the teacher itself."""
        return self.config.model_dump(mode="json", exclude={"teacher"})

    def check(self, store: Store) -> None:
        """Raises ValueError if it cannot score a data set, or has other labels."""
        obstacle = self.package.obstacle(store)
        if obstacle is not None:
            raise ValueError(f"teacher must be a model of {store.folder}'s labels and features: {obstacle}")

    def relabel(self, store: Store) -> Callable[[Batch, np.ndarray], None]:
        """What makes targets of the labels of a batch, which has these rows of `train`; scores come from `folder`."""
        self.check(store)
        folder = self.folder / f"{self.key}-{store.digest}"
        waiting = f"teacher {self.key}: another process computes its scores; waiting for it"
        with exclusively(folder / "lock", waiting):
            score(self.package, store, folder)
        scores, config = Scores(folder), self.config

        def change(batch: Batch, rows: np.ndarray) -> None:
            classes, values = scores.of(rows)
            odds = torch.from_numpy(values).logit() / config.distillation_temperature  # of 0 and 1 infinite, and back
            taught = torch.zeros(batch.labels.shape).scatter_(1, torch.from_numpy(classes).long(), odds.sigmoid())
            batch.labels = torch.lerp(batch.labels.float(), taught, config.distillation_weight)

        return change


class Scores:
    """The scores of a teacher, as `score` wrote them."""

    def __init__(self, folder: Path):
        self.size = PART * experiment.PREDICT_BATCH
        count = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["parts"]
        self.parts = [_read(_part(folder, number)) for number in range(count)]

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best classes of some videos and their scores, int32 and float32 (B, K)."""
        kept = self.parts[0][0].shape[1]
        classes, scores = np.empty((len(rows), kept), np.int32), np.empty((len(rows), kept), np.float32)
        part, row = np.divmod(rows, self.size)
        for number in np.unique(part):
            here = part == number
            classes[here], scores[here] = (column[row[here]] for column in self.parts[number])
        return classes, scores


def score(package: Package | EnsemblePackage, store: Store, folder: Path, *, progress: bool = True) -> None:
    """Scores `train` into a folder, part by part; what is there already stays.

    Raises:
        ValueError: if the split has no videos.
    """
    done = folder / "scores.json"
    if done.exists():
        return
    model = package.model.eval()
    batches = experiment.batches(store, SPLIT, model, experiment.PREDICT_BATCH)
    if not len(batches):
        raise ValueError(f"{store.folder} must have videos in {SPLIT} for a teacher to score, it has none")
    bar = tqdm(total=len(batches), desc="teacher", unit="batch", disable=not (progress and sys.stderr.isatty()))
    if progress and bar.disable:
        sys.stderr.write(f"teacher {package.name}: scores {store.count(SPLIT)} videos of {SPLIT}\n")
    parts = 0
    with bar, torch.inference_mode():
        for parts, group in itertools.groupby(enumerate(batches), lambda item: item[0] // PART):
            path, found = _part(folder, parts), []
            wanted = not path.exists()
            for _, batch in group:  # what a killed process scored is read, but not scored again
                if wanted:
                    found.append(best_classes(model(batch).float(), KEPT))
                bar.update()
            if wanted:
                _write(path, found)
    with replacing(done) as path:
        facts = {"teacher": package.key, "data": store.digest, "kept": KEPT, "parts": parts + 1}
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.arrow"


def _write(path: Path, found: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    scores, classes = (torch.cat(column).numpy() for column in zip(*found, strict=True))
    kept = scores.shape[1]
    columns = {
        "classes": pa.FixedSizeListArray.from_arrays(pa.array(classes.astype(np.int32).reshape(-1)), kept),
        "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.reshape(-1)), kept),
    }
    table = pa.table(columns)
    with replacing(path) as unfinished, pa.ipc.new_file(str(unfinished), table.schema) as file:
        file.write_table(table, max_chunksize=len(table))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a part, mapped: classes and scores, (N, K)."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path} must be an Arrow file of a teacher's scores; remove its folder: {error}") from error
    classes, scores = (table.column(name) for name in ("classes", "scores"))
    return tuple(column.flatten().to_numpy().reshape(len(table), -1) for column in (classes, scores))
