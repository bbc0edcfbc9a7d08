"""A filled table as bars: ours with spread, champion with interval, the paper's."""

import statistics
from typing import Any

from matplotlib.figure import Figure

from mmvid.report.filled import Filled

OURS, CHAMPION, PAPER = "#1f77b4", "#2ca02c", "#9aa5b1"


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
