"""What the rows of a table are made of: videos of a store of records, or labelled pictures; `ablation` fills tables."""

from collections.abc import Sequence
from typing import Protocol

from mmvid.metrics.bootstrap import Interval
from mmvid.records.store import Store
from mmvid.report.populations import SPLIT
from mmvid.report.recipes import Population
from mmvid.runs import Finished


class Rows(Protocol):
    """The data of a table's rows.

    Attributes:
        title: the data set's.
        metric: what models of such data are compared by.
    """

    title: str
    metric: str

    def lacking(self, needs: tuple[str, ...]) -> str | None:
        """Why the data cannot give a row, or None."""

    def run(self, entry: str, words: list[str], seed: int, members: list[str]) -> Finished:
        """The finished run of a recipe, found or computed. Raises NotComputedError or ValueError."""

    def logged(self, population: Population, metric: str, split: str = SPLIT) -> str:
        """What a run logs a metric as."""

    def count(self, run: Finished, population: Population) -> int:
        """How many videos or pictures a row's numbers are of."""

    def place(self, run: Finished) -> Store | str:
        """What a promotion measures on."""

    def is_of_same_data(self, run: Finished, other: Finished) -> bool:
        """Whether the numbers of two runs may stand beside each other."""

    def intervals(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, Interval]:
        """Value and bounds of each metric that a bootstrap can draw anew."""

    def shares(self, run: Finished, population: Population, metrics: Sequence[str]) -> dict[str, float]:
        """What a scorer that knows no video reaches."""
