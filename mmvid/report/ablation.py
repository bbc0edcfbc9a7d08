"""A table of recipes with what came of each: cells, and the same table as Markdown, CSV, LaTeX, picture and page.

A cell has the mean over the row's seeds with their spread (standard deviation, n - 1), the champion's own value with a
bootstrap interval over the videos, and the paper's number. What is missing is shown with its reason.
"""

import csv
import dataclasses
import io
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mmvid.metrics.bootstrap import Interval
from mmvid.report.html import Markup, element, link, page
from mmvid.report.html import table as page_table
from mmvid.report.recipes import Column, Recipe, Table
from mmvid.report.table import markdown

OURS, CHAMPION, PAPER = "#1f77b4", "#2ca02c", "#9aa5b1"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


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
    """

    recipe: Recipe
    made: tuple[Made, ...] = ()
    videos: int | None = None
    champion: Champion | None = None
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    lack: str = ""
    promotion: str = ""
    failed: bool = False

    def values(self, metric: str) -> list[float]:
        """The metric of each run that has it."""
        found = (made.metrics.get(metric) for made in self.made)
        return [value for value in found if value is not None]


@dataclasses.dataclass(frozen=True)
class Filled:
    """A table with its results, and on which data they were made."""

    table: Table
    data: str
    results: tuple[Result, ...]


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
        shown += [_mean(column, result), _best(column, result)]
        shown += [_plain(column, result.shares.get(column.metric))] * table.shares_alone + [_told(column, result)]
    return [*shown, "" if result.videos is None else f"{result.videos:,}", str(len(result.made) or "")]


def readable(filled: Filled) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows' texts, without the columns that are empty in every row."""
    rows = [cells(filled.table, result) for result in filled.results]
    used = [any(texts) for texts in zip(*rows, strict=True)]
    heads, *rows = (list(itertools.compress(line, used)) for line in (header(filled.table), *rows))
    return heads, rows


def as_markdown(filled: Filled, level: int = 1) -> str:
    """The table with its heading, notes, the runs of each row and what the gate said."""
    parts = [f"{'#' * level} {heading(filled)}\n"]
    parts.append(markdown(*readable(filled)))
    parts.append("\n".join(f"- {sentence}" for sentence in sentences(filled)))
    runs = [
        f"- {result.recipe.name}: "
        + ", ".join(f"[seed {made.seed}]({made.address})" if made.address else made.run for made in result.made)
        for result in filled.results
        if result.made
    ]
    for name, lines in (("Runs", runs), ("Promotions", [f"- {sentence}" for sentence in promotions(filled)])):
        parts += [f"\n{name}:\n", *lines] if lines else []
    return "\n".join(parts) + "\n"


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
    return told


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


def as_csv(filled: Filled) -> str:
    """A line a row and metric, with plain numbers."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    heads = [
        "row",
        "metric",
        "mean",
        "spread",
        "seeds",
        "champion",
        "low",
        "high",
        "shares",
        "paper",
        "videos",
        "runs",
        "lack",
    ]
    lines.writerow(["table", "data", *heads])
    for result in filled.results:
        for column in filled.table.columns:
            values = result.values(column.metric)
            best = result.champion.intervals.get(column.metric) if result.champion else None
            paper = result.recipe.paper.get(column.metric)
            lines.writerow(
                [
                    filled.table.name,
                    filled.data,
                    result.recipe.name,
                    column.metric,
                    statistics.mean(values) if values else "",
                    statistics.stdev(values) if len(values) > 1 else "",
                    len(values),
                    *(best or ("", "", "")),
                    result.shares.get(column.metric, ""),
                    "" if paper is None else round(paper / 100, 6) if column.percent else paper,
                    "" if result.videos is None else result.videos,
                    " ".join(made.run for made in result.made),
                    result.lack,
                ]
            )
    return written.getvalue()


def as_latex(filled: Filled) -> str:
    """A `table` environment that needs the package booktabs."""
    table = filled.table
    percent = r" (\%)"
    compared = {each.metric for result in filled.results for each in table.columns if _told(each, result)}
    kinds = [["ours", "paper"] if each.metric in compared else ["ours"] for each in table.columns]
    spans = [
        f"\\multicolumn{{{len(kind)}}}{{c}}{{{each.name}{percent if each.percent else ''}}}"
        for each, kind in zip(table.columns, kinds, strict=True)
    ]
    lines = [
        r"\begin{table}",
        f"\\caption{{{latex_text(heading(filled))}}}",
        f"\\begin{{tabular}}{{l{'r' * sum(map(len, kinds))}}}",
        r"\toprule",
        " & ".join(["", *spans]) + r" \\",
        " & ".join(["", *itertools.chain.from_iterable(kinds)]) + r" \\",
        r"\midrule",
    ]
    for result in filled.results:
        row = [latex_text(result.recipe.name)]
        for column in table.columns:
            row.append(_mean(column, result).replace("±", r"$\pm$") or "--")
            row += [_told(column, result) or "--"] * (column.metric in compared)
        lines.append(" & ".join(row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def picture(filled: Filled) -> Figure:
    """Ours with spread beside the paper's, a group of bars a row; the first metric only."""
    column = filled.table.columns[0]
    scale = 100 if column.percent else 1
    results = list(reversed(filled.results))
    figure = Figure(figsize=(9, 1.2 + 0.5 * len(results)), layout="constrained")
    axes = figure.subplots()
    for place, result in enumerate(results):
        values = result.values(column.metric)
        if values:
            spread = scale * statistics.stdev(values) if len(values) > 1 else None
            axes.barh(place + 0.2, scale * statistics.mean(values), 0.38, color=OURS, xerr=spread, capsize=3)
        if column.metric in result.recipe.paper:
            axes.barh(place - 0.2, result.recipe.paper[column.metric], 0.38, color=PAPER)
    axes.barh([0], [0], color=OURS, label=f"ours, {filled.data}")
    axes.barh([0], [0], color=PAPER, label="the paper, on its data")
    axes.set_yticks(range(len(results)), [result.recipe.name for result in results])
    axes.set_xlabel(f"{column.name} %" if column.percent else column.name)
    axes.set_title(filled.table.title)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=2, frameon=False)
    return figure


def report(
    title: str, tables: Sequence[Filled], figures: Sequence[tuple[str, Any]] = (), last: Sequence[Markup] = ()
) -> str:
    """A page with all tables and interactive figures, which needs no network (plotly.js is inside, 5 MB).

    Args:
        title: its heading.
        tables: one below the other, each with a figure where there are numbers.
        figures: further ones, heading and plotly figure.
        last: what stands at its end.
    """
    from plotly.io import to_html

    parts, scripts = [element("h1", title)], 0

    def draw(figure: Any) -> Markup:
        nonlocal scripts
        scripts += 1  # plotly.js once
        return Markup(to_html(figure, include_plotlyjs=scripts == 1, full_html=False, config=_DRAWN))

    for filled in tables:
        heads, rows = readable(filled)
        for row, result in zip(rows, filled.results, strict=True):
            row[-1] = _links(result) if result.made else row[-1]
        parts.append(element("h2", heading(filled)))
        parts.append(page_table(heads, rows, words=["row"], numbers=[head for head in heads[1:] if head != "runs"]))
        parts += [element("p", sentence, "soft") for sentence in sentences(filled)]
        if said := promotions(filled):
            listed = element("ul", [element("li", sentence) for sentence in said], "soft")
            parts.append(element("details", [element("summary", "what the gate said"), listed]))
        if any(result.made for result in filled.results):
            parts.append(draw(bars(filled)))
    for name, figure in figures:
        parts += [element("h2", name), draw(figure)]
    return page(title, [*parts, *last], scripts=scripts > 0)


_DRAWN = {"displaylogo": False, "responsive": True}


def bars(filled: Filled) -> Any:
    """An interactive figure: every metric of every row, ours with spread, champion with interval, the paper's."""
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    columns = filled.table.columns
    figure = make_subplots(rows=1, cols=len(columns), shared_yaxes=True, subplot_titles=[each.name for each in columns])
    shown = [result for result in reversed(filled.results) if result.made or result.recipe.paper]
    names = [result.recipe.name for result in shown]
    for place, column in enumerate(columns, start=1):
        scale = 100 if column.percent else 1
        found = [result.values(column.metric) for result in shown]
        means = [scale * statistics.mean(values) if values else None for values in found]
        spreads = [scale * statistics.stdev(values) if len(values) > 1 else 0 for values in found]
        best = [result.champion.intervals.get(column.metric) if result.champion else None for result in shown]
        ours = {"x": means, "y": names, "orientation": "h", "marker_color": OURS, "name": f"ours, {filled.data}"}
        paper = [result.recipe.paper.get(column.metric) for result in shown]
        theirs = {"x": paper, "y": names, "orientation": "h", "marker_color": PAPER, "name": "the paper, on its data"}
        first = place == 1
        figure.add_trace(graph.Bar(**ours, error_x={"array": spreads}, showlegend=first), row=1, col=place)
        figure.add_trace(graph.Bar(**theirs, showlegend=first), row=1, col=place)
        figure.add_trace(
            graph.Scatter(
                x=[None if each is None else scale * each.value for each in best],
                y=names,
                error_x={
                    "array": [0 if each is None else scale * (each.high - each.value) for each in best],
                    "arrayminus": [0 if each is None else scale * (each.value - each.low) for each in best],
                },
                mode="markers",
                marker={"color": CHAMPION, "symbol": "diamond"},
                name="champion, 95 % interval",
                showlegend=first,
            ),
            row=1,
            col=place,
        )
    figure.update_layout(
        barmode="group",
        height=160 + 44 * len(shown),
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": -0.1},
        margin={"t": 90},
        template="plotly_white",
    )
    return figure


def _links(result: Result) -> Markup:
    shown = [link(f"seed {made.seed}", made.address) for made in result.made]
    return Markup(", ".join(shown))


def _mean(column: Column, result: Result) -> str:
    values = result.values(column.metric)
    if not values:
        return "" if not result.recipe.entry else "missing" if not result.made else "not measured"
    scale, digits = _shape(column)
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    return f"{mean} ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _best(column: Column, result: Result) -> str:
    found = result.champion.intervals.get(column.metric) if result.champion else None
    if found is None:
        return ""
    scale, digits = _shape(column)
    value, low, high = (f"{scale * each:.{digits}f}" for each in found)
    return f"{value} [{low}, {high}]"


def _plain(column: Column, value: float | None) -> str:
    scale, digits = _shape(column)
    return "" if value is None else f"{scale * value:.{digits}f}"


def _told(column: Column, result: Result) -> str:
    told = result.recipe.paper.get(column.metric)
    if told is None:
        return ""
    digits = range(1 if column.percent else 2, 6)  # all that the paper has
    return f"{told:.{next((each for each in digits if round(told, each) == told), 6)}f}"


def _shape(column: Column) -> tuple[int, int]:
    return (100, 2) if column.percent else (1, 4)


def latex_text(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
