"""What to train and how: a classifier of the catalogue, its options, those of its training, and whom it learns from."""

import dataclasses
from types import ModuleType
from typing import Any, Protocol

from mmvid import classifiers
from mmvid.config import Options, deciding, option, with_defaults
from mmvid.presets import settle, unset
from mmvid.records.loader import Relabel
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.runs import Task
from mmvid.training import TrainConfig


class CountConfig(Options):
    """Counting."""

    batch_size: int = option(1024, "videos in a batch", ge=1, decides=False)


def training_options(member: ModuleType) -> type[TrainConfig] | type[CountConfig]:
    """How a member of the catalogue is trained: with the defaults that it suggests as `TRAINING`, or by counting."""
    if "fitted_by_counts" in member.Model.traits:
        return CountConfig
    return with_defaults(TrainConfig, getattr(member, "TRAINING", {}))


class Teacher(Protocol):
    """Whose scores a training follows beside the labels, see `distillation`: the key of its run, and options."""

    key: str
    options: dict[str, Any]

    def relabel(self, store: Store) -> Relabel: ...


def given_training(member: ModuleType) -> type[TrainConfig] | type[CountConfig]:
    """`training_options` for a command line: those that a preset of the member decides are empty until given."""
    kind = training_options(member)
    decided = frozenset(name for values in _training_presets(member).values() for name in values)
    return unset(kind, decided) if decided else kind


def settled_training(member: ModuleType, model: Options, given: Options) -> TrainConfig | CountConfig:
    """The training of what was given, else of the preset that the model's options name, else of the defaults."""
    return settle(training_options(member), given, _training_presets(member).get(getattr(model, "preset", ""), {}))


def _training_presets(member: ModuleType) -> dict[str, dict[str, Any]]:
    """What each preset of a member says of its training: the file's `TRAINING_PRESETS`."""
    return getattr(member, "TRAINING_PRESETS", {})


@dataclasses.dataclass(frozen=True)
class Setup:
    """A classifier by name, its options, how to train it, and whom it learns from beside the labels."""

    name: str
    model: Options
    train: TrainConfig | CountConfig
    teacher: Teacher | None = None

    @property
    def seed(self) -> int:
        """The seed of the training; what is counted has none."""
        return getattr(self.train, "seed", 0)

    def task(self, store: Store, textset: TextSet | None = None) -> Task:
        """The run that this setup on this data set is."""
        seeded = f", seed {self.seed}" if isinstance(self.train, TrainConfig) else ""
        inputs = {"data": store.digest} | ({} if textset is None else {"text": textset.digest})
        options, modules = deciding(self.model) | deciding(self.train), ("mmvid.experiment",)
        if not options.get("modalities", True):  # none named is all there are: the same run as if they were named
            reads_frames = classifiers.load(self.name).Model.reads_frames
            options["modalities"] = list(store.shapes.frames if reads_frames else store.shapes.features)
        if self.teacher is not None:
            inputs, options = inputs | {"teacher": self.teacher.key}, options | self.teacher.options
            modules = (*modules, "mmvid.distillation")
        return Task(
            entry=f"train_{self.name}",
            options=options,
            inputs=inputs,
            modules=(*modules, f"mmvid.classifiers.{self.name}"),
            name=f"{self.name} on {store.name}{seeded}",
        )

    def describe(self) -> dict[str, Any]:
        """The setup as JSON: what config.json of a run holds."""
        return {
            "classifier": self.name,
            "model": self.model.model_dump(mode="json", by_alias=True),
            "train": self.train.model_dump(mode="json", by_alias=True),
            **({} if self.teacher is None else {"teacher": {"key": self.teacher.key, **self.teacher.options}}),
        }
