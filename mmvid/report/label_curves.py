"""Figure 5 of paper A: GAP of each label by features, by text and by both, labels ranked by how many videos they have.

A label's GAP is its average precision over the videos of a split: one list of its scores. Neighbours in the ranking are
averaged, because rare labels have few videos and their values jump.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmvid.metrics.ranking import class_average_precision_of
from mmvid.predictions import Predictions

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd")


@dataclasses.dataclass(frozen=True)
class Curves:
    """The figure's numbers, labels that have videos in the split only, the most frequent first.

    Attributes:
        labels: class ids (L,).
        names: their names.
        videos: videos of the split that have each (L,).
        smoothed: model -> mean average precision of the `window` labels about each (L,).
        window: labels averaged.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    videos: np.ndarray
    smoothed: dict[str, np.ndarray]
    window: int


def curves(predictions: Mapping[str, Predictions], names: Sequence[str], window: int = 25) -> Curves:
    """The curves of models over one split.

    Args:
        predictions: model -> its predictions, all of the same videos.
        names: of the classes.
        window: labels that are averaged; fewer where there are fewer, and at both ends.

    Raises:
        ValueError: if the models were not measured on the same videos.
    """
    first = next(iter(predictions.values()))
    for model, found in predictions.items():
        if list(found.ids) != list(first.ids):
            raise ValueError(f"the models of the figure must be measured on the same videos, {model} is on others")
    counts = np.bincount(first.labels.astype(np.int64), minlength=first.num_classes)
    there = np.flatnonzero(counts)
    order = there[np.argsort(-counts[there], kind="stable")]
    window = max(1, min(window, len(order)))
    smoothed = {
        model: _means(class_average_precision_of(found.ranked()).numpy()[order], window)
        for model, found in predictions.items()
    }
    return Curves(order, tuple(names[label] for label in order), counts[order], smoothed, window)


def figure(found: Curves, data: str) -> Any:
    """The curves as an interactive figure, the number of videos below them."""
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    drawn = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.04)
    ranks = np.arange(1, len(found.labels) + 1)
    for colour, (model, values) in zip(COLOURS, found.smoothed.items(), strict=False):
        told = {"text": found.names, "hovertemplate": "%{text}: %{y:.3f}"}
        line = graph.Scatter(x=ranks, y=values, name=model, line={"color": colour}, **told)
        drawn.add_trace(line, row=1, col=1)
    bars = graph.Bar(x=ranks, y=found.videos, name="videos", marker_color="#9aa5b1", text=found.names)
    drawn.add_trace(bars, row=2, col=1)
    drawn.update_yaxes(title_text=f"GAP, mean of {found.window} labels", rangemode="tozero", row=1, col=1)
    drawn.update_yaxes(title_text="videos", type="log", row=2, col=1)
    drawn.update_xaxes(title_text=f"labels by frequency, {data}", row=2, col=1)
    drawn.update_layout(height=560, template="plotly_white", legend={"orientation": "h", "y": 1.08})
    return drawn


def picture(found: Curves, data: str):
    """The same as a matplotlib figure."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 6), layout="constrained")
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    ranks = np.arange(1, len(found.labels) + 1)
    for colour, (model, values) in zip(COLOURS, found.smoothed.items(), strict=False):
        above.plot(ranks, values, color=colour, label=model)
    above.set_ylabel(f"GAP, mean of {found.window} labels")
    above.set_ylim(bottom=0)
    above.legend(frameon=False)
    above.set_title(f"Figure 5: GAP by label, {data}")
    below.bar(ranks, found.videos, color="#9aa5b1", width=1.0)
    below.set_yscale("log")
    below.set_ylabel("videos")
    below.set_xlabel("labels, the most frequent first")
    return drawn


def _means(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the `window` values about each; at the ends of those that there are."""
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + window - half, len(values))
    return (sums[high] - sums[low]) / (high - low)
