"""A cross-validated comparison of modalities as Markdown, CSV, LaTeX, picture and page: every subset of them, and what
becomes of a model of all when some are missing."""

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mmvid.cross_validation import Cell
from mmvid.metrics.bootstrap import Interval
from mmvid.report.ablation import latex_text
from mmvid.report.bars import CHAMPION, OURS, PAPER
from mmvid.report.html import Markup, element, page
from mmvid.report.html import table as page_table
from mmvid.report.recipes import Column
from mmvid.report.table import markdown

PLAIN, ROBUST, NEVER = "trained on whole items", "trained with modalities hidden", "never had it"
_COLOURS = {PLAIN: OURS, ROBUST: CHAMPION, NEVER: PAPER}
_DRAWN = {"displaylogo": False, "responsive": True}

Cells = dict[str, Cell]  # by metric


@dataclasses.dataclass(frozen=True)
class Study:
    """The numbers.

    Attributes:
        title: the table's.
        data: the data set, and how it was divided.
        columns: the metrics.
        subsets: row -> its cells; the one without differences is that of all modalities.
        missing: what is missing at test time -> model (`PLAIN`, `ROBUST`, and `NEVER` where some model was trained
            without it) -> its cells.
        notes: sentences below.
        runs: row and seed -> the runs of its folds.
    """

    title: str
    data: str
    columns: tuple[Column, ...]
    subsets: dict[str, Cells]
    missing: dict[str, dict[str, Cells]]
    notes: tuple[str, ...]
    runs: dict[str, tuple[str, ...]]


def as_markdown(study: Study) -> str:
    """Both tables with what must be known to read them."""
    parts = [f"# {study.title}: {study.data}\n", markdown(*subsets_table(study)), "## Missing at test time\n"]
    parts += [markdown(*missing_table(study)), "\n".join(f"- {sentence}" for sentence in sentences(study))]
    return (
        "\n".join(
            [*parts, "\nRuns of the folds:\n", *(f"- {row}: {', '.join(ids)}" for row, ids in study.runs.items())]
        )
        + "\n"
    )


def sentences(study: Study) -> list[str]:
    """What must be known to read the tables."""
    return [
        "Mean over the seeds, ± their standard deviation, and the 95 % interval of a bootstrap over groups of items; "
        "the difference from the row of all modalities is of the same draws. Every item is scored by the model of the "
        "fold that it was held out of.",
        f"Missing at test time: held-out items lack the modality. {NEVER.capitalize()}: the row above that was trained "
        "without it.",
        *study.notes,
    ]


def subsets_table(study: Study) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first table."""
    header = ["row"]
    for column in study.columns:
        header += [_head(column), "95 % interval", "minus all"]
    rows = []
    for name, cells in study.subsets.items():
        row = [name]
        for column in study.columns:
            cell = cells[column.metric]
            row += [_mean(column, cell), _bounds(column, cell.interval), _difference(column, cell)]
        rows.append(row)
    return header, rows


def missing_table(study: Study) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the second table: the first metric only."""
    column = study.columns[0]
    header = ["missing", *(f"{_head(column)}, {model}" for model in (PLAIN, ROBUST, NEVER))]
    rows = []
    for what, models in study.missing.items():
        shown = [_with_bounds(column, models[model][column.metric]) if model in models else "" for model in _COLOURS]
        rows.append([what, *shown])
    return header, rows


def as_csv(study: Study) -> str:
    """A line a row, model and metric, with plain numbers."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    head = ["row", "missing", "model", "metric", "mean", "low", "high", "spread", "seeds"]
    lines.writerow([*head, "difference", "difference_low", "difference_high"])

    def write(row: str, what: str, model: str, cells: Cells) -> None:
        for metric, cell in cells.items():
            spread = statistics.stdev(cell.values) if len(cell.values) > 1 else ""
            bounds = cell.difference or ("", "", "")
            lines.writerow([row, what, model, metric, *cell.interval, spread, len(cell.values), *bounds])

    for name, cells in study.subsets.items():
        write(name, "", "", cells)
    for what, models in study.missing.items():
        for model, cells in models.items():
            write("", what, model, cells)
    return written.getvalue()


def means(study: Study) -> dict[str, float]:
    """The mean of each row and metric, by the name that it is logged under."""
    rows = dict(study.subsets)
    rows |= {
        f"missing {what}/{model}": cells for what, models in study.missing.items() for model, cells in models.items()
    }
    return {
        f"{name.lower().replace(' + ', '_').replace(' ', '_')}/{metric}": cell.interval.value
        for name, cells in rows.items()
        for metric, cell in cells.items()
    }


def as_latex(study: Study) -> str:
    """Two `table` environments that need the package booktabs."""
    captions = (f"{study.title}: {study.data}", f"{study.title}, missing at test time: {study.data}")
    tables = zip(captions, (subsets_table(study), missing_table(study)), strict=True)
    return "\n".join(_latex(caption, *table) for caption, table in tables)


def _latex(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        r"\begin{table}",
        f"\\caption{{{latex_text(caption)}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        *(" & ".join(latex_text(cell).replace("±", r"$\pm$") for cell in row) + r" \\" for row in (header, *rows)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    lines.insert(5, r"\midrule")
    return "\n".join(lines) + "\n"


def picture(study: Study) -> Figure:
    """The first metric: subsets to the left, what is missing to the right."""
    column = study.columns[0]
    scale = 100 if column.percent else 1
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, cells in enumerate(reversed(study.subsets.values())):
        _bar(left, place, cells[column.metric], 0.6, OURS, scale)
    left.set_yticks(range(len(study.subsets)), list(reversed(study.subsets)))
    left.set_title(f"trained and tested on, {study.data}", fontsize=10)
    for place, models in enumerate(reversed(study.missing.values())):
        for offset, (model, colour) in zip((0.26, 0, -0.26), _COLOURS.items(), strict=True):
            if model in models:
                _bar(right, place + offset, models[model][column.metric], 0.24, colour, scale)
    right.set_yticks(range(len(study.missing)), list(reversed(study.missing)))
    right.set_title("missing at test time", fontsize=10)
    for model, colour in _COLOURS.items():
        right.barh([0], [0], color=colour, label=model)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=9)
    for axes in (left, right):
        axes.set_xlabel(_head(column))
    figure.suptitle(study.title)
    return figure


def report(study: Study) -> str:
    """A page with both tables and interactive figures, which needs no network (plotly.js is inside, 5 MB)."""
    from plotly.io import to_html

    parts = [element("h1", f"{study.title}: {study.data}")]
    tables = (
        ("Subsets", subsets_table(study), subsets_figure),
        ("Missing at test time", missing_table(study), missing_figure),
    )
    for number, (title, (header, rows), figure) in enumerate(tables):
        parts += [element("h2", title), page_table(header, rows, words=header[:1], numbers=header[1:])]
        parts.append(Markup(to_html(figure(study), include_plotlyjs=number == 0, full_html=False, config=_DRAWN)))
    parts += [element("p", sentence, "soft") for sentence in sentences(study)]
    return page(study.title, parts, scripts=True)


def subsets_figure(study: Study) -> Any:
    """The metrics of every subset with their intervals, side by side."""
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=1, cols=len(study.columns), shared_yaxes=True, subplot_titles=[each.name for each in study.columns]
    )
    names = list(reversed(study.subsets))
    for place, column in enumerate(study.columns, start=1):
        bars = _bars([study.subsets[name][column.metric] for name in names], 100 if column.percent else 1)
        figure.add_trace(
            graph.Bar(y=names, orientation="h", marker_color=OURS, showlegend=False, **bars), row=1, col=place
        )
    figure.update_layout(height=420, template="plotly_white")
    return figure


def missing_figure(study: Study) -> Any:
    """The first metric of each model, whatever is missing."""
    import plotly.graph_objects as graph

    column = study.columns[0]
    figure = graph.Figure()
    for model, colour in _COLOURS.items():
        names = [what for what in reversed(study.missing) if model in study.missing[what]]
        bars = _bars([study.missing[what][model][column.metric] for what in names], 100 if column.percent else 1)
        figure.add_trace(graph.Bar(y=names, orientation="h", marker_color=colour, name=model, **bars))
    figure.update_layout(
        barmode="group",
        height=520,
        template="plotly_white",
        legend={"orientation": "h", "y": 1.1},
        xaxis_title=_head(column),
    )
    return figure


def _bars(cells: Sequence[Cell], scale: int) -> dict[str, Any]:
    return {
        "x": [scale * cell.interval.value for cell in cells],
        "error_x": {
            "array": [scale * (cell.interval.high - cell.interval.value) for cell in cells],
            "arrayminus": [scale * (cell.interval.value - cell.interval.low) for cell in cells],
        },
    }


def _bar(axes: Any, place: float, cell: Cell, height: float, colour: str, scale: int) -> None:
    value, low, high = (scale * each for each in cell.interval)
    axes.barh(place, value, height, color=colour, xerr=[[value - low], [high - value]], capsize=2)


def _head(column: Column) -> str:
    return f"{column.name} %" if column.percent else column.name


def _mean(column: Column, cell: Cell) -> str:
    scale, digits = (100, 2) if column.percent else (1, 4)
    mean = f"{scale * cell.interval.value:.{digits}f}"
    return f"{mean} ± {scale * statistics.stdev(cell.values):.{digits}f}" if len(cell.values) > 1 else mean


def _bounds(column: Column, found: Interval) -> str:
    scale, digits = (100, 2) if column.percent else (1, 4)
    return f"[{scale * found.low:.{digits}f}, {scale * found.high:.{digits}f}]"


def _with_bounds(column: Column, cell: Cell) -> str:
    return f"{_mean(column, cell)} {_bounds(column, cell.interval)}"


def _difference(column: Column, cell: Cell) -> str:
    if cell.difference is None:
        return ""
    scale, digits = (100, 2) if column.percent else (1, 4)
    return f"{scale * cell.difference.value:+.{digits}f} {_bounds(column, cell.difference)}"
