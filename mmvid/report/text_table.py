"""Table 6 of paper A: what titles and keywords alone tell, each row on the videos whose text it reads.

Beside each GAP stands that of a scorer that knows no video: it gives every one of the row's videos how often each label
was seen on those that the row was trained on. GAP pools the scores of all videos, and where a few labels stand on most
of them such a scorer looks good; what a row knows is the difference.
"""

import dataclasses

import numpy as np

from mmvid.metrics.bootstrap import Interval, bootstrap, interval, ranking_measures
from mmvid.predictions import KEPT, Predictions
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.records.words import Words
from mmvid.report.table import markdown

PAPER = {
    "TextCNN A": 53.50,
    "TextCNN B": 41.00,
    "Keywords A": 46.20,
    "Keywords B": 38.90,
    "Unigram": 22.60,
    "Keywords + title, MoE": 65.40,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        name: as in `PAPER`.
        reads: what it reads, in words.
        learnt: videos of train with a known word in what it reads.
        cut: of them, those with more words than it reads; None where it reads all.
        videos: such videos of validate; the row's numbers are of these.
        gap: its GAP in percent there, and between which bounds it lies.
        prior: GAP in percent there of the labels' shares among the learnt videos.
        rest: GAP in percent, and the prior's, where a label is left out.
        run: its run.
    """

    name: str
    reads: str
    learnt: int
    cut: int | None
    videos: int
    gap: Interval
    prior: float
    rest: tuple[float, float] | None
    run: str


def measure(
    name: str,
    reads: str,
    predictions: Predictions,
    store: Store,
    words: Words,
    *,
    run: str,
    draws: int,
    without: int | None = None,
) -> Row:
    """Measures a model on the videos of validate with a word that it reads.

    Args:
        name: the row's name.
        reads: what it reads, in words.
        predictions: of all videos of validate.
        store: the data set.
        words: what the model reads.
        run: the model's run.
        draws: bootstrap draws of videos, for an interval of 95 %.
        without: a label that is left out for a second number.

    Raises:
        ValueError: if no video of train or of validate has such a word.
    """
    learnt = Loader(store, "train", 4096, modalities=[], words=words, only_with_words=True)
    known = words.known("validate")
    if not learnt.count or not known.any():
        have = f"{learnt.count} videos of train and {known.sum()} of validate"
        raise ValueError(f"{store.name} must have videos with known words in {' and '.join(words.fields)}, got {have}")
    shares = np.sum([batch.labels.sum(dim=0).numpy() for batch in learnt], axis=0) / learnt.count
    found = predictions.select(known)
    prior = _constant(found, shares)
    rest = None
    if without is not None:
        kept = np.arange(found.num_classes) != without
        rest = tuple(100 * _gap(each, kept)(np.ones(len(each), int)) for each in (found, prior))
    ones, gap = np.ones(len(found), int), _gap(found)
    drawn = bootstrap({"gap": gap}, len(found), draws, seed=0)["gap"]
    return Row(
        name=name,
        reads=reads,
        learnt=learnt.count,
        cut=sum(words.cut("train").values()) if words.longest else None,
        videos=len(found),
        gap=interval(100 * gap(ones), 100 * drawn, 0.95),
        prior=100 * _gap(prior)(ones),
        rest=rest,
        run=run,
    )


def as_markdown(rows: list[Row], left_out: dict[str, str], *, title: str, without: str = "") -> str:
    """The table.

    Args:
        rows: the rows.
        left_out: rows that could not be had -> why.
        title: the data set.
        without: name of the label that was left out for the second number.
    """
    header = ["row", "reads", "GAP %", "95 % interval", "prior %", "videos", "trained on", "paper's GAP %", "run"]
    cells = [
        [
            row.name,
            row.reads + (f" ({row.cut} cut)" if row.cut is not None else ""),
            f"{row.gap.value:.2f}",
            f"{row.gap.low:.2f} to {row.gap.high:.2f}",
            f"{row.prior:.2f}",
            row.videos,
            row.learnt,
            f"{PAPER[row.name]:.2f}",
            row.run,
        ]
        for row in rows
    ]
    if without:
        header.insert(5, f"GAP % (prior's) without {without}")
        for line, row in zip(cells, rows, strict=True):
            line.insert(5, f"{row.rest[0]:.2f} ({row.rest[1]:.2f})")
    text = f"# Table 6 (titles and keywords alone): {title}\n\n{markdown(header, cells)}\n"
    text += (
        "Each row is measured on the videos of validate with a known word in what it reads, so the rows have different "
        "videos; the interval is of bootstrap draws of these. A keeps the words of a video's own labels in its text, B "
        "removes them. Cut: training videos with more words than are read. Prior: the labels' shares among the videos "
        "that the row was trained on, as the scores of every video.\n\n"
        "The paper's numbers are its own, on YouTube-8M-Text (4716 labels, about 3 million training videos), and not "
        "comparable with another data set's.\n"
    )
    return text + "".join(f"\nLeft out: {name}, {reason}.\n" for name, reason in left_out.items())


def _constant(predictions: Predictions, shares: np.ndarray) -> Predictions:
    """The same scores, (C,), for every video."""
    best = np.argsort(-shares, kind="stable")[:KEPT].astype(np.int32)
    scores = shares[best].astype(np.float32)
    count = len(predictions)
    return dataclasses.replace(predictions, classes=np.tile(best, (count, 1)), scores=np.tile(scores, (count, 1)))


def _gap(predictions: Predictions, classes: np.ndarray | None = None):
    labels = np.repeat(np.arange(len(predictions)), np.diff(predictions.offsets)), predictions.labels.astype(np.int64)
    videos = np.arange(len(predictions))
    return ranking_measures(predictions.ranked(), labels, videos, classes=classes)["gap"]
