"""A model over a split: predictions, and the metrics of all its videos and of groups of them."""

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmvid.classifiers import Classifier
from mmvid.metrics.ranked import best_classes
from mmvid.metrics.ranking import summary_of
from mmvid.predictions import KEPT, Predictions
from mmvid.records.batches import Batch


def predict(
    model: Classifier,
    batches: Iterable[Batch],
    *,
    classes: int,
    key: str,
    kept: int = KEPT,
    progress: str = "",
    watch: Callable[[Tensor, Batch], None] = lambda scores, batch: None,
) -> Predictions:
    """Scores every video and keeps the `kept` best classes of each.

    Of rated segments, classes that nobody rated a segment for have the score 0, as the starter code evaluates them.

    Args:
        model: a classifier; it is put into evaluation mode.
        batches: the videos in order; all with labels, or none.
        classes: C.
        key: the key of the run that trained the model.
        kept: classes to keep for each video, at most C.
        progress: what a progress bar is headed with; none shows no bar.
        watch: is shown each batch and all its scores, (B, C), those of unrated classes too.
    """
    ids: list[str] = []
    kept_classes, kept_scores, labels, counts = [], [], [], []
    device = next(itertools.chain(model.parameters(), model.buffers())).device  # counts are buffers
    model.eval()
    bar = tqdm(batches, desc=progress, unit="batch", disable=not (progress and sys.stderr.isatty()))
    with torch.inference_mode():
        for batch in bar:
            scores = model(batch.to(device)).float().cpu()
            watch(scores, batch)
            values, best = best_classes(batch.weigh(scores), min(kept, classes))
            ids.extend(batch.ids)
            kept_scores.append(values.numpy())
            kept_classes.append(best.numpy().astype(np.int32))
            if batch.labels is not None:
                labels.append(batch.labels.nonzero()[:, 1].numpy().astype(np.int32))
                counts.append(batch.labels.sum(dim=1).numpy())
    if not ids:
        raise ValueError("there must be at least one video to score, got none")
    return Predictions(
        ids=ids,
        classes=np.concatenate(kept_classes),
        scores=np.concatenate(kept_scores),
        labels=np.concatenate(labels) if labels else None,
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(counts))]) if labels else None,
        num_classes=classes,
        key=key,
    )


def score(
    predictions: Predictions, groups: Mapping[str, np.ndarray] | None = None, commonest: int | None = None
) -> dict[str, float]:
    """GAP, mAP, Hit@1 and PERR of all videos, and of each group of them under `<group>/<metric>`.

    Args:
        predictions: labelled predictions.
        groups: name -> bool (N,), such as `with_text`; a group without videos is left out.
        commonest: the label that most videos have. A scorer that gives it to all of them looks good, so GAP is taken
            once more without it, of all videos and of each group, as `without_commonest/gap` and
            `without_commonest/<group>/gap`.
    """
    metrics = summary_of(predictions.ranked())
    for name, rows in (groups or {}).items():
        if rows.any():
            part = summary_of(predictions.select(rows).ranked())
            metrics |= {f"{name}/{metric}": value for metric, value in part.items()}
            metrics[f"{name}/videos"] = float(rows.sum())
    if commonest is not None:
        found = score(predictions.without(commonest), groups)
        metrics |= {f"without_commonest/{name}": value for name, value in found.items() if name.split("/")[-1] == "gap"}
    return metrics
