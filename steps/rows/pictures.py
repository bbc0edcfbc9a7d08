"""Rows of segmenters on labelled pictures."""

from collections.abc import Callable, Sequence

import numpy as np

from mmvid.config import Options, parse
from mmvid.maskset import MasksConfig
from mmvid.metrics.bootstrap import Interval, Mean, bootstrap, interval
from mmvid.report.populations import SPLIT
from mmvid.report.recipes import Population
from mmvid.runs import Command, Finished
from mmvid.segmentation import predictions as mask_predictions
from mmvid.storage import absolute, name_of
from steps import train_segmentation, train_unet
from steps.train_unet import LabelConfig

TRAINERS: dict[str, tuple[tuple[type[Options], ...], Callable[..., Finished]]] = {
    "train_segmentation": (train_segmentation.PARTS, train_segmentation.train),
    "train_unet": (train_unet.PARTS, train_unet.train),
}


class PictureRows:
    """Rows of segmenters on labelled pictures."""

    metric = "iou"

    def __init__(self, command: Command, masks: MasksConfig, labels: LabelConfig, draws: int):
        self.command, self.masks, self.labels, self.draws = command, masks, labels, draws

    @property
    def title(self) -> str:
        """What tables are headed with: made data by that, real ones by their name and size."""
        frames = train_unet.labelled_of(self.command, self.masks, self.labels).frames
        name = f"{name_of(absolute(self.masks.masks))} ({frames.title}), {len(frames):,} labelled pictures"
        return frames.title if frames.made else name

    def lacking(self, needs: tuple[str, ...]) -> str | None:
        return f"pictures have no {', '.join(needs)}" if needs else None

    def run(self, entry: str, words: list[str], seed: int, members: list[str]) -> Finished:
        if entry not in TRAINERS or members:
            raise ValueError(f"entry must be one of {', '.join(TRAINERS)}, without members, got {entry!r}")
        parts, make = TRAINERS[entry]
        given = {MasksConfig: self.masks, LabelConfig: self.labels}
        read = parse([*words, "--seed", str(seed)], *parts, about=__doc__)
        return make(self.command, tuple(given.get(type(part), part) for part in read))

    def logged(self, population: Population, metric: str, split: str = SPLIT) -> str:
        return f"{split}/{metric}"

    def count(self, run: Finished, population: Population) -> int:
        return len(self._predicted(run))

    def place(self, run: Finished) -> str:
        return run.tags["mmvid.data.store"]

    def is_of_same_data(self, run: Finished, other: Finished) -> bool:
        return self._predicted(run).ids == self._predicted(other).ids

    def intervals(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, Interval]:
        overlaps = self._predicted(run).overlaps
        values = {"iou": overlaps, "dice": 2 * overlaps / (1 + overlaps)}
        numbers = np.arange(len(overlaps))
        measures = {name: Mean(values[name], numbers) for name in metrics if name in values}
        drawn = bootstrap(measures, len(overlaps), self.draws, seed=0)
        ones = np.ones(len(overlaps), int)
        return {name: interval(measure(ones), drawn[name], 0.95) for name, measure in measures.items()}

    def shares(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, float]:
        return {}

    def _predicted(self, run: Finished) -> mask_predictions.MaskPredictions:
        return mask_predictions.read(run.fetch("predictions") / f"{SPLIT}.arrow")
