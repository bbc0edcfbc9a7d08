"""A table of recipes with what came of each, and the texts of its cells.

A cell has the mean over the row's seeds with their spread (standard deviation, n - 1), the champion's own value with a
bootstrap interval over the videos, and the paper's number. What is missing is shown with its reason.
"""

import dataclasses
import itertools
import statistics

from mmvid.metrics.bootstrap import Interval
from mmvid.report.recipes import Column, Recipe, Table


@dataclasses.dataclass(frozen=True)
class Made:
    """A finished run of a row: its seed, its id, the address of its page, its metrics by the columns' names."""

    seed: int
    run: str
    address: str
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Champion:
    """The version of the row's registered model that is champion, and its values with their intervals, by metric."""

    name: str
    version: str
    run: str
    intervals: dict[str, Interval]


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a row.

    Attributes:
        recipe: the row.
        made: its runs, one a seed, in the order of the seeds.
        videos: videos that its numbers are of; None where there are no numbers.
        champion: of its registered model, or None.
        shares: metric -> what the labels' shares alone reach on the same videos.
        lack: why there are no numbers, or not those of every seed; empty where nothing lacks.
        promotion: what the gate said.
        failed: whether `lack` is an error, not something that was left out.
        unfit: whether the data cannot fill the row, whatever is trained.
    """

    recipe: Recipe
    made: tuple[Made, ...] = ()
    videos: int | None = None
    champion: Champion | None = None
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    lack: str = ""
    promotion: str = ""
    failed: bool = False
    unfit: bool = False

    def values(self, metric: str) -> list[float]:
        """The metric of each run that has it."""
        found = (made.metrics.get(metric) for made in self.made)
        return [value for value in found if value is not None]


@dataclasses.dataclass(frozen=True)
class Filled:
    """A table with its results, and on which data they were made.

    Attributes:
        left_out: rows that the data cannot fill and of which the paper has no number.
    """

    table: Table
    data: str
    results: tuple[Result, ...]
    left_out: tuple[Result, ...] = ()


def heading(filled: Filled) -> str:
    """The table's title, and the data where some of it was made here."""
    made = any(row.entry for row in filled.table.rows)
    return f"{filled.table.title}: {filled.data}" if made else filled.table.title


def header(table: Table) -> list[str]:
    """The columns' heads: the row, three or four of each metric, videos, runs."""
    heads = ["row"]
    for column in table.columns:
        name = f"{column.name} %" if column.percent else column.name
        heads += [name, f"{name} of the champion", *[f"{name}, labels' shares alone"] * table.shares_alone]
        heads.append(f"{name}, the paper")
    return [*heads, table.data, "runs"]


def cells(table: Table, result: Result) -> list[str]:
    """The row's texts, as many as `header` has."""
    shown = [result.recipe.name]
    for column in table.columns:
        shown += [mean_text(column, result), champion_text(column, result)]
        shown += [number_text(column, result.shares.get(column.metric))] * table.shares_alone + [
            paper_text(column, result)
        ]
    return [*shown, "" if result.videos is None else f"{result.videos:,}", str(len(result.made) or "")]


def readable(filled: Filled) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows' texts, without the columns that are empty in every row."""
    rows = [cells(filled.table, result) for result in filled.results]
    used = [any(texts) for texts in zip(*rows, strict=True)]
    heads, *rows = (list(itertools.compress(line, used)) for line in (header(filled.table), *rows))
    return heads, rows


def sentences(filled: Filled) -> list[str]:
    """What must be known to read the table."""
    table = filled.table
    told = []
    if any(result.made for result in filled.results):
        told.append(
            "Ours: mean over the seeds, ± their standard deviation. Champion: the promoted version's own value and the "
            f"95 % interval of a bootstrap over the {table.data}."
        )
    if table.shares_alone:
        told.append(
            "Labels' shares alone: every video gets as its scores how often each label stands on the row's training "
            "videos; a scorer that knows no video."
        )
    if table.paper:
        told.append(f"The paper: {table.paper}. Its numbers are its own, on other data; they are not comparable.")
    told += table.notes
    for result in filled.results:
        told += [f"{result.recipe.name}: {text}" for text in (result.recipe.note, result.lack) if text]
    return told + [f"{result.recipe.name} is left out: {result.lack}" for result in filled.left_out]


def promotions(filled: Filled) -> list[str]:
    """What the gate said of each row."""
    return [f"{result.recipe.name}: {result.promotion}" for result in filled.results if result.promotion]


def means(filled: Filled) -> dict[str, float]:
    """The mean of each row and metric, by the name that it is logged under."""
    found = {}
    for result in filled.results:
        for column in filled.table.columns:
            if values := result.values(column.metric):
                row = "".join(letter if letter.isalnum() else "_" for letter in result.recipe.name.lower())
                found[f"{filled.table.name}/{row}/{column.metric}"] = statistics.mean(values)
    return found


def mean_text(column: Column, result: Result) -> str:
    values = result.values(column.metric)
    if not values:
        return "" if not result.recipe.entry else "missing" if not result.made else "not measured"
    scale, digits = _shape(column)
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    return f"{mean} ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def champion_text(column: Column, result: Result) -> str:
    found = result.champion.intervals.get(column.metric) if result.champion else None
    if found is None:
        return ""
    scale, digits = _shape(column)
    value, low, high = (f"{scale * each:.{digits}f}" for each in found)
    return f"{value} [{low}, {high}]"


def number_text(column: Column, value: float | None) -> str:
    scale, digits = _shape(column)
    return "" if value is None else f"{scale * value:.{digits}f}"


def paper_text(column: Column, result: Result) -> str:
    told = result.recipe.paper.get(column.metric)
    if told is None:
        return ""
    digits = range(1 if column.percent else 2, 6)  # all that the paper has
    return f"{told:.{next((each for each in digits if round(told, each) == told), 6)}f}"


def _shape(column: Column) -> tuple[int, int]:
    return (100, 2) if column.percent else (1, 4)
