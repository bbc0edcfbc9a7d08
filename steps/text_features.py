"""Make the text features of a data set: a histogram of the words in keywords, and what a TextCNN says of titles.

    mlflow run . -e text_features -P data=/data/yt8m -P schema=youtube8m -P vectors=/data/GoogleNews.bin.gz
    python -m steps.text_features --text_sizes small

Reads  the data set at --data, its text set and TextCNNs of its titles; what is not there yet is made.
Logs   encoder/* (words, codebook and TextCNN, as a served model needs them), manifest.json; writes a store beside the
       data set's that has all of its columns and `keywords` and `title` as two modalities more.

A TextCNN that was trained on the titles of `train` knows them by heart, so a classifier that is trained on what it says
of these same titles believes it too much. So `train` is divided into `text_folds` folds by the videos' ids, a network
is trained without each, and a video of `train` gets the feature of the one that has not seen it; all other splits, and
requests to a served model, get that of a network trained on all of `train`. Activations of several networks do not
mean the same things, scores of labels do: these are the feature of a title then (C + 1 numbers, see `text_encoder`).
The paper's feature, the activations of one network (4096 numbers), in-sample on `train`, is `text_folds=0`. On the
demo's dev (made data) scores were better than log-odds, and than in-sample activations. Where no video of train has a
title there is no TextCNN, and only `keywords` is made.

What is reported on `gate` and `validate` is not touched either way: neither split trains anything. `dev` chooses the
epochs of the TextCNNs and those of the classifier that reads them.
"""

import dataclasses
import shutil
from typing import Literal

import numpy as np
from pydantic import model_validator
from safetensors.torch import load_file, save_file

from mmvid import classifiers, experiment, serving
from mmvid.classifiers import textcnn
from mmvid.classifiers.keywords import WordHistogram
from mmvid.config import Options, deciding, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.records import extension
from mmvid.records.batches import Batch
from mmvid.records.segments import video_of
from mmvid.records.splits import hash64
from mmvid.records.store import Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.records.words import Words
from mmvid.runs import Command, Finished, Run, RunConfig, Task, home
from mmvid.setups import Setup, training_options
from mmvid.text.raw import RawText
from mmvid.text_encoder import TextEncoder
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.train import find_or_train

ENCODER = "encoder"
WEIGHTS = "weights.safetensors"
SMALL = {"widths": (1, 2, 3), "filters": 128, "hidden": 512}


class FeaturesConfig(Options):
    """Features of titles and keywords."""

    text_sizes: Literal["small", "paper"] = option(
        "paper", "the TextCNN of titles: the paper's (4096-d), or a small one (512-d) for thousands of videos"
    )
    text_folds: int = option(
        3, "networks that each leave a share of train out, for its features; 0: the paper's in-sample activations", ge=0
    )
    text_clusters: int = option(1024, "clusters of the keywords' words, the size of their histogram", ge=1)
    text_batch: int = option(64, "videos in a batch of the TextCNN's training", ge=1)
    text_seed: int = option(0, "seed of the TextCNN and of the clusters", ge=0)

    @model_validator(mode="after")
    def _check(self) -> "FeaturesConfig":
        if self.text_folds == 1:
            raise ValueError("text_folds must be 0 or at least 2, got 1: nothing would be left to learn from")
        return self


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
    setup, trained, unseen = titles_setup(config), None, []
    if textset.known("train", "title").any():  # else there are only keywords
        trained = find_or_train(command, setup, store, textset)
        unseen = [find_or_train_fold(command, setup, store, textset, fold, config) for fold in range(config.text_folds)]
    networks = ({} if trained is None else {"textcnn": trained}) | {
        f"fold/{number}": finished for number, finished in enumerate(unseen)
    }
    task = Task(
        entry="text_features",
        options=deciding(config),
        inputs={"data": store.digest, "text": textset.digest}
        | {name: finished.tags["mmvid.key"] for name, finished in networks.items()},
        modules=("mmvid.records.extension", "mmvid.text_encoder"),
        name=f"text features of {store.title}",
    )
    place = home() / "features" / f"{store.folder.name}-{task.key[:12]}"

    def compute(run: Run) -> None:
        ids = {name: finished.id for name, finished in networks.items()}
        run.params({"data": str(store.folder)} | ids)
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="text")
        encoder = make_encoder(textset, trained, config)
        blind = [read_network(finished, setup, store, textset) for finished in unseen]
        make = features_of(encoder, store, textset, blind)
        made = {"text": textset.digest} | ids
        extended = extension.extend(store, place, encoder.sizes, make, request=task.key, made=made)
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


def titles_setup(config: FeaturesConfig) -> Setup:
    """The TextCNN whose activations are the feature of a title."""
    member = classifiers.load("textcnn")
    model = member.Config(**(SMALL if config.text_sizes == "small" else {}))
    train = training_options(member)(batch_size=config.text_batch, seed=config.text_seed)
    return Setup("textcnn", model, train)


def find_or_train_fold(
    command: Command, setup: Setup, store: Store, textset: TextSet, fold: int, config: FeaturesConfig
) -> Finished:
    """The finished run of a TextCNN that has not seen one fold of train, trained now if there is none."""
    whole = setup.task(store, textset)
    told = {"fold": fold, "folds": config.text_folds}
    name = f"{setup.name} of titles without fold {fold + 1} of {config.text_folds}"
    task = dataclasses.replace(whole, entry="text_fold", options=whole.options | told, name=name)
    checkpoints = home() / "checkpoints" / task.key

    def compute(run: Run) -> None:
        run.json("config.json", setup.describe() | told)
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="train")
        among = folds_of(store, config.text_folds) != fold
        network, fitted = experiment.train(
            setup, store, textset, among=among, report=run.report, checkpoints=checkpoints
        )
        run.report({"best_epoch": float(fitted.best_epoch)})
        with run.file(WEIGHTS) as path:
            save_file({name: tensor.contiguous() for name, tensor in network.cpu().state_dict().items()}, path)
        shutil.rmtree(checkpoints, ignore_errors=True)

    return command.find_or_run(task, compute)


def read_network(finished: Finished, setup: Setup, store: Store, textset: TextSet) -> textcnn.Model:
    """The network that `find_or_train_fold` trained."""
    network = textcnn.Model(setup.model, experiment.shapes_of(store, textset))
    network.load_state_dict(load_file(finished.fetch(WEIGHTS)))
    return network.eval()


def folds_of(store: Store, folds: int) -> np.ndarray:
    """The fold of each row of train, 0 to `folds` - 1, int64 (N,): a hash of its video's id.

    Segments of a video have its text, so they lie in one fold.
    """
    column = store.table("train").column("id")
    ids = (id.as_py() for id in column)
    if store.schema.segments is not None:
        ids = map(video_of, ids)
    return np.fromiter((hash64(id, "text fold") % folds for id in ids), np.int64, len(column))


def make_encoder(textset: TextSet, trained: Finished | None, config: FeaturesConfig) -> TextEncoder:
    """The encoder of a text set from a trained TextCNN and the codebook of the words in the keywords of train."""
    network = None if trained is None else serving.load_logged(trained.tags["mmvid.model"]).model
    histogram = WordHistogram(len(textset), textset.size, config.text_clusters)
    occurrences = np.asarray(textset.word_counts[:, 1])
    if occurrences.any():  # else no video of train has keywords, and there is nothing to count
        histogram.fit(textset.vectors, occurrences, seed=config.text_seed)
    title = "scores" if config.text_folds else "activations"
    return TextEncoder(RawText(textset.words, textset.cleaning), histogram, network, title)


def features_of(encoder: TextEncoder, store: Store, textset: TextSet, networks: list[textcnn.Model]) -> extension.Make:
    """What answers for the features of rows of a split; `networks` have each not seen a fold of train."""
    words = Words(textset, FIELDS)
    fold_of = folds_of(store, len(networks)) if networks else None

    def make(split: str, rows: np.ndarray) -> extension.Made:
        batch = Batch(ids=[""] * len(rows))
        words.add(batch, split, rows)
        present = encoder.present(batch.tokens)
        made = {name: values.numpy() for name, values in encoder.features(batch.tokens).items()}
        if split == "train":
            for fold, network in enumerate(networks):
                own = np.flatnonzero(fold_of[rows] == fold)
                part = {field: tokens[own] for field, tokens in batch.tokens.items()}
                made["title"][own] = encoder.of_titles(part, network).numpy()
        return {name: (values, present[name].numpy()) for name, values in made.items()}

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
