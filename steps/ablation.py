"""The papers' tables from promoted models: recipes found or run, cells with spread and interval, a report with figures.

    mlflow run . -e ablation -P table=table5 -P missing=train -P seeds=0,1,2
    mlflow run . -e ablation -P table=all -P data=/data/audioset -P schema=audioset -P sizes=audioset
    mlflow run . -e ablation -P table=segmentation -P missing=train -P seeds=0
    python -m steps.ablation --table table4 --missing train

Reads  registry/tables/<table>.yaml; the data set at --data, or for a table of pictures those at --masks; finished runs
       of the rows' recipes, each with its seeds. With --missing train what is missing is trained, else it is shown.
Logs   each table as .md, .csv, .tex and .png, report.html with all of them and interactive figures; a nested run for
       what was trained; the best seed on `gate` of each row goes before the gate of the row's registered model.
"""

import contextlib
import dataclasses
import sys
from typing import Literal

from tqdm import tqdm

from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.links import run_address
from mmvid.maskset import MasksConfig
from mmvid.registry import versions
from mmvid.report import ablation, label_curves, recipes
from mmvid.report import text as text_report
from mmvid.report.bars import picture
from mmvid.report.filled import Champion, Filled, Made, Result, means
from mmvid.report.html import Markup, element, image
from mmvid.report.populations import predicted, store_of, videos_of
from mmvid.report.recipes import Population, Recipe, Sizes, Table
from mmvid.runs import Command, Finished, Run, load_run
from mmvid.tasks import NotComputedError, Task
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.promote import promoted
from steps.rows import Rows
from steps.rows.pictures import PictureRows
from steps.rows.videos import VideoRows, seed_matters
from steps.train_unet import LabelConfig

STATISTICS = "table1"  # no recipes: what there is of titles and keywords
FIGURE5 = "table5"  # the table whose rows Figure 5 draws


class AblationConfig(Options):
    """Tables."""

    table: str = option("all", f"{', '.join([STATISTICS, *recipes.names()])}, several with commas, or all of videos")
    missing: Literal["train", "show"] = option("show", "what has no finished run is trained, or shown as missing")
    seeds: tuple[int, ...] = option((0, 1, 2), "seeds of each row", min_length=1)
    sizes: Sizes = option("compact", "models for small data and machines, tuned on AudioSet, or the papers'")
    draws: int = option(1000, "bootstrap draws of the champions' intervals", ge=100)


class PicturesConfig(Options):
    """Labelled pictures, for tables of these."""

    masks: str = option("demo", "an export with `ingest_masks`' defaults, a store with masks, or `demo`")


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every row of a table is made with: the command whose runs they are, the options, the data."""

    command: Command
    config: AblationConfig
    rows: Rows
    bar: tqdm


def main(argv: list[str]) -> None:
    config, data, text, pictures, labels = parse(
        argv, AblationConfig, DataConfig, TextConfig, PicturesConfig, LabelConfig, about=__doc__
    )
    wanted = chosen(config.table)
    decided = {name: value for part in (config, data, text, pictures, labels) for name, value in deciding(part).items()}
    with Command() as command, command.start(Task("ablation", decided, {}, (), name="tables"), own=True) as run:
        videos = None
        if any(name == STATISTICS or recipes.read_table(name).data == "videos" for name in wanted):
            videos = VideoRows(command, data, text, open_dataset(command, data), config.draws)
        masks = MasksConfig(masks=pictures.masks)
        filled, failures = make(command, run, config, wanted, videos, PictureRows(command, masks, labels, config.draws))
        print("\n".join(ablation.as_markdown(each) for each in filled))
        check(failures)


def check(failures: list[str]) -> None:
    """Raises ValueError if rows failed; all others are made and logged by then."""
    if failures:
        raise ValueError(f"{len(failures)} rows could not be made: {'; '.join(failures)}")


def chosen(words: str) -> list[str]:
    """The tables that are asked for.

    Raises:
        ValueError: if there is none of a name, or its file is wrong.
    """
    there = [STATISTICS, *recipes.names()]
    if words == "all":
        return [name for name in there if name == STATISTICS or recipes.read_table(name).data == "videos"]
    wanted = list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    if not wanted:
        raise ValueError(f"table must be one of {', '.join(there)} or all, got {words!r}")
    for name in wanted:
        if name not in there:
            raise ValueError(f"table must be one of {', '.join(there)} or all, got {name!r}")
    return wanted


def make(
    command: Command,
    run: Run,
    config: AblationConfig,
    wanted: list[str],
    videos: VideoRows | None,
    pictures: PictureRows | None = None,
) -> tuple[list[Filled], list[str]]:
    """Fills the tables and logs them.

    Args:
        command: whose runs the rows are.
        run: the run that logs the tables.
        config: the options.
        wanted: the tables' names.
        videos: what rows of videos are made of; None where no such table is wanted.
        pictures: the same of pictures.

    Returns:
        The tables, and a sentence for each row that failed.
    """
    tables = [recipes.read_table(name) for name in wanted if name != STATISTICS]
    total = sum(len(config.seeds) for table in tables for row in table.rows if row.entry)
    shown = sys.stderr.isatty()
    filled, parts, galleries = [], [], []
    with tqdm(total=total, desc="recipes", disable=not shown) as bar:
        for table in tables:
            rows = pictures if table.data == "pictures" else videos.of(table)
            filled.append(fill(Bench(command, config, rows, bar), table))
            log_table(run, filled[-1])
            if table.data == "pictures":
                galleries += log_galleries(run, filled[-1])
    figures = [drawn for each in filled if each.table.name == FIGURE5 for drawn in figure5(run, each)]
    if STATISTICS in wanted and videos.lacking(("text",)) is None:
        textset = find_or_build(command, videos.store, videos.text)
        run.text(f"{STATISTICS}.md", text_report.as_markdown(textset, videos.store))
        parts = text_report.page_parts(textset, videos.store)
    titles = dict.fromkeys([*([] if videos is None else [videos.title]), *(each.data for each in filled)])
    run.text("report.html", ablation.report(f"Tables: {', '.join(titles)}", filled, figures, last=[*galleries, *parts]))
    run.text("tables.md", "\n".join(ablation.as_markdown(each) for each in filled))
    run.describe("\n".join(ablation.as_markdown(each, level=2) for each in filled)[:5000])
    failures = [
        f"{each.table.name}, {row.recipe.name}: {row.lack}" for each in filled for row in each.results if row.failed
    ]
    return filled, failures


def fill(bench: Bench, table: Table) -> Filled:
    """Makes every row of a table; one that fails is shown with its error, and the rest goes on."""
    results: dict[str, Result] = {}
    for row in table.rows:
        results[row.name] = made(bench, table, row, results) if row.entry else Result(row)
    left_out = tuple(result for result in results.values() if result.unfit and not result.recipe.paper)
    shown = tuple(result for result in results.values() if result not in left_out)
    return Filled(table, bench.rows.title, shown, left_out)


def made(bench: Bench, table: Table, row: Recipe, earlier: dict[str, Result]) -> Result:
    """What came of a row: its runs, the promotion, the champion with its intervals."""
    population = table.population_of(row)
    if (lack := bench.rows.lacking(row.needs)) is not None:
        bench.bar.update(len(bench.config.seeds))
        return Result(row, lack=lack, unfit=True)
    runs: dict[int, Finished] = {}
    lacks, failed = [], False
    for seed in bench.config.seeds if is_seeded(row) else bench.config.seeds[:1]:
        bench.bar.set_postfix_str(f"{table.name}: {row.name}, seed {seed}")
        try:
            with contextlib.nullcontext() if bench.config.missing == "train" else bench.command.finding_only():
                runs[seed] = run_recipe(bench, row, seed, [member_of(earlier[name], seed) for name in row.members])
        except NotComputedError:
            lacks.append(f"seed {seed} is missing: missing=train trains it")
        except (ValueError, OSError) as error:
            lacks.append(f"seed {seed}: {error}")
            failed = failed or not isinstance(error, MemberMissingError)
        bench.bar.update()
    lack = "; ".join(lacks)
    if not runs:
        return Result(row, lack=lack, failed=failed)
    first = table.columns[0].metric
    best = max(runs.values(), key=lambda run: gate_value(bench, run, population, first))
    told = ""
    if row.model:
        try:
            told = promoted(bench.command, row.model, best, bench.rows.place(best)).removeprefix("- ")
        except ValueError as error:
            told = f"{row.model}: not promoted, {error}"
    shown = [column.metric for column in table.columns]
    logged = {metric: bench.rows.logged(population, row.instead.get(metric, metric)) for metric in shown}
    return Result(
        row,
        tuple(Made(seed, run.id, run_address(run), measured(run, logged)) for seed, run in runs.items()),
        bench.rows.count(best, population),
        champion_of(bench, table, row, best, population),
        bench.rows.shares(best, population, shown) if table.shares_alone else {},
        lack,
        told,
        failed,
    )


class MemberMissingError(ValueError):
    """A member of an ensemble has no run."""


def member_of(result: Result, seed: int) -> str:
    """The run of a member for a seed; of one without seeds its only run."""
    by_seed = {made.seed: made.run for made in result.made}
    if seed in by_seed:
        return by_seed[seed]
    if len(by_seed) == 1 and not is_seeded(result.recipe):
        return next(iter(by_seed.values()))
    raise MemberMissingError(f"its member {result.recipe.name} has no run")


def run_recipe(bench: Bench, row: Recipe, seed: int, members: list[str]) -> Finished:
    """The finished run of a recipe, found or computed.

    Raises:
        NotComputedError: if there is none and nothing is to be computed.
        ValueError: if the recipe's entry point or parameters are wrong, or it fails.
    """
    words = row.words(bench.config.sizes)
    try:
        return bench.rows.run(row.entry, words, seed, members)
    except SystemExit as error:  # `parse` has told what is wrong with a parameter
        raise ValueError(f"{row.entry} does not take {' '.join(words)}: see the error above") from error


def is_seeded(row: Recipe) -> bool:
    """Whether a row is run once for each seed: what is counted has none."""
    kind, _, name = row.entry.partition("_")
    return kind != "train" or seed_matters(name)


def measured(run: Finished, metrics: dict[str, str]) -> dict[str, float]:
    """A run's values by the table's names of them; `metrics` are the run's names by the table's."""
    return {name: run.metrics[logged] for name, logged in metrics.items() if logged in run.metrics}


def gate_value(bench: Bench, run: Finished, population: Population, metric: str) -> float:
    """What the seeds of a row are compared by: the metric of its videos or pictures on `gate`."""
    first = bench.rows.logged(population, metric, "gate")
    return run.metrics.get(first, run.metrics.get(f"gate/{bench.rows.metric}", float("-inf")))


def champion_of(bench: Bench, table: Table, row: Recipe, best: Finished, population: Population) -> Champion | None:
    """The champion of the row's registered model with intervals; None where there is none for these data."""
    version = versions.aliased(row.model, "champion") if row.model else None
    if version is None:
        return None
    run = load_run(versions.run_of(row.model, version))
    if not bench.rows.is_of_same_data(run, best):
        return None
    metrics = [column.metric for column in table.columns]
    return Champion(row.model, version, run.id, bench.rows.intervals(run, population, metrics))


def log_table(run: Run, filled: Filled) -> None:
    """Logs a table in every form, and its means as metrics."""
    name = filled.table.name
    run.text(f"{name}.md", ablation.as_markdown(filled))
    run.text(f"{name}.csv", ablation.as_csv(filled))
    run.text(f"{name}.tex", ablation.as_latex(filled))
    run.figure(f"{name}.png", picture(filled))
    run.report(means(filled))


def log_galleries(run: Run, filled: Filled) -> list[Markup]:
    """Logs the gallery of the best row, and gives those of all rows as parts of a page, the worst pictures first."""
    rows = [each for each in filled.results if each.made and each.recipe.model]
    first = filled.table.columns[0].metric
    galleries = {each.recipe.name: load_run(each.made[0].run).fetch("gallery.png").read_bytes() for each in rows}
    if rows:
        best = max(rows, key=lambda each: each.made[0].metrics.get(first, float("-inf")))
        with run.file("gallery.png") as path:
            path.write_bytes(galleries[best.recipe.name])
    heading = element("h2", "Pictures of validate, the worst first: the picture, its true mask, the predicted one")
    shown = [part for name, content in galleries.items() for part in (element("h3", name), image(name, content))]
    return [heading, *shown] if shown else []


def figure5(run: Run, filled: Filled) -> list[tuple[str, Markup]]:
    """Figure 5 of the rows with features, with text and with both that have runs; the first seed of each."""
    store, found = None, {}
    for name, candidates in CURVES.items():
        rows = [each for each in filled.results if each.recipe.name in candidates and each.made]
        if rows:
            finished = load_run(rows[0].made[0].run)
            store = store_of(finished)
            part = videos_of(finished, filled.table.population)
            found[f"{name} ({rows[0].recipe.name.lower()})"] = predicted(finished).select(part)
    if len(found) < 2:
        return []
    curves = label_curves.curves(found, store.names)
    run.figure("figure5.png", label_curves.picture(curves, filled.data))
    return [(f"Figure 5: GAP by label, {filled.data}", label_curves.figure(curves, filled.data))]


CURVES = {
    "video and audio": ("Visual + audio", "Audio"),
    "text": ("Keywords", "Titles"),
    "all": ("Visual + audio + keywords + title", "Audio + keywords + title"),
}


if __name__ == "__main__":
    run_command(main)
