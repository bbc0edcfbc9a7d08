"""Rows of classifiers and ensembles on the videos of a store."""

import dataclasses
import itertools
from collections.abc import Sequence

from mmvid import blends, classifiers
from mmvid.config import parse
from mmvid.dataset import DataConfig
from mmvid.metrics.bootstrap import Interval
from mmvid.records.store import MADE, Store
from mmvid.records.textset import FIELDS
from mmvid.report import populations
from mmvid.report.populations import SPLIT
from mmvid.report.recipes import Population, Table
from mmvid.runs import Command, Finished
from mmvid.setups import training_options
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.ensemble import find_or_blend
from steps.train import train


@dataclasses.dataclass(frozen=True)
class VideoRows:
    """Rows of classifiers and ensembles on a store; `frames` makes all rows of a demo read its frame-level records."""

    command: Command
    data: DataConfig
    text: TextConfig
    store: Store
    draws: int
    frames: bool = False
    metric = "gap"

    def of(self, table: Table) -> "VideoRows":
        """The same for a table's rows."""
        return dataclasses.replace(self, frames=table.frames)

    @property
    def title(self) -> str:
        """What tables are headed with: made data by that, real ones by their name and size."""
        store = self.store
        return MADE if store.title == MADE else f"{store.title}, {sum(map(store.count, store.splits)):,} videos"

    def lacking(self, needs: tuple[str, ...]) -> str | None:
        store, text = self.store, self.text
        for need in needs:
            if need.startswith("no "):
                if (unwanted := need.removeprefix("no ")) in store.shapes.features:
                    return f"only for data without {unwanted}: {store.title} has it"
                continue
            if need == "text" or need in FIELDS:
                there = bool(text.titles) or any(store.has_text(split).any() for split in store.splits)
            elif need == "frames":
                there = bool(store.shapes.frames)
            else:
                there = need in store.shapes.features
            if not there:
                return f"not in this data: {store.title} has no {need}"
        fields = [need for need in needs if need in FIELDS]
        if fields:
            textset = find_or_build(self.command, store, text)
            for field, split in itertools.product(fields, ("train", "dev", SPLIT)):
                if not textset.known(split, field, "kept").any():
                    return f"not in this data: no video of {split} has a known word in {field}"
        return None

    def run(self, entry: str, words: list[str], seed: int, members: list[str]) -> Finished:
        kind, _, name = entry.partition("_")
        if kind == "ensemble":
            chosen, config = parse([name, *words], blends, about=__doc__)
            return find_or_blend(self.command, chosen, config, members)
        if kind != "train":
            raise ValueError(f"entry must begin with train_ or ensemble_, got {entry!r}")
        seeded = ["--seed", str(seed)] if seed_matters(name) else []
        return train(self.command, [name, *words, *seeded], data=self.data, text=self.text, frames=self.frames)

    def logged(self, population: Population, metric: str, split: str = SPLIT) -> str:
        return populations.metric_name(population, metric, split)

    def count(self, run: Finished, population: Population) -> int:
        return int(populations.videos_of(run, population).sum())

    def place(self, run: Finished) -> Store:
        return populations.store_of(run)

    def is_of_same_data(self, run: Finished, other: Finished) -> bool:
        return self.place(run).digest == self.place(other).digest

    def intervals(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, Interval]:
        return populations.intervals_of(run, population, metrics, draws=self.draws)

    def shares(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, float]:
        return populations.shares_alone(run, population, metrics)


def seed_matters(name: str) -> bool:
    """Whether a classifier is trained with a seed: one that counts has none."""
    return name not in classifiers.names() or "seed" in training_options(classifiers.load(name)).model_fields
