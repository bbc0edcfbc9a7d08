"""Which modality tells how much, over the folds of a small data set; and what becomes of a model when one is missing.

    mlflow run . -e cross_validate -P items=/data/mosi/train.npz
    python -m steps.cross_validate --items /data/mosi/train.npz --group 12 --seeds 0,1,2

Reads  the arrays at --items by the names of --schema; registry/tables/folds/<table>.yaml, whose rows are subsets of the
       modalities; finished runs of the rows' recipes on each fold with each seed.
Logs   a nested run for each row, fold and seed that was not trained yet; <table>.md, .csv, .tex and .png, report.html.
"""

import dataclasses
import hashlib
import itertools
import json
import sys
from pathlib import Path

from tqdm import tqdm

from mmvid import cross_validation, predictions, serving
from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.cross_validation import joined, predict_without
from mmvid.dataset import DataConfig
from mmvid.predictions import Predictions
from mmvid.records import arrays
from mmvid.records.arrays import Division
from mmvid.records.schema import load_schema
from mmvid.records.store import Store
from mmvid.report import cross_validation as report
from mmvid.report.cross_validation import NEVER, PLAIN, ROBUST, Cells, Study
from mmvid.report.recipes import TABLES, Recipe, Table, read_table
from mmvid.runs import Command, Finished, Run, Task, home
from steps.train import train

SPLIT = "validate"


class CrossConfig(Options):
    """Cross-validation."""

    items: str = option("", "npz file with an array a modality and one of labels, named by the schema's keys")
    schema_name: str = option("mosi", "built-in schema or a YAML file", alias="schema")
    table: str = option("mosi", "table whose rows are subsets of the modalities")
    folds: int = option(5, "parts that are held out in turn", ge=2)
    group: int = option(1, "neighbours of a label that stay in one fold, as the parts of a recording should", ge=1)
    fold_seed: int = option(0, "seed of the division", ge=0)
    seeds: tuple[int, ...] = option((0, 1, 2), "seeds of each training", min_length=1)
    hide: float = option(0.3, "share of each modality hidden from the model that shall bear its absence", ge=0, lt=1)
    draws: int = option(1000, "bootstrap draws", ge=100)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every row is made with.

    Attributes:
        command: whose runs they are.
        config: the options.
        whole: the folder of each fold's records.
        hidden: likewise, with modalities hidden in train.
        bar: counts trainings.
    """

    command: Command
    config: CrossConfig
    whole: list[Path]
    hidden: list[Path]
    bar: tqdm


def main(argv: list[str]) -> None:
    (config,) = parse(argv, CrossConfig, about=__doc__)
    if not Path(config.items).is_file():
        raise ValueError(f"items must be an npz file of arrays, got {config.items!r}")
    table, schema = read_table(config.table, TABLES / "folds"), load_schema(config.schema_name)
    modalities = tuple(schema.features)
    rows = subsets(table, modalities)
    items = arrays.read_items(Path(config.items), schema)
    division = arrays.divide(items.labels, config.folds, config.group, config.fold_seed)
    digest = hashlib.blake2b(Path(config.items).read_bytes(), digest_size=16).hexdigest()
    task = Task("cross_validate", deciding(config), {"items": digest}, (), name=f"{table.name}, {config.folds} folds")
    with Command() as command, command.start(task, own=True) as run:
        place = home() / "folds" / folder_name(config, digest, schema.model_dump_json())
        write = arrays.write_folds
        whole = write(items, division, schema, place / "whole", 0.0, config.fold_seed)
        hidden = write(items, division, schema, place / f"hidden-{config.hide:g}", config.hide, config.fold_seed)
        total = (len(rows) + 1) * config.folds * len(config.seeds)
        with tqdm(total=total, desc="trainings", disable=not sys.stderr.isatty()) as bar:
            bench = Bench(command, config, whole, hidden, bar)
            study, failures = fill(bench, table, rows, modalities, division, len(items))
        log(run, table.name, study)
    print(report.as_markdown(study))
    if failures:
        raise ValueError(f"{len(failures)} rows could not be made: {'; '.join(failures)}")


def folder_name(config: CrossConfig, digest: str, schema: str) -> str:
    """Where the records of a division lie: what decides them is in the name."""
    decided = [digest, schema, config.folds, config.group, config.fold_seed]
    key = hashlib.blake2b(json.dumps(decided).encode(), digest_size=6).hexdigest()
    return f"{Path(config.items).stem}-{key}"


def subsets(table: Table, modalities: tuple[str, ...]) -> dict[frozenset[str], Recipe]:
    """The modalities that each row reads -> the row.

    Raises:
        ValueError: if a row is no training of some of the modalities, or no row is of all of them.
    """
    found: dict[frozenset[str], Recipe] = {}
    for row in table.rows:
        said = row.parameters.get("modalities", ())
        read = frozenset([said] if isinstance(said, str) else said)
        if not row.entry.startswith("train_") or not read or not read <= set(modalities) or read in found:
            need = f"must be a train_ entry of modalities among {', '.join(modalities)} that no other row reads"
            got = f"{row.entry!r} of {', '.join(sorted(read)) or 'none'}"
            raise ValueError(f"table {table.name}, row {row.name!r}: {need}, got {got}")
        found[read] = row
    if frozenset(modalities) not in found:
        raise ValueError(f"table {table.name} must have a row of all modalities: {', '.join(modalities)}")
    return found


def fill(
    bench: Bench,
    table: Table,
    rows: dict[frozenset[str], Recipe],
    modalities: tuple[str, ...],
    division: Division,
    count: int,
) -> tuple[Study, list[str]]:
    """Trains or finds everything, and measures it.

    Returns:
        The numbers, and a sentence for each row that failed. The row of all modalities must not fail.
    """
    everything = rows[frozenset(modalities)]
    trained, failures = {}, []
    for row in rows.values():
        try:
            trained[row.name] = train_row(bench, row, bench.whole)
        except (ValueError, OSError) as error:
            if row is everything:
                raise
            failures.append(f"{row.name}: {error}")
    robust = train_row(bench, everything, bench.hidden)
    groups = {arrays.Items.id_of(row): int(group) for row, group in enumerate(division.groups)}
    metrics = [column.metric for column in table.columns]
    pooled = {
        name: [joined([predictions_of(run) for run in folds]) for folds in seeds] for name, seeds in trained.items()
    }
    cells = cross_validation.compare(pooled, groups, everything.name, metrics, bench.config.draws)
    gaps = {}
    for size in range(len(modalities)):
        for hidden in itertools.combinations(modalities, size):
            what = " + ".join(hidden) or "nothing"
            gaps[what, PLAIN] = [joined(missing(folds, hidden)) for folds in trained[everything.name]]
            gaps[what, ROBUST] = [joined(missing(folds, hidden)) for folds in robust]
    measured = cross_validation.compare(gaps, groups, ("nothing", PLAIN), metrics, bench.config.draws)
    absent: dict[str, dict[str, Cells]] = {}
    for (what, model), found in measured.items():
        absent.setdefault(what, {})[model] = found
        never = rows.get(frozenset(modalities) - set(what.split(" + ")))
        if what != "nothing" and never is not None and never.name in cells:
            absent[what][NEVER] = cells[never.name]
    config = bench.config
    kept = "single items" if config.group == 1 else f"groups of {config.group} neighbours"
    runs = {name: tuple(run.id for folds in seeds for run in folds) for name, seeds in trained.items()}
    runs[f"{everything.name}, {ROBUST}"] = tuple(run.id for folds in robust for run in folds)
    store = Store.open(robust[0][0].tags["mmvid.data.store"])
    study = Study(
        title=table.title,
        data=f"{store.schema.name}, {count:,} items, {config.folds} folds of {kept}",
        columns=table.columns,
        subsets=cells,
        missing=absent,
        notes=(*table.notes, *(f"Failed: {failure}" for failure in failures)),
        runs=runs,
    )
    return study, failures


def train_row(bench: Bench, row: Recipe, places: list[Path]) -> list[list[Finished]]:
    """The runs of a row: of each seed one a fold, found or trained now."""
    words = [row.entry.removeprefix("train_"), *row.words("compact")]
    runs: list[list[Finished]] = []
    for seed in bench.config.seeds:
        runs.append([])
        for fold, place in enumerate(places, start=1):
            bench.bar.set_postfix_str(f"{row.name}, seed {seed}, fold {fold}")
            data = DataConfig(data=str(place), schema_name=bench.config.schema_name, text="none")
            try:
                runs[-1].append(train(bench.command, [*words, "--seed", str(seed)], data=data))
            except SystemExit as error:  # `parse` has told what is wrong with a parameter
                raise ValueError(f"{row.entry} does not take {' '.join(words)}: see the error above") from error
            bench.bar.update()
    return runs


def predictions_of(run: Finished) -> Predictions:
    """What a fold's model said of the items held out."""
    return predictions.read(run.fetch("predictions") / f"{SPLIT}.arrow")


def missing(folds: list[Finished], hidden: tuple[str, ...]) -> list[Predictions]:
    """What the models of the folds say of the items held out when these lack some modalities."""
    if not hidden:
        return [predictions_of(run) for run in folds]
    found = []
    for run in folds:
        package = serving.load_logged(run.tags["mmvid.model"])
        store = Store.open(run.tags["mmvid.data.store"])
        found.append(predict_without(package.model, store, SPLIT, hidden, package.key))
    return found


def log(run: Run, name: str, study: Study) -> None:
    """Logs the tables in every form, and the means as metrics."""
    run.text(f"{name}.md", report.as_markdown(study))
    run.text(f"{name}.csv", report.as_csv(study))
    run.text(f"{name}.tex", report.as_latex(study))
    run.figure(f"{name}.png", report.picture(study))
    run.text("report.html", report.report(study))
    run.report(report.means(study))
    run.describe(report.as_markdown(study)[:5000])


if __name__ == "__main__":
    run_command(main)
