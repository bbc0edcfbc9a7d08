"""Tables as data: `registry/tables/*.yaml` says what a table's rows are, how each is made and what the paper has there.

A row is a recipe (an entry point and its parameters, run once for each seed) and the registered model that it feeds; a
row without an entry point has only the paper's numbers, as context.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from mmvid.config import Options, explain, option

TABLES = Path(__file__).resolve().parents[2] / "registry" / "tables"

Sizes = Literal["compact", "audioset", "paper"]
Population = Literal["all", "with_text", "with_known_word"]


class Column(Options):
    """A metric, and what it is called."""

    metric: str = option(..., "a metric as runs log it below validate/, such as gap or without_music/gap")
    name: str = option(..., "the column's head")
    percent: bool = option(True, "whether it is shown in percent")


class Recipe(Options):
    """A row: how it is made, and what the paper has there."""

    name: str = option(..., "the row's head", min_length=1)
    entry: str = option("", "the entry point, such as train_moe; none: only the paper's numbers")
    parameters: dict[str, Any] = option({}, "its parameters, whatever the sizes")
    sizes: dict[Sizes, dict[str, Any]] = option(
        {}, "further parameters: for small data and machines, those tuned on AudioSet, or the paper's"
    )
    members: tuple[str, ...] = option((), "rows of this table that an ensemble joins, seed by seed")
    model: str = option("", "the registered model that it feeds")
    needs: tuple[str, ...] = option(
        (),
        "what the data must have: modalities, `frames`, `title`, `keywords`, or `text`: any of these two; "
        "`no visual`: what they must lack",
    )
    population: Population | None = option(None, "videos that the row is of, where they are not the table's")
    paper: dict[str, float] = option({}, "the paper's numbers by metric, as the paper prints them")
    instead: dict[str, str] = option({}, "metrics that the row shows in place of the columns', such as a baseline's")
    note: str = option("", "what is to be said of it")

    def words(self, sizes: Sizes) -> list[str]:
        """The recipe's parameters as a command line."""
        said = self.parameters | self.sizes.get(sizes, {})
        return [word for name, value in said.items() for word in (f"--{name}", _word(value))]


class Table(Options):
    """A table."""

    name: str = option(..., "how it is asked for: the file's name")
    title: str = option(..., "its heading")
    paper: str = option("", "whose numbers stand beside ours, and on which data")
    data: Literal["videos", "pictures"] = option("videos", "what its models are of")
    population: Population = option("all", "videos of validate that its numbers are of")
    frames: bool = option(False, "all rows are of the demo's frame-level records, which models of means read as well")
    shares_alone: bool = option(False, "also show what the labels' shares alone reach, a scorer that knows no video")
    columns: tuple[Column, ...] = Field(min_length=1, description="metrics")
    rows: tuple[Recipe, ...] = Field(min_length=1, description="rows")
    notes: tuple[str, ...] = option((), "sentences below it")

    @model_validator(mode="after")
    def _rows_fit(self) -> "Table":
        earlier: list[str] = []
        for row in self.rows:
            if row.name in earlier:
                raise ValueError(f"two rows are named {row.name!r}")
            for member in row.members:
                if member not in earlier:
                    raise ValueError(f"row {row.name!r} has the member {member!r}, which is no row above it")
            if row.members and not row.entry:
                raise ValueError(f"row {row.name!r} has members but no entry point")
            unknown = set(row.paper) - {column.metric for column in self.columns}
            if unknown:
                raise ValueError(f"row {row.name!r} has the paper's {min(unknown)!r}, which is no column's metric")
            earlier.append(row.name)
        return self

    def population_of(self, row: Recipe) -> Population:
        """Which videos a row is of."""
        return row.population or self.population


def names(folder: Path = TABLES) -> list[str]:
    """The tables that there are."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_table(name: str, folder: Path = TABLES) -> Table:
    """A table by its name.

    Raises:
        ValueError: if there is no such table, or its file is wrong; the message names the file and the place in it.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise ValueError(f"table must be one of {', '.join(names(folder))}, got {name!r}")
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML: {' '.join(str(error).split())}") from error
    if not isinstance(stated, dict):
        raise ValueError(f"{path} must state a table's title, columns and rows, got {type(stated).__name__}")
    try:
        return Table(**{"name": name, **stated})
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error


def _word(value: Any) -> str:
    """A value of YAML as a word of a command line."""
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
