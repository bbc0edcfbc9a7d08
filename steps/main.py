"""The whole job: ingest, train on features and on features with text, promote, and the papers' tables and figures.

    mlflow run . -e main --env-manager local
    mlflow run . -e main -P data=/data/audioset -P schema=audioset
    python -m steps.main --data /data/audioset --schema audioset --tables table5,table6

Reads  the data set at --data; the demo is made if it is `demo` and not there yet. Text, where the data set has some.
Logs   a nested run for each part, table.md, each table as .md, .csv, .tex and .png, report.html; moves the champions of
       mmvid-logistic, mmvid-moe, mmvid-moe-text, mmvid-classifier and of the tables' rows.
"""

import mmvid.classifiers
from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.links import model_training_view
from mmvid.report import ablation as tables
from mmvid.report.populations import store_of
from mmvid.report.recipes import Recipe, Sizes, read_table
from mmvid.report.table import markdown
from mmvid.runs import Command, Finished, RunConfig, Task
from mmvid.setups import Setup, training_options
from mmvid.textual import TextConfig
from steps import ablation
from steps.ablation import AblationConfig
from steps.promote import promoted
from steps.rows.videos import VideoRows
from steps.train import find_or_train, train

CLASSIFIERS = ("logistic", "moe")
WITH_TEXT = "moe-text"
BEST = "mmvid-classifier"
METRICS = ("gap", "map", "hit_at_1", "perr")


class MainConfig(Options):
    """The whole job."""

    tables: str = option("all", "the papers' tables to make, see `ablation`; none makes none")
    sizes: Sizes = option("compact", "of the tables' models: for small data, tuned on AudioSet, or the papers'")
    seed: int = option(0, "seed of each training", ge=0)


def main(argv: list[str]) -> None:
    data, text, config, control = parse(argv, DataConfig, TextConfig, MainConfig, RunConfig, about=__doc__)
    wanted = [] if config.tables == "none" else ablation.chosen(config.tables)
    decided = deciding(data) | deciding(text) | deciding(config)
    task = Task("main", decided, {}, ("steps.main",), name="main")
    with Command() as command, command.start(task, own=True) as run:
        store = open_dataset(command, data)
        finished = {}
        for setup in setups(config.seed):
            finished[setup.name] = find_or_train(command, setup, store, force=control.force)
        if text.titles or any(store.has_text(split).any() for split in store.splits):
            modalities = [*store.shapes.features, "keywords"]
            words = ["moe", *with_text(modalities).words(config.sizes), "--seed", str(config.seed)]
            finished[WITH_TEXT] = train(command, [*words, "--force", str(control.force)], data=data, text=text)
        best = max(finished, key=lambda name: finished[name].metrics["gate/gap"])
        registered = {f"mmvid-{name}": run for name, run in finished.items()} | {BEST: finished[best]}
        champions = [promoted(command, name, run, store_of(run)) for name, run in registered.items()]
        report = f"# {store.title}\n\n{table(finished)}\n" + "\n".join(champions) + "\n"
        run.text("table.md", report)
        run.describe(report)
        for name, trained in finished.items():
            run.report({f"{name}/{metric}": trained.metrics[f"validate/{metric}"] for metric in METRICS})
        asked = AblationConfig(missing="train", seeds=(config.seed,), sizes=config.sizes)
        rows = VideoRows(command, data, text, store, asked.draws)
        filled, failures = ablation.make(command, run, asked, wanted, rows) if wanted else ([], [])
        print(f"\n{report}\n" + "\n".join(map(tables.as_markdown, filled)) + f"\n{model_training_view()}")
        ablation.check(failures)


def with_text(modalities: list[str]) -> Recipe:
    """Table 5's mixture with keywords, of these modalities: where videos are few it needs a penalty and dropout."""
    (recipe,) = (row for row in read_table("table5").rows if row.name == "Visual + audio + keywords")
    return recipe.model_copy(update={"parameters": {"modalities": modalities}})


def setups(seed: int) -> list[Setup]:
    """What is trained: a row of the table each."""
    members = {name: mmvid.classifiers.load(name) for name in CLASSIFIERS}
    return [Setup(name, member.Config(), training_options(member)(seed=seed)) for name, member in members.items()]


def table(finished: dict[str, Finished]) -> str:
    """A row a classifier: its metrics on `validate`, with and without text where the data set has text."""
    first = next(iter(finished.values())).metrics
    columns = [f"validate/{metric}" for metric in METRICS]
    columns += [f"validate/{group}/gap" for group in ("with_text", "without_text") if f"validate/{group}/gap" in first]
    columns += ["seconds/fit"]
    rows = [[name, *(run.metrics[column] for column in columns), run.id] for name, run in finished.items()]
    return markdown(["classifier", *(column.removeprefix("validate/") for column in columns), "run"], rows)


if __name__ == "__main__":
    run_command(main)
