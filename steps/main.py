"""The whole job: ingest, train on features, on text and on both, promote, print the tables.

    mlflow run . -e main --env-manager local
    mlflow run . -e main -P data=/data/audioset -P schema=audioset
    python -m steps.main --data /data/audioset --schema audioset

Reads  the data set at --data; the demo is made if it is `demo` and not there yet. Text, where the data set has some.
Logs   a nested run for each part, table.md, table6.md; moves the champions of mmvid-logistic, mmvid-moe,
       mmvid-moe-text and mmvid-classifier.
"""

import mmvid.classifiers
from mmvid.config import deciding, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.experiment import Setup, training_options
from mmvid.links import model_training_view
from mmvid.report.table import markdown
from mmvid.report.text_table import as_markdown
from mmvid.runs import Command, Finished, RunConfig, Task
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.promote import promoted
from steps.text_features import find_or_make
from steps.text_table import TableConfig, features_config, rows_of
from steps.train import find_or_train

CLASSIFIERS = ("logistic", "moe")
WITH_TEXT = "moe-text"
BEST = "mmvid-classifier"
METRICS = ("gap", "map", "hit_at_1", "perr")


def main(argv: list[str]) -> None:
    data, text, config, control = parse(argv, DataConfig, TextConfig, TableConfig, RunConfig, about=__doc__)
    decided = deciding(data) | deciding(text) | deciding(config)
    task = Task("main", decided, {}, ("steps.main",), name="main")
    with Command() as command, command.start(task, own=True) as run:
        store = open_dataset(command, data)
        finished = {}
        for setup in setups(config.seed):
            finished[setup.name] = find_or_train(command, setup, store, force=control.force)
        text_rows, stores = "", dict.fromkeys(finished, store)
        if text.titles or any(store.has_text(split).any() for split in store.splits):
            textset = find_or_build(command, store, text)
            rows, left_out = rows_of(command, config, text, store, textset, force=control.force)
            text_rows = as_markdown(rows, left_out, title=store.title, without=config.without)
        if text_rows and "TextCNN A" not in left_out:
            extended, encoder = find_or_make(command, store, text, features_config(config))
            member = mmvid.classifiers.load("moe")
            # A TextCNN knows the titles that it was trained on by heart: with few videos a mixture trained on its
            # features of them believes them too much. The histogram of keywords has seen no label.
            model = member.Config(modalities=(*store.shapes.features, "keywords"))
            setup = Setup("moe", model, training_options(member)(seed=config.seed))
            finished[WITH_TEXT] = find_or_train(command, setup, extended, encoder=encoder, force=control.force)
            stores[WITH_TEXT] = extended
        best = max(finished, key=lambda name: finished[name].metrics["gate/gap"])
        champions = [promoted(command, f"mmvid-{name}", finished[name], stores[name]) for name in finished]
        champions.append(promoted(command, BEST, finished[best], stores[best]))
        report = f"# {store.title}\n\n{table(finished)}\n" + "\n".join(champions) + "\n"
        run.text("table.md", report)
        run.describe(report)
        if text_rows:
            run.text("table6.md", text_rows)
        for name, trained in finished.items():
            run.report({f"{name}/{metric}": trained.metrics[f"validate/{metric}"] for metric in METRICS})
    print(f"\n{report}\n{text_rows}\n{model_training_view()}")


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
