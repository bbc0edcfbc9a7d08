"""A filled table as Markdown, CSV, LaTeX and as a page of several with interactive figures."""

import csv
import io
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from mmvid.report.bars import bars
from mmvid.report.filled import Filled, Result, heading, mean_text, paper_text, promotions, readable, sentences
from mmvid.report.html import Markup, element, link, page
from mmvid.report.html import table as page_table
from mmvid.report.table import markdown

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


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
    compared = {each.metric for result in filled.results for each in table.columns if paper_text(each, result)}
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
            row.append(mean_text(column, result).replace("±", r"$\pm$") or "--")
            row += [paper_text(column, result) or "--"] * (column.metric in compared)
        lines.append(" & ".join(row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


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


def _links(result: Result) -> Markup:
    shown = [link(f"seed {made.seed}", made.address) for made in result.made]
    return Markup(", ".join(shown))


def latex_text(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
