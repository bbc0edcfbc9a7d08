"""What a search asks of a kind of model: its configs, how one setup is trained, and how the best becomes a candidate.

Classifiers, encoders and segmenters each bring a `Subject`; the search itself knows none of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from mmvid.config import Options
from mmvid.runs import Command, Finished
from mmvid.search.study import Direction

Report = Callable[[dict[str, float], int], None]


class Subject(Protocol):
    """A model by name, on a data set.

    Attributes:
        name: the model's name in its catalogue.
        title: the data set, as figures name it.
        kinds: its configs: what a space is made of, the order of `options`.
        measures: what a trial may be judged by: word -> (metric, direction). The metrics named `dev/...` are told
            after each epoch, so that trials can be pruned by them; the others at the end only.
        inputs: the digest of each input, of which the study depends.
        modules: the modules whose source decides a trial's result.
    """

    name: str
    title: str
    kinds: tuple[type[Options], ...]
    measures: Mapping[str, tuple[str, Direction]]
    inputs: dict[str, str]
    modules: tuple[str, ...]

    def train(self, options: tuple[Options, ...], *, report: Report, checkpoints: Path) -> dict[str, float]:
        """Trains one setup on `train`, judges it on `dev`, touches nothing else.

        Args:
            options: a config of each kind.
            report: called after each epoch; what it raises ends the training and is passed on.
            checkpoints: a folder where training keeps its state, to go on after a kill.

        Returns:
            The metrics of the best epoch, and those that belong to the model, such as `parameters`.
        """
        ...

    def candidate(self, command: Command, options: tuple[Options, ...]) -> Finished:
        """The finished run of a setup, trained in full and scored on all splits, now if there is none."""
        ...
