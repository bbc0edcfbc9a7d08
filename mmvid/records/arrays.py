"""Items that lie in arrays of an npz file, as the TFRecords of the folds of a cross-validation.

    visual (N, 100), audio (N, 73), text (N, 100), label (N,)

The arrays' names are the keys of a schema. Fold k is a data set of its own: its items are `validate`, all others
`train`, of which ingest takes dev and gate as ever. Features are standardised by the mean and spread of the fold's own
train, so that zeros, which stand for a missing modality, are its mean.
"""

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmvid.durable import exclusively, replacing
from mmvid.records.schema import Schema, encode_video
from mmvid.records.video import Video
from mmvid.tfrecords.framing import write_records

_NOTE = "folds.json"


@dataclasses.dataclass(frozen=True)
class Items:
    """N items with one label each.

    Attributes:
        features: modality -> float64 (N, D).
        labels: class ids, int64 (N,).
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def id_of(row: int) -> str:
        return f"item{row:07d}"


@dataclasses.dataclass(frozen=True)
class Division:
    """Which fold each item is validated in.

    Attributes:
        folds: the fold, int64 (N,).
        groups: the group, int64 (N,); items of a group are in one fold.
    """

    folds: np.ndarray
    groups: np.ndarray

    @property
    def count(self) -> int:
        return int(self.folds.max()) + 1


def read_items(path: Path, schema: Schema) -> Items:
    """The arrays that a schema names; others are passed over.

    Raises:
        ValueError: if the file is no npz, an array is missing or does not fit the schema; the message names both.
        OSError: if it cannot be read.
    """
    keys = {name: spec.mean for name, spec in schema.features.items() if spec.mean}
    found = _read(path, [*keys.values(), schema.labels_key])
    features, labels = {name: found[key] for name, key in keys.items()}, found[schema.labels_key]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not len(labels):
        raise ValueError(
            f"{path}: {schema.labels_key} must be one whole number an item, got {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= schema.classes:
        raise ValueError(
            f"{path}: {schema.labels_key} must be 0 to {schema.classes - 1}, got {labels.min()} to {labels.max()}"
        )
    for name, values in features.items():
        spec = schema.features[name]
        wanted = (len(labels), spec.size)
        if values.shape != wanted or not np.issubdtype(values.dtype, np.number):
            raise ValueError(
                f"{path}: {spec.mean} must be numbers of shape {wanted}, got {values.dtype} {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: {spec.mean} must be finite, item {_first_bad(values)} is not")
    return Items({name: values.astype(np.float64) for name, values in features.items()}, labels.astype(np.int64))


def divide(labels: np.ndarray, folds: int, group: int, seed: int) -> Division:
    """Divides items into folds in which every label has about its share.

    Items of one label that follow each other often come from one recording, and a model that has learnt the recording
    knows its neighbours. With `group` above 1 that many neighbours of each label stay together, and with them those at
    the same place among the other labels.

    Args:
        labels: class ids (N,), in the file's order.
        folds: how many.
        group: neighbours of a label that stay together; 1 divides single items.
        seed: of the division.

    Raises:
        ValueError: if there are fewer groups than folds.
    """
    counts = np.bincount(labels)
    total = -(-int(counts.max()) // group)
    if total < folds:
        raise ValueError(f"folds must be at most {total}, the groups of {group} that there are, got {folds}")
    groups = np.empty(len(labels), np.int64)
    for label in np.flatnonzero(counts):
        rows = np.flatnonzero(labels == label)
        groups[rows] = np.arange(len(rows)) * total // len(rows)
    fold_of_group = np.empty(total, np.int64)
    fold_of_group[np.random.default_rng(seed).permutation(total)] = np.arange(total) % folds
    return Division(fold_of_group[groups], groups)


def write_folds(items: Items, division: Division, schema: Schema, folder: Path, hide: float, seed: int) -> list[Path]:
    """Writes the records of every fold, or finds them written.

    Args:
        items: what is divided.
        division: how.
        schema: whose keys the records have.
        folder: a folder a fold goes below it.
        hide: share of each modality that the records of train lack, drawn for each item and modality; an item keeps at
            least one. Those of validate lack nothing.
        seed: of what is hidden.

    Returns:
        The folder of each fold.
    """
    places = [folder / f"{schema.name}-fold{fold + 1}of{division.count}" for fold in range(division.count)]
    with exclusively(folder.with_name(f"{folder.name}.lock"), f"another process writes {folder}; waiting for it"):
        if (folder / _NOTE).exists():
            return places
        for fold, place in enumerate(places):
            place.mkdir(parents=True, exist_ok=True)
            held_out = division.folds == fold
            scaled = standardise(items.features, ~held_out)
            kept = _kept(len(items), len(scaled), hide, [seed, fold])
            kept[held_out] = True
            for split, rows in (("train", ~held_out), ("validate", held_out)):
                payloads = _payloads(schema, items, scaled, kept, np.flatnonzero(rows))
                write_records(place / f"{split}.tfrecord", payloads)
        with replacing(folder / _NOTE) as path:
            counts = np.bincount(division.folds).tolist()
            path.write_text(json.dumps({"items": counts, "hide": hide, "seed": seed}) + "\n", encoding="utf-8")
    return places


def standardise(features: dict[str, np.ndarray], fitted: np.ndarray) -> dict[str, np.ndarray]:
    """Features with mean 0 and spread 1 over the rows `fitted`, bool (N,); a feature that is constant there is 0."""
    found = {}
    for name, values in features.items():
        mean, spread = values[fitted].mean(axis=0), values[fitted].std(axis=0)
        varies = spread > 1e-9 * np.maximum(np.abs(mean), 1)
        found[name] = np.where(varies, (values - mean) / np.where(varies, spread, 1), 0).astype(np.float32)
    return found


def _kept(count: int, modalities: int, hide: float, seed: list[int]) -> np.ndarray:
    """Which modalities of each item stay, bool (N, M); one at least."""
    draws = np.random.default_rng(seed)
    kept = draws.random((count, modalities)) >= hide
    rescued = draws.integers(0, modalities, count)
    kept[np.arange(count), rescued] |= ~kept.any(axis=1)
    return kept


def _payloads(
    schema: Schema, items: Items, scaled: dict[str, np.ndarray], kept: np.ndarray, rows: np.ndarray
) -> Iterator[bytes]:
    for row in rows:
        features = {name: values[row] for (name, values), stays in zip(scaled.items(), kept[row], strict=True) if stays}
        yield encode_video(schema, Video(items.id_of(row), items.labels[row : row + 1].astype(np.int32), features))


def _read(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    """The arrays of those names; no pickled objects are read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            there = list(file.files)
            found = {key: file[key] for key in keys if key in there}
    except (zipfile.BadZipFile, EOFError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} must be an npz file of arrays: {error}") from error
    for key in keys:
        if key not in found:
            raise ValueError(f"{path} must have an array {key!r}, it has {', '.join(there) or 'none'}")
    return found


def _first_bad(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
