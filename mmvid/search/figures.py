"""A study as figures: interactive ones for a page, still ones for everywhere else; and as a table."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as still

from mmvid.search.study import Study
from mmvid.search.trial import epochs_of, seconds_of

WIDTH, HEIGHT = 10, 5.5  # inches of a picture
TRIAL, BEST = "#1f77b4", "#d62728"  # matplotlib's first blue and red, as in the picture
LEGEND = 10  # names that a legend has room for


@dataclasses.dataclass(frozen=True)
class Plot:
    """One view of a study.

    Attributes:
        name: a file's name, such as `history`.
        title: a line above it.
        figure: a plotly figure, or None where the study has too little for this view.
        picture: the same as a matplotlib figure.
        lack: why there is no figure.
    """

    name: str
    title: str
    figure: Any = None
    picture: Figure | None = None
    lack: str = ""


def plots(study: Study) -> Iterator[Plot]:
    """The views that fit a study: history, curves, importances, slices, parallel coordinates, or the Pareto front."""
    name, *others = study.objectives
    aimed = weighed = {"target_name": name}
    if others:
        # PED-ANOVA with a target of its own holds low for good.
        sign = -1 if study.objectives[name] == "maximize" else 1
        aimed = {"target_name": name, "target": lambda trial: trial.values[0]}
        weighed = {"target_name": name, "target": lambda trial: sign * trial.values[0]}
        if len(others) <= 2:
            yield _plot(study, "pareto_front", "Pareto front", "plot_pareto_front", target_names=[name, *others])
    else:
        yield _plot(study, "curves", f"{name} after each epoch", "plot_intermediate_values")
    yield _plot(study, "history", f"{name} of each trial", "plot_optimization_history", **aimed)
    yield _plot(study, "importances", f"What {name} depends on (PED-ANOVA)", "plot_param_importances", **weighed)
    yield _plot(study, "slices", f"{name} against each option", "plot_slice", **aimed)
    yield _plot(study, "parallel", "All options of each trial", "plot_parallel_coordinate", **aimed)


def _plot(study: Study, name: str, title: str, function: str, **options: Any) -> Plot:
    complete = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    if len(complete) < 2:
        return Plot(name, title, lack=f"it takes two complete trials, there are {len(complete)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PED-ANOVA tells that low is good to it, which it is here
            figure = study.patiently(getattr(visualization, function), study.optuna, **options)
        picture = _picture(lambda: study.patiently(getattr(still, function), study.optuna, **options), title)
    except (ValueError, RuntimeError) as error:  # such as importances of trials that are all alike
        return Plot(name, title, lack=str(error).splitlines()[0])
    if name == "pareto_front":  # two colour bars of trial numbers would say nothing
        for trace, label, colour in zip(figure.data, ("Trial", "Best Trial"), (TRIAL, BEST), strict=True):
            trace.update(name=label, showlegend=True, marker={"showscale": False, "color": colour})
    figure.update_layout(title=None, margin={"t": 30}, template="plotly_white", autosize=True, width=None)
    return Plot(name, title, figure, picture)


def _picture(draw: Callable[[], Any], title: str) -> Figure:
    """Draws without a display; Optuna draws on pyplot's current figure, which is closed afterwards."""
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    from matplotlib import pyplot

    try:
        with warnings.catch_warnings(), _small_print():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)  # of matplotlib, about what Optuna does with it
            draw()
            figure = pyplot.gcf()
            _tidy(figure, title)
            pyplot.close(figure)
        return figure
    finally:
        matplotlib.use(before)


def _tidy(figure: Figure, title: str) -> None:
    """One title, labels that do not overlap, no legend of every trial."""
    figure.set_size_inches(WIDTH, HEIGHT)
    figure.suptitle(title)
    for axes in figure.axes:
        for place in ("left", "center", "right"):
            axes.set_title("", loc=place)
        _mark_decades(axes)
        legend = axes.get_legend()
        if legend is not None and len(legend.get_texts()) > LEGEND:
            legend.remove()
    if len(figure.axes) == 1:  # among several it would set a colour bar on top of others
        figure.tight_layout()


def _mark_decades(axes: Axes) -> None:
    """Labels on the decades of a logarithmic axis only; two in between where it has none within view."""
    axes.xaxis.set_minor_formatter("")
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log" and not any(low <= tick <= high for tick in axes.get_xticks()):
        inner = [float(f"{low * (high / low) ** share:.2g}") for share in (0.25, 0.75)]
        axes.set_xticks(inner, [f"{tick:g}" for tick in inner])


@contextlib.contextmanager
def _small_print() -> Iterator[None]:
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 10, "legend.fontsize": 8, "figure.dpi": 120}):
        yield


def table(study: Study) -> tuple[list[str], list[list[Any]]]:
    """Every trial: its number, state, objectives, options, epochs and seconds, MLflow run; empty cells are "".

    A pruned trial's objective is that of its last epoch.
    """
    header = ["trial", "state", *study.objectives, *study.space.drawn, "epochs", "seconds", "run"]
    return header, [_row(study, trial) for trial in study.trials()]


def _row(study: Study, trial: FrozenTrial) -> list[Any]:
    values = trial.values or [""] * len(study.objectives)
    options = [trial.params.get(name, "") for name in study.space.drawn]
    spent = [epochs_of(trial), round(seconds_of(trial), 1)]
    return [trial.number, state_of(trial), *values, *options, *spent, trial.user_attrs.get("run", "")]


def state_of(trial: FrozenTrial) -> str:
    """`complete`, `pruned`, `running`, `waiting`, `failed` by an error of its own, or `killed` with its process."""
    if trial.state == TrialState.FAIL:
        return "failed" if "error" in trial.user_attrs else "killed"
    return trial.state.name.lower()
