"""Make the text features of a data set: a histogram of the words in keywords, and TextCNN activations of titles.

    mlflow run . -e text_features -P data=/data/yt8m -P schema=youtube8m -P vectors=/data/GoogleNews.bin.gz
    python -m steps.text_features --text_sizes small

Reads  the data set at --data, its text set and a TextCNN of its titles; what is not there yet is made.
Logs   encoder/* (words, codebook and TextCNN, as a served model needs them), manifest.json; writes a store beside the
       data set's that has all of its columns and `keywords` and `title` as two modalities more.

The TextCNN is trained on the titles of `train`, and its activations for these same videos are features that the next
classifier is trained on, as in the paper: they are in-sample, so they look better on `train` than on a title that it
never saw. What is reported on `gate` and `validate` is not touched: neither split trains anything. Activations of
several networks mean different things, so out-of-fold ones cannot simply be joined; they are not offered.
"""

from typing import Literal

import numpy as np

from mmvid import classifiers, experiment, serving
from mmvid.classifiers.keywords import WordHistogram
from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.experiment import training_options
from mmvid.records import extension
from mmvid.records.batches import Batch
from mmvid.records.store import Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.records.words import Words
from mmvid.runs import Command, Finished, Run, RunConfig, Task, home
from mmvid.text.raw import RawText
from mmvid.text_encoder import TextEncoder
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.train import find_or_train

ENCODER = "encoder"
SMALL = {"widths": (1, 2, 3), "filters": 128, "hidden": 512}


class FeaturesConfig(Options):
    """Features of titles and keywords."""

    text_sizes: Literal["small", "paper"] = option(
        "paper", "the TextCNN of titles: the paper's (4096-d), or a small one (512-d) for thousands of videos"
    )
    text_clusters: int = option(1024, "clusters of the keywords' words, the size of their histogram", ge=1)
    text_batch: int = option(64, "videos in a batch of the TextCNN's training", ge=1)
    text_seed: int = option(0, "seed of the TextCNN and of the clusters", ge=0)


def main(argv: list[str]) -> None:
    config, text, data, control = parse(argv, FeaturesConfig, TextConfig, DataConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = open_dataset(command, data)
        store, encoder = find_or_make(command, store, text, config, force=control.force, own=True)
    for split in store.splits:
        found = ", ".join(f"{store.counts(split).features[name]} with {name}" for name in encoder.sizes)
        print(f"{split}: {store.count(split)} videos, {found}")
    print(f"store with text features: {store.folder}\ndigest: {store.digest}")


def find_or_make(
    command: Command,
    store: Store,
    text: TextConfig,
    config: FeaturesConfig,
    *,
    force: bool = False,
    own: bool = False,
) -> tuple[Store, TextEncoder]:
    """A store with the text features of `store` beside its own, and what made them; made now if there is none."""
    store = store.base
    textset = find_or_build(command, store, text)
    trained = find_or_train(command, titles_setup(config), store, textset)
    task = Task(
        entry="text_features",
        options=deciding(config),
        inputs={"data": store.digest, "text": textset.digest, "textcnn": trained.tags["mmvid.key"]},
        modules=("mmvid.records.extension", "mmvid.text_encoder"),
        name=f"text features of {store.title}",
    )
    place = home() / "features" / f"{store.folder.name}-{task.key[:12]}"

    def compute(run: Run) -> None:
        run.params({"data": str(store.folder), "textcnn": trained.id})
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="text")
        encoder = make_encoder(textset, trained, config)
        made = {"textcnn": trained.id, "text": textset.digest}
        extended = extension.extend(
            store, place, encoder.sizes, features_of(encoder, textset), request=task.key, made=made
        )
        encoder.save(place / ENCODER)
        run.folder(ENCODER, place / ENCODER)
        log_features(run, extended, encoder)

    def usable(finished: Finished) -> bool:
        there = (place / "manifest.json").exists() and (place / ENCODER).is_dir()
        return there and Store.open(place).digest == finished.tags.get("mmvid.data.digest")

    command.find_or_run(task, compute, force=force, own=own, usable=usable)
    return Store.open(place), TextEncoder.load(place / ENCODER)


def encoder_of(store: Store) -> TextEncoder | None:
    """What made the text features of a store; None where it has none of ours."""
    place = store.folder / ENCODER
    return TextEncoder.load(place) if store.base is not store and place.is_dir() else None


def titles_setup(config: FeaturesConfig) -> experiment.Setup:
    """The TextCNN whose activations are the feature of a title."""
    member = classifiers.load("textcnn")
    model = member.Config(**(SMALL if config.text_sizes == "small" else {}))
    train = training_options(member)(batch_size=config.text_batch, seed=config.text_seed)
    return experiment.Setup("textcnn", model, train)


def make_encoder(textset: TextSet, trained: Finished, config: FeaturesConfig) -> TextEncoder:
    """The encoder of a text set from a trained TextCNN and the codebook of the words in the keywords of train."""
    package = serving.load_logged(trained.tags["mmvid.model"])
    histogram = WordHistogram(len(textset), textset.size, config.text_clusters)
    occurrences = np.asarray(textset.word_counts[:, 1])
    if occurrences.any():  # else no video of train has keywords, and there is nothing to count
        histogram.fit(textset.vectors, occurrences, seed=config.text_seed)
    return TextEncoder(RawText(textset.words, textset.cleaning), histogram, package.model)


def features_of(encoder: TextEncoder, textset: TextSet) -> extension.Make:
    """What answers for the features of rows of a split."""
    words = Words(textset, FIELDS)

    def make(split: str, rows: np.ndarray) -> extension.Made:
        batch = Batch(ids=[""] * len(rows))
        words.add(batch, split, rows)
        present = encoder.present(batch.tokens)
        return {
            name: (values.numpy(), present[name].numpy()) for name, values in encoder.features(batch.tokens).items()
        }

    return make


def log_features(run: Run, store: Store, encoder: TextEncoder) -> None:
    """Logs where the features lie and how many videos have each."""
    counts = {
        f"videos/{split}/{name}": float(store.counts(split).features[name])
        for split in store.splits
        for name in encoder.sizes
    }
    run.report(counts)
    run.json("manifest.json", store.manifest)
    run.tags({"mmvid.data.digest": store.digest, "mmvid.data.store": str(store.folder)})


if __name__ == "__main__":
    run_command(main)
