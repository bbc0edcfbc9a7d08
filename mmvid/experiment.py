"""One experiment: data -> fit -> predict -> score. The only training sequence; steps, searches and tables call it."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmvid import classifiers, evaluation
from mmvid.ensemble.model import Ensemble, MemberLoader, MemberWords
from mmvid.layers.text import FIELDS
from mmvid.metrics import ranking
from mmvid.metrics.segments import SegmentMeter
from mmvid.packaging import Package
from mmvid.predictions import Predictions
from mmvid.records.batches import Batch, Shapes
from mmvid.records.loader import Loader, Relabel
from mmvid.records.store import Store
from mmvid.records.streaming.split import SplitStream
from mmvid.records.textset import TextSet
from mmvid.records.vocabulary import stated
from mmvid.records.words import NO_WORDS, Words, word_counts
from mmvid.setups import CountConfig, Setup
from mmvid.text_encoder import TextEncoder
from mmvid.training import Fitted, Report, TrainConfig, fit

PREDICT_BATCH = 512  # videos scored at once; the scores do not depend on it


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an experiment came to.

    Attributes:
        package: the trained classifier, with the weights of its best epoch.
        fitted: the history of its training.
        predictions: split -> predictions, of `gate` and `validate`.
        metrics: `validate/gap`, `validate/with_text/gap`, `gate/gap` and so on.
        class_precision: average precision of each class on `validate`, NaN where it has no positives, (C,).
        seconds: stage -> wall seconds.
    """

    package: Package
    fitted: Fitted
    predictions: dict[str, Predictions]
    metrics: dict[str, float]
    class_precision: np.ndarray
    seconds: dict[str, float]

    def summary(self) -> str:
        shown = ", ".join(
            f"{name} {self.metrics[f'validate/{name}']:.4f}" for name in ("gap", "map", "hit_at_1", "perr")
        )
        return f"validate: {shown} (epoch {self.fitted.best_epoch + 1}, {self.seconds['fit']:.1f} s of training)"


def run(
    setup: Setup,
    store: Store,
    *,
    key: str,
    textset: TextSet | None = None,
    encoder: TextEncoder | None = None,
    report: Report = lambda metrics, epoch: None,
    checkpoints: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> Outcome:
    """Trains on `train`, chooses the epoch on `dev`, and scores `gate` and `validate`.

    A classifier that reads text alone is trained, and its epoch chosen, on videos with a word that it knows; whatever
    reads text is scored on all videos and, as `with_known_word` and `without_known_word`, on these and the others.

    Args:
        setup: what to train and how.
        store: the data set.
        key: the key of the run, which its predictions and its package carry.
        textset: the words of its titles and keywords, for a classifier that reads text.
        encoder: what made the data set's features of titles and keywords; a classifier that reads these keeps it.
        report: hears of each epoch.
        checkpoints: where training keeps its state, to go on after a kill.
        callbacks: further Lightning callbacks.
        progress: whether to show progress bars.

    Raises:
        ValueError: if a split that is needed has no videos, or videos without labels.
    """
    started = time.monotonic()
    check_splits(store, ("train", "dev", "gate", "validate"))
    model, fitted = train(
        setup, store, textset, report=report, checkpoints=checkpoints, callbacks=callbacks, progress=progress
    )
    words = words_of(model, textset)
    commonest = commonest_label(store)
    learned = batches(store, "train", model, setup.train.batch_size, words=words, learn=True, train=setup.train)
    counted = {"train/videos": float(learned.count)}
    if commonest is not None:
        counted["train/commonest_label"] = float(commonest)
    if model.reads_text:
        counted |= {f"train/{field}/cut": float(count) for field, count in words.cut("train").items()}
    seconds = {"fit": time.monotonic() - started}
    started = time.monotonic()
    predictions, metrics = {}, counted
    for split in ("gate", "validate"):
        predictions[split], found = predict_split(model, store, split, key=key, words=words, progress=progress)
        metrics |= {f"{split}/{name}": value for name, value in found.items()}
    precision = ranking.class_average_precision_of(predictions["validate"].ranked())
    seconds["predict"] = time.monotonic() - started
    package = Package(
        setup.name,
        setup.model,
        shapes_of(store, textset),
        store.schema,
        store.names,
        key,
        model.cpu().eval(),
        words=textset.words if model.reads_text else [],
        cleaning=textset.cleaning if model.reads_text else None,
        encoder=encoder if encoder is not None and set(model.modalities) & set(encoder.sizes) else None,
    )
    return Outcome(package, fitted, predictions, metrics, precision.numpy(), seconds)


def check_splits(store: Store, splits: tuple[str, ...]) -> None:
    """Raises ValueError if a split has no videos, or videos without labels."""
    for split in splits:
        counts = store.counts(split)
        if counts.videos == 0:
            raise ValueError(f"{store.name} must have videos in {split}, it has none")
        if counts.labelled < counts.videos:
            have = f"{counts.labelled} of {counts.videos} have"
            raise ValueError(f"{store.name} must have labels for every video of {split}, {have} (an empty list counts)")


def train(
    setup: Setup,
    store: Store,
    textset: TextSet | None = None,
    *,
    among: np.ndarray | None = None,
    report: Report = lambda metrics, epoch: None,
    checkpoints: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> tuple[classifiers.Classifier, Fitted]:
    """Trains on `train` and chooses the epoch on `dev`; reads no other split. The arguments are those of `run`, and
    `among`, bool (N,), which videos of train it may learn from.

    Raises:
        ValueError: if a classifier that reads words would learn from no video, or is to read none of its labels' and
            the labels have no names.
    """
    torch.manual_seed(setup.seed)
    shapes = shapes_of(store, textset)
    model = classifiers.load(setup.name).Model(setup.model, shapes)
    words = words_of(model, textset)
    if model.reads_text:
        if model.label_words == "removed" and not any(stated(store.names)):
            raise ValueError(
                f"label_words=removed needs the names of the labels, {store.title} has none; "
                "ingest with vocabulary=<CSV of id,name>"
            )
        model.prepare(textset.vectors, word_counts(words))
    train = batches(
        store,
        "train",
        model,
        setup.train.batch_size,
        words=words,
        learn=True,
        among=among,
        seed=setup.seed,
        train=setup.train,
        relabel=None if setup.teacher is None else setup.teacher.relabel(store),
    )
    dev = batches(store, "dev", model, PREDICT_BATCH, words=words, learn=True)
    for split, loader in (("train", train), ("dev", dev)):
        if loader.count == 0:
            read = model.reads_text or model.modalities
            raise ValueError(f"{store.name} has no video in {split} with a known word in {', '.join(read)}")
    if isinstance(setup.train, CountConfig):
        return model, count(model, train, dev, classes=shapes.classes, report=report)
    fitted = fit(
        model,
        train,
        dev,
        setup.train,
        checkpoints=checkpoints,
        report=report,
        callbacks=callbacks,
        progress=progress,
    )
    return model, fitted


def shapes_of(store: Store, textset: TextSet | None) -> Shapes:
    """The sizes that a classifier is built for."""
    if textset is None:
        return store.shapes
    return store.shapes.model_copy(update={"words": len(textset), "word_size": textset.size})


def count(model: classifiers.Classifier, train: Loader, dev: Loader, *, classes: int, report: Report) -> Fitted:
    """Fits a classifier that counts, in one pass, and scores it on `dev`."""
    model.fit_counts(train)
    found = evaluation.score(evaluation.predict(model, dev, classes=classes, key=""))
    history = {f"dev/{name}": value for name, value in found.items()}
    report(history, 0)
    return Fitted([history], best_epoch=0)


def words_of(model: classifiers.Classifier, textset: TextSet | None, numbers: np.ndarray | None = None) -> Words:
    """The words that a classifier reads; `numbers` are its own for those of the text set, see `Words`."""
    if not model.reads_text:
        return NO_WORDS
    return Words(textset, model.reads_text, model.label_words, model.longest, numbers)


def batches(
    store: Store,
    split: str,
    model: classifiers.Classifier | Ensemble,
    size: int,
    *,
    words: Words = NO_WORDS,
    learn: bool = False,
    among: np.ndarray | None = None,
    seed: int = 0,
    train: TrainConfig | CountConfig | None = None,
    relabel: Relabel | None = None,
) -> Loader | SplitStream | MemberLoader:
    """The batches of a split with what a classifier reads; they are streamed where the store has not its features.

    Args:
        store: the data set.
        split: its split.
        model: the classifier; or an ensemble, whose batches hold one for each member.
        size: videos in a batch.
        words: the words that the classifier reads; of an ensemble `MemberWords`.
        learn: whether it learns from them: of one that reads text alone only videos that have some, and those of
            train in an order that is drawn anew each epoch.
        among: which videos of the split may be read, bool (N,); None for all.
        seed: of that order.
        train: how it is trained, for the processes and the buffer of a stream.
        relabel: makes other targets of the labels.
    """
    if isinstance(model, Ensemble):
        own = words.members if isinstance(words, MemberWords) else [NO_WORDS] * len(model.members)
        pairs = zip(model.members, own, strict=True)
        return MemberLoader([batches(store, split, member, size, words=each) for member, each in pairs])
    what = dict(modalities=model.modalities, frames=model.reads_frames, seed=seed, words=words)
    what["only_with_words"] = learn and bool(model.reads_text)
    if store.streamed(split) and set(model.modalities) & store.schema.features.keys():
        if among is not None:
            raise ValueError(f"{split} of {store.name} is streamed, where videos cannot be chosen; ingest it")
        if relabel is not None:
            raise ValueError(f"{split} of {store.name} is streamed, where no teacher can be followed; ingest it")
        options = train if isinstance(train, TrainConfig) else TrainConfig()
        # Models that read frames read their means from nowhere.
        return SplitStream(store, split, size, means=False, buffer=options.buffer, workers=options.readers, **what)
    if learn and model.modalities and set(model.modalities) <= set(FIELDS):
        known = known_text(model, store, split, words)
        among = known if among is None else among & known
    shuffle = learn and split == "train" and "fitted_by_counts" not in model.traits
    return Loader(store, split, size, shuffle=shuffle, among=among, relabel=relabel, **what)


def predict_split(
    model: classifiers.Classifier | Ensemble,
    store: Store,
    split: str,
    *,
    key: str,
    words: Words = NO_WORDS,
    progress: bool = True,
    watch: Callable[[Tensor, Batch], None] = lambda scores, batch: None,
) -> tuple[Predictions, dict[str, float]]:
    """Predictions of a split and their metrics: over all videos, with text, without text; of a classifier that reads
    words, or features of them, also with a word that it knows, and without. GAP of each also as if there were not the
    commonest label of train.

    Of rated segments also `segment_map`, from the scores of all classes, which the predictions do not keep; `watch` is
    shown each batch with these scores.
    """
    meter = SegmentMeter(segments=store.count(split))

    def see(scores: Tensor, batch: Batch) -> None:
        watch(scores, batch)
        if batch.weights is not None:
            meter.update(scores, batch.labels, batch.weights)

    predictions = evaluation.predict(
        model,
        batches(store, split, model, PREDICT_BATCH, words=words),
        classes=store.shapes.classes,
        key=key,
        progress=split if progress else "",
        watch=see,
    )
    groups = store.text_groups(split)
    if (known := known_text(model, store, split, words)) is not None:
        groups |= {"with_known_word": known, "without_known_word": ~known}
    metrics = evaluation.score(predictions, groups, commonest_label(store))
    return predictions, metrics | ({"segment_map": meter.compute()} if meter.seen else {})


def known_text(model: classifiers.Classifier | Ensemble, store: Store, split: str, words: Words) -> np.ndarray | None:
    """Which videos of a split have a word that a classifier knows, by itself or by its features, bool (N,).

    None of a classifier that reads no text.
    """
    if words.fields:
        return words.known(split)
    if isinstance(model, Ensemble):
        found = [known_text(member, store, split, NO_WORDS) for member in model.members]
        found = [known for known in found if known is not None]
    else:
        found = [store.has_feature(split, modality) for modality in model.modalities if modality in FIELDS]
    return np.logical_or.reduce(found) if found else None


def commonest_label(store: Store) -> int | None:
    """The label that most videos of train have; None where that says little: of rated segments, and of two classes."""
    counts = store.label_counts("train")
    says_little = store.schema.segments is not None or len(counts) < 3 or not counts.any()
    return None if says_little else int(counts.argmax())
