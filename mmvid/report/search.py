"""What a search leaves on its run: a page that needs no network, the same figures as pictures, tables of trials."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmvid.report import table as plain
from mmvid.report.html import Markup, element, page, table, tiles
from mmvid.runs import Run
from mmvid.search import figures
from mmvid.search.figures import Plot, state_of
from mmvid.search.study import Study
from mmvid.search.trial import spent


def log_study(study: Study, run: Run, title: str) -> str:
    """Logs report.html, a picture of each view, trials.csv and trials.md; returns the best setup in words.

    Args:
        study: with one complete trial at least.
        run: the search's run.
        title: the model and the data set.
    """
    front = study.best()
    trials = study.trials()
    states = Counter(map(state_of, trials))
    epochs, seconds = spent(trials)
    header, rows = figures.table(study)
    views = list(figures.plots(study))
    for view in views:
        if view.picture is not None:
            run.figure(f"{view.name}.png", view.picture)
    written = io.StringIO()
    csv.writer(written).writerows([header, *rows])
    run.text("trials.csv", written.getvalue())
    run.text("trials.md", plain.markdown(header, [[_shown(cell) for cell in row] for row in rows]))
    facts = [(f"{value:.4g}", f"best {name}") for name, value in zip(study.objectives, front[0].values, strict=True)]
    facts += [(f"{count:,}", f"{state} trials") for state, count in states.most_common()]
    facts += [(f"{epochs:,}", "epochs"), (f"{seconds:,.0f} s", "of training")]
    best = [*front[0].params.items(), *study.space.fixed.items()]
    run.text("report.html", search_page(f"Search: {title}", facts, best, views, header, rows))
    run.json("best.json", {"trial": front[0].number, "options": front[0].params | study.space.fixed})
    run.report({f"best/{name}": value for name, value in zip(study.objectives, front[0].values, strict=True)})
    run.report({"search/trials": float(len(trials)), "search/epochs": float(epochs)})
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(study.objectives, front[0].values, strict=True))
    chosen = ", ".join(f"{name}={_shown(value)}" for name, value in front[0].params.items())
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
    others = f" (one of {len(front)} on the Pareto front)" if len(study.objectives) > 1 else ""
    return f"{title}: {counted}; best is trial {front[0].number}{others} with {values}: {chosen}"


def search_page(
    title: str,
    facts: Sequence[tuple[str, str]],
    best: Sequence[tuple[str, Any]],
    plots: Sequence[Plot],
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> str:
    """A document with plotly.js inside (5 MB).

    Args:
        title: its heading.
        facts: large figures, each with a word below it.
        best: option and value of the best setup.
        plots: the figures.
        header: the columns of the trials.
        rows: the trials.
    """
    from plotly.io import to_html  # of the extra `search`, which mmvid.search has checked

    parts = [element("h1", title), tiles(facts), element("h2", "Best setup")]
    parts.append(table(["option", "value"], [[name, _shown(value)] for name, value in best], numbers=["value"]))
    script = True  # plotly.js, once
    for plot in plots:
        parts.append(element("h2", plot.title))
        if plot.figure is None:
            parts.append(element("p", f"Not drawn: {plot.lack}.", "soft"))
            continue
        options = {"displaylogo": False, "responsive": True}
        drawn = to_html(plot.figure, include_plotlyjs=script, full_html=False, config=options)
        parts.append(Markup(drawn))
        script = False
    parts.append(element("h2", "Trials"))
    numbers = [name for name in header if name not in ("state", "run")]
    parts.append(table(header, [[_shown(cell) for cell in row] for row in rows], numbers=numbers))
    return page(title, parts, scripts=not script)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
