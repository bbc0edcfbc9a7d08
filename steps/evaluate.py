"""Measure a file of scores against the labels of a data set: the metrics that training logs, under the same names.

    mlflow run . -e evaluate -P predictions=scores.parquet -P data=/data/yt8m -P schema=youtube8m
    python -m steps.evaluate --predictions submission.csv --split gate

Reads  --predictions, Parquet or a challenge's CSV as `predict` or another program writes them, and the labels of a
       split of --data, or its ratings where it is one of segments.
Logs   <split>/gap, map, hit_at_1, perr, of all videos and of those with and without text; of segments
       <split>/segment_map, the challenge's of 2019, and how many rated ones the file has and lacks.

Of a file with fewer than 100 classes a video PERR is a lower bound where a video has more labels; a CSV has six digits
of each score, so scores may tie that did not.
"""

from pathlib import Path

import numpy as np

from mmvid import evaluation
from mmvid.bulk import files, segment_files
from mmvid.bulk.parts import Scored
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.ensemble.joining import rows_of
from mmvid.experiment import check_splits, commonest_label
from mmvid.manifests import digest_of
from mmvid.metrics.segments import Ratings, submitted_segment_map
from mmvid.predictions import Predictions
from mmvid.records.store import Store
from mmvid.report.table import markdown
from mmvid.runs import Command, Task

NEEDED = 20  # classes of a video that GAP looks at


class EvaluateConfig(Options):
    """Measuring."""

    predictions: str = option("", "file of scores: Parquet or CSV")
    split: str = option("validate", "split of the data set that was scored")


def main(argv: list[str]) -> None:
    config, data = parse(argv, EvaluateConfig, DataConfig, about=__doc__)
    if not config.predictions:
        raise ValueError("predictions must be given: a file that predict has written")
    path = Path(config.predictions).absolute()
    digest = digest_of(path)
    with Command() as command:
        store = open_dataset(command, data)
        task = Task(
            "evaluate",
            {"predictions": str(path), "split": config.split},
            {"data": store.digest, "predictions": digest},
            ("mmvid.evaluation",),
            f"evaluate {path.name}",
        )
        with command.start(task, own=True) as run:
            run.dataset(store.name, store.digest, str(store.folder), store.profile(), context=config.split)
            metrics = (measured if store.schema.segments is None else measured_segments)(path, store, config.split)
            run.report({f"{config.split}/{name}": value for name, value in metrics.items()})
    print(markdown(["metric", config.split], [[name, value] for name, value in metrics.items()]))


def measured(path: Path, store: Store, split: str) -> dict[str, float]:
    """The metrics of a file of videos' scores on a split.

    Raises:
        ValueError: if the split has no labels, or the file is not of its videos or has too few or wrong classes.
    """
    check_splits(store, (split,))
    scored, facts = files.read(path)
    if scored.starts is not None:
        raise ValueError(f"{path} must be of whole videos as {store.name} is, it is of segments")
    classes = store.shapes.classes
    if facts.get("mmvid.num_classes", str(classes)) != str(classes):
        raise ValueError(f"{path} must be of {classes} classes as {store.name} is, got {facts['mmvid.num_classes']}")
    kept = scored.classes.shape[1]
    if kept < min(NEEDED, classes):
        raise ValueError(f"{path} must have at least {min(NEEDED, classes)} classes of each video, it has {kept}")
    ids = store.table(split).column("id").to_pylist()
    rows = rows_of(ids, scored.ids, str(path))
    labels, offsets = store.labels_of(split)
    order = _sorted(scored, rows)
    found = Predictions(ids, order[0], order[1], labels, offsets, num_classes=classes, key=facts.get("mmvid.key", ""))
    return evaluation.score(found, store.text_groups(split), commonest_label(store))


def measured_segments(path: Path, store: Store, split: str) -> dict[str, float]:
    """The challenge's measure of a file of segments on the ratings of a split; the file may have others, too.

    Raises:
        ValueError: if the split has no ratings, the file is none of segments, or has none of the split's.
    """
    check_splits(store, (split,))
    names, submitted = segment_files.read(path, store.shapes.classes)
    table = store.table(split).select(["id", "labels", "rated"]).to_pydict()
    place = {name: number for number, name in enumerate(names)}
    found = sum(name in place for name in table["id"])
    if not found:
        raise ValueError(f"{path} must have segments of {split} of {store.name}, it has none of them")
    rows = [place.setdefault(name, len(place)) for name in table["id"]]
    rated = [classes or [] for classes in table["rated"]]
    there = zip(rated, table["labels"], strict=True)
    ratings = Ratings(
        np.repeat(rows, [len(classes) for classes in rated]),
        np.array([label for classes in rated for label in classes], np.int64),
        np.array([label in labels for classes, labels in there for label in classes], bool),
    )
    value = submitted_segment_map(submitted, ratings, store.shapes.classes)
    return {"segment_map": value, "segments": float(found), "segments_lacking": float(len(rows) - found)}


def _sorted(scored: Scored, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes and scores of some rows by falling score, equal scores by rising class, whatever order a file had."""
    classes, scores = scored.classes[rows], scored.scores[rows]
    order = np.lexsort((classes, -scores), axis=1)
    return np.take_along_axis(classes, order, 1), np.take_along_axis(scores, order, 1)


if __name__ == "__main__":
    run_command(main)
