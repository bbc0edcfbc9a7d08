"""What a promotion is about: models of one kind, and the data that they are held against each other on."""

import json
from pathlib import Path
from typing import Any, Protocol

from mmvid import ensemble_serving, predictions, segmentation_serving
from mmvid.clips.store import ClipStore
from mmvid.ensemble_package import EnsemblePackage
from mmvid.labelled import LabelledFrames, open_labelled
from mmvid.packaging import Package
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.registry import mask_measurement, measurement
from mmvid.registry.measurement import Measured
from mmvid.segmentation import predictions as mask_predictions
from mmvid.segmentation.experiment import splits_of
from mmvid.segmentation.package import SegmenterPackage

LABELLED = "mmvid.labelled"  # tag of a run: which frames of its store were labelled, as JSON


class Subject(Protocol):
    """A kind of model and a data set.

    Attributes:
        name, title, digest, place: the data set's.
        inputs: the digests that a measurement depends on.
        splits: split -> how many videos or pictures it has.
        unit: what is drawn anew, `video` or `picture`.
    """

    name: str
    title: str
    digest: str
    place: str
    inputs: dict[str, str]
    splits: dict[str, int]
    unit: str

    def load(self, uri: str) -> Any:
        """The package behind a model's URI."""

    def obstacle(self, package: Any) -> str | None:
        """Why a model cannot be measured on the data, or None where it can."""

    def is_of_made_data(self, package: Any) -> bool:
        """Whether a model was trained on made data."""

    def measure(self, package: Any) -> Measured:
        """What a model does on `gate`."""

    def write(self, measured: Measured, path: Path) -> None:
        """Writes its predictions."""

    def profile(self) -> dict[str, Any]:
        """What the data set is, in few words, as JSON values."""

    def what(self, package: Any) -> str:
        """A model in words, such as `moe` classifier of 100 labels."""

    def options(self, package: Any) -> tuple[str, ...]:
        """The options that it was built with."""


class Classification:
    """Classifiers and ensembles on a store; with the words of its titles and keywords where they read words."""

    unit = "video"

    def __init__(self, store: Store, textset: TextSet | None = None):
        self.store, self.textset = store, textset
        self.name, self.title, self.digest, self.place = store.name, store.title, store.digest, str(store.folder)
        self.inputs = {"data": store.digest} | ({} if textset is None else {"text": textset.digest})
        self.splits = {split: store.count(split) for split in store.splits}

    def load(self, uri: str) -> Package | EnsemblePackage:
        return ensemble_serving.load_logged(uri)

    def obstacle(self, package: Package | EnsemblePackage) -> str | None:
        return package.obstacle(self.store, self.textset)

    def is_of_made_data(self, package: Package | EnsemblePackage) -> bool:
        return package.schema.name == "demo"

    def measure(self, package: Package | EnsemblePackage) -> Measured:
        return measurement.measure(package, self.store, self.textset)

    def write(self, measured: Measured, path: Path) -> None:
        predictions.write(measured.predictions, path)

    def profile(self) -> dict[str, Any]:
        return self.store.profile()

    def what(self, package: Package | EnsemblePackage) -> str:
        return f"A `{package.name}` classifier of {self.store.shapes.classes:,} labels"

    def options(self, package: Package | EnsemblePackage) -> tuple[str, ...]:
        return tuple(type(package.config).model_fields)


class Segmentation:
    """Segmenters on labelled frames."""

    unit = "picture"

    def __init__(self, labelled: LabelledFrames, place: str):
        self.labelled, self.place = labelled, place
        self.name = self.title = labelled.title
        self.digest, self.inputs = labelled.digest, {"masks": labelled.digest}
        self.splits = {split: len(rows) for split, rows in splits_of(labelled).items()}

    @classmethod
    def of_run(cls, tags: dict[str, str], place: str) -> "Segmentation":
        """The labelled frames that a run was trained on, or as many of another store.

        Args:
            tags: the run's.
            place: a store with masks.

        Raises:
            ValueError: if the store has no such masks.
        """
        wanted = json.loads(tags[LABELLED])
        return cls(open_labelled(ClipStore.open(place), **wanted), place)

    def load(self, uri: str) -> SegmenterPackage:
        return segmentation_serving.load_logged(uri)

    def obstacle(self, package: SegmenterPackage) -> str | None:
        if package.target != self.labelled.categories:
            shown, there = (", ".join(names) for names in (package.target, self.labelled.categories))
            return f"its masks show {shown}, the data's {there}"
        if (size := self.labelled.frames.shape[1:3]) != package.frame:
            read, there = (" x ".join(map(str, pair)) for pair in (package.frame, size))
            return f"it reads frames of {read}, the data's are {there}"
        return None

    def is_of_made_data(self, package: SegmenterPackage) -> bool:
        return "(made)" in package.origin

    def measure(self, package: SegmenterPackage) -> Measured:
        return mask_measurement.measure_masks(package, self.labelled)

    def write(self, measured: Measured, path: Path) -> None:
        mask_predictions.write(measured.predictions, path)

    def profile(self) -> dict[str, Any]:
        return self.labelled.census()

    def what(self, package: SegmenterPackage) -> str:
        return f"A segmenter of {', '.join(package.target)}: `{package.title}`"

    def options(self, package: SegmenterPackage) -> tuple[str, ...]:
        of_encoder = ("latent", "finetune") if package.encoder is not None else ()
        return (*type(package.model.head.config).model_fields, *of_encoder)
