"""Table 6: classifiers of titles and keywords alone, trained or found, beside the paper's numbers.

    mlflow run . -e text_table -P data=/data/audioset -P schema=audioset -P vectors=vectors.bin.gz
    python -m steps.text_table --sizes paper --vectors GoogleNews-vectors-negative300.bin.gz

Reads  the data set at --data and its text set, which is built if it is not there yet.
Logs   a nested run for each classifier that was not trained yet, table6.md, table6.json, <row>/gap and <row>/prior.
"""

import dataclasses
from typing import Any, Literal

from mmvid import classifiers, experiment, predictions
from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.experiment import training_options
from mmvid.records.store import Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.records.words import Words
from mmvid.report.text_table import Row, as_markdown, measure
from mmvid.runs import Command, Finished, RunConfig, Task
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.text_features import FeaturesConfig, find_or_make
from steps.train import find_or_train


class TableConfig(Options):
    """Table 6."""

    sizes: Literal["small", "paper"] = option(
        "small", "small layers and batches, for thousands of videos; or the paper's, for millions"
    )
    without: str = option("", "name of a label, once more without it: one on most videos flatters every row")
    draws: int = option(1000, "bootstrap draws", ge=1)
    seed: int = option(0, "seed of each training", ge=0)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A row: its classifier, the options that make it that row, and what the small sizes are."""

    classifier: str
    options: dict[str, Any]
    small: dict[str, Any]
    small_training: dict[str, Any]


SMALL_CNN = {"widths": (1, 2, 3), "filters": 128, "hidden": 512}
SMALL_KEYWORDS = {"preset": "compact"}
FUSED = "Keywords + title, MoE"
RECIPES = {
    "TextCNN A": Recipe("textcnn", {"label_words": "kept"}, SMALL_CNN, {"batch_size": 64}),
    "TextCNN B": Recipe("textcnn", {"label_words": "removed"}, SMALL_CNN, {"batch_size": 64}),
    "Keywords A": Recipe("keywords", {"label_words": "kept"}, SMALL_KEYWORDS, {}),
    "Keywords B": Recipe("keywords", {"label_words": "removed"}, SMALL_KEYWORDS, {}),
    "Unigram": Recipe("unigram", {"text_fields": ("title",)}, {}, {}),
}


def main(argv: list[str]) -> None:
    table, text, data, control = parse(argv, TableConfig, TextConfig, DataConfig, RunConfig, about=__doc__)
    options = deciding(table) | deciding(text) | deciding(data)
    with Command() as command, command.start(Task("text_table", options, {}, (), name="Table 6"), own=True) as run:
        store = open_dataset(command, data)
        textset = find_or_build(command, store, text)
        rows, left_out = rows_of(command, table, text, store, textset, force=control.force)
        shown = as_markdown(rows, left_out, title=store.title, without=table.without)
        run.text("table6.md", shown)
        run.json("table6.json", {"rows": [dataclasses.asdict(row) for row in rows], "left_out": left_out})
        run.report({f"{row.name.replace(' + ', '_').replace(', ', '_')}/gap": row.gap.value / 100 for row in rows})
        run.describe(shown)
    print(shown)


def rows_of(
    command: Command, table: TableConfig, text: TextConfig, store: Store, textset: TextSet, *, force: bool = False
) -> tuple[list[Row], dict[str, str]]:
    """The rows of the table, and those that the data set has no text for -> why."""
    without = label_named(store, table.without) if table.without else None
    rows, left_out = [], {}
    for name, recipe in RECIPES.items():
        setup = setup_of(recipe, table)
        words = Words(textset, setup.model.text_fields, setup.model.label_words, getattr(setup.model, "max_words", 0))
        if (reason := lacking(words)) is not None:
            left_out[name] = reason
            continue
        finished = find_or_train(command, setup, store, textset, force=force)
        reads = " and ".join(words.fields)
        found = predictions_of(finished)
        rows.append(measure(name, reads, found, store, words, run=finished.id, draws=table.draws, without=without))
    reasons = [lacking(Words(textset, (field,))) for field in FIELDS]
    if any(reasons):
        left_out[FUSED] = next(reason for reason in reasons if reason)
        return rows, left_out
    extended, encoder = find_or_make(command, store, text, features_config(table))
    moe = classifiers.load("moe")
    setup = experiment.Setup(
        "moe", moe.Config(modalities=("keywords", "title")), training_options(moe)(seed=table.seed)
    )
    finished = find_or_train(command, setup, extended, encoder=encoder, force=force)
    words, reads = Words(textset, FIELDS), "histogram of keywords and TextCNN of title"
    found = predictions_of(finished)
    rows.append(measure(FUSED, reads, found, store, words, run=finished.id, draws=table.draws, without=without))
    return rows, left_out


def lacking(words: Words) -> str | None:
    """Why nothing can be learnt from words, or None."""
    for split in ("train", "dev", "validate"):
        if not words.known(split).any():
            return f"no video of {split} has a known word in {' and '.join(words.fields)}"
    return None


def features_config(table: TableConfig) -> FeaturesConfig:
    """The text features whose TextCNN is that of the row TextCNN A."""
    batch = setup_of(RECIPES["TextCNN A"], table).train.batch_size
    return FeaturesConfig(text_sizes=table.sizes, text_batch=batch, text_seed=table.seed)


def setup_of(recipe: Recipe, table: TableConfig) -> experiment.Setup:
    """The setup of a row in the sizes that are asked for."""
    member = classifiers.load(recipe.classifier)
    small = table.sizes == "small"
    model = member.Config(**recipe.options, **(recipe.small if small else {}))
    config = training_options(member)
    seeded = {"seed": table.seed} if "seed" in config.model_fields else {}
    return experiment.Setup(recipe.classifier, model, config(**seeded, **(recipe.small_training if small else {})))


def label_named(store: Store, name: str) -> int:
    """The id of a label.

    Raises:
        ValueError: if no label, or more than one, has the name.
    """
    ids = [number for number, label in enumerate(store.names) if label == name]
    if len(ids) != 1:
        raise ValueError(f"without must be the name of one label of {store.name}, {len(ids)} are named {name!r}")
    return ids[0]


def predictions_of(finished: Finished) -> predictions.Predictions:
    """The predictions of validate that a run logged."""
    return predictions.read(finished.fetch("predictions") / "validate.arrow")


if __name__ == "__main__":
    run_command(main)
