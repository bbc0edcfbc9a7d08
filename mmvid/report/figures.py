"""Figures for people, drawn without a display."""

import numpy as np
from matplotlib.figure import Figure


def precision_by_frequency(precision: np.ndarray, counts: np.ndarray, title: str) -> Figure:
    """Average precision of each class against how often it is in train, with the mean of each tenth of the classes.

    Args:
        precision: average precision on the reported split, NaN for classes without positives, (C,).
        counts: videos of each class in train, (C,).
        title: shown above.
    """
    shown = ~np.isnan(precision)
    precision, counts = precision[shown], np.maximum(counts[shown], 1)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(counts, precision, s=14, alpha=0.5, linewidths=0, label="one class")
    tenths = [part for part in np.array_split(np.argsort(counts, kind="stable"), 10) if len(part)]
    axes.plot(
        [np.exp(np.log(counts[part]).mean()) for part in tenths],
        [precision[part].mean() for part in tenths],
        color="tab:red",
        marker="o",
        label="mean of a tenth of the classes",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("videos of the class in train")
    axes.set_ylabel("average precision on validate")
    axes.set_title(title)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
