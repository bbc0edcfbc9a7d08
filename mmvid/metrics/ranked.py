"""The best-scored classes of each video, all that the ranking metrics look at.

Ties are settled by one rule, so that no machine, batch or sorting algorithm changes a value: inside a video the
higher score comes first, and among equal scores the lower class id. (An arg-partition, which the YouTube-8M starter
code uses, promises nothing there, and its choice differs between processors.)

N videos, C classes, K ranks kept of each video.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_BLOCK_SCORES = 1 << 22  # scores looked at at once: 16 MiB as float32


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The K best classes of N videos, best first, and the counts of true labels.

    Attributes:
        classes: class ids, integers (N, K).
        scores: their scores, floats (N, K), descending in each row.
        hits: whether each class is a label of the video, bool (N, K).
        num_labels: labels of each video, those beyond rank K too, int64 (N,).
        positives: videos that have each class as a label, int64 (C,).

    Raises:
        ValueError: if shapes disagree, N or K is 0, or a row's scores rise or hold NaN.
    """

    classes: Tensor
    scores: Tensor
    hits: Tensor
    num_labels: Tensor
    positives: Tensor

    def __post_init__(self):
        shape = tuple(self.scores.shape)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"ranked scores must have shape (N, K) with N and K at least 1, got {shape}")
        for name, wanted in (("classes", shape), ("hits", shape), ("num_labels", shape[:1])):
            got = tuple(getattr(self, name).shape)
            if got != wanted:
                raise ValueError(f"{name} of {shape[0]} x {shape[1]} ranked scores must have shape {wanted}, got {got}")
        if self.positives.ndim != 1 or len(self.positives) < shape[1]:
            got = tuple(self.positives.shape)
            raise ValueError(f"positives must have shape (C,) with C at least K = {shape[1]}, got {got}")
        falling = (self.scores[:, 1:] <= self.scores[:, :-1]).all(dim=1) & ~self.scores[:, 0].isnan()
        if not falling.all():
            raise ValueError(f"ranked scores must fall from left to right, row {_first(~falling)} does not")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def num_classes(self) -> int:
        return len(self.positives)

    @property
    def num_truncated(self) -> int:
        """Videos with more labels than ranks kept; their PERR is a lower bound (0 such videos: it is exact)."""
        kept = self.scores.shape[1]
        return 0 if kept == self.num_classes else int((self.num_labels > kept).sum())

    def best(self, k: int) -> "Ranked":
        """The same videos cut at rank `k`, or at C where there are fewer classes; a view.

        Raises:
            ValueError: if k is below 1 or the ranking keeps fewer than k classes of a video.
        """
        check_k(k)
        need = min(k, self.num_classes)
        kept = self.scores.shape[1]
        if need > kept:
            raise ValueError(f"k = {k} needs the {need} best classes of each video, the ranking keeps {kept}")
        return dataclasses.replace(
            self, classes=self.classes[:, :need], scores=self.scores[:, :need], hits=self.hits[:, :need]
        )


def rank(scores: Tensor, labels: Tensor, k: int) -> Ranked:
    """Ranks the classes of each video and keeps the best `k` (all C where there are fewer).

    Works through blocks of rows: apart from the result it needs a few tens of MiB, whatever N is.

    Args:
        scores: floats (N, C), any range; half precision is ranked as float32, which holds it exactly.
        labels: bool or 0/1 of any type, (N, C).
        k: ranks to keep. PERR is exact if no video has more labels than that.

    Returns:
        A `Ranked` on the device of `scores`; class ids are int32, scores keep float32 or float64.

    Raises:
        ValueError: if shapes differ, N or C is 0, k is below 1, a score is NaN or a label neither 0 nor 1.
    """
    check(scores, labels)
    check_k(k)
    parts = [_rank_block(scores[rows], labels[rows], k, rows.start) for rows in row_blocks(*scores.shape)]
    if len(parts) == 1:
        return parts[0]
    joined = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in ("classes", "scores", "hits", "num_labels")
    }
    return Ranked(**joined, positives=torch.stack([part.positives for part in parts]).sum(dim=0))


def match(classes: Tensor, scores: Tensor, labels: Tensor, offsets: Tensor, num_classes: int) -> Ranked:
    """Joins stored best classes with the lists of true labels, as an Arrow list column lays them out.

    Args:
        classes: class ids (N, K), best first.
        scores: their scores, floats (N, K), descending.
        labels: the label ids of all videos, one after another, (M,), each once a video.
        offsets: where each video's labels begin, and M at the end, (N + 1,).
        num_classes: C.

    Raises:
        ValueError: if shapes disagree, an id lies outside 0..C-1, or a video has a label twice.
    """
    if tuple(classes.shape) != tuple(scores.shape) or scores.ndim != 2:
        got = f"{tuple(classes.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"classes and scores must have one shape (N, K), got {got}")
    if len(offsets) != len(scores) + 1:
        raise ValueError(f"offsets of {len(scores)} videos must have {len(scores) + 1} values, got {len(offsets)}")
    sizes = offsets.diff()
    if offsets[0] != 0 or offsets[-1] != len(labels) or (sizes < 0).any():
        got = f"{int(offsets[0])} to {int(offsets[-1])}"
        raise ValueError(f"offsets must rise from 0 to {len(labels)}, the number of labels, got {got}")
    for name, ids in (("classes", classes), ("labels", labels)):
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < num_classes:
            got = f"{int(ids.min())} to {int(ids.max())}"
            raise ValueError(f"{name} must be ids from 0 to {num_classes - 1}, got {got}")
    rows = torch.arange(len(scores), device=scores.device)
    truth = (rows.repeat_interleave(sizes) * num_classes + labels.long()).sort().values
    twice = truth[1:] == truth[:-1]
    if twice.any():
        row, label = divmod(int(truth[1:][twice][0]), num_classes)
        raise ValueError(f"labels of row {row} must each be given once, class {label} is there twice")
    guesses = rows[:, None] * num_classes + classes.long()
    return Ranked(
        classes=classes,
        scores=_float(scores),
        hits=torch.isin(guesses, truth),
        num_labels=sizes.long(),
        positives=torch.bincount(labels.long(), minlength=num_classes),
    )


def row_blocks(num_videos: int, num_classes: int) -> Iterator[slice]:
    """Slices of consecutive rows, each small enough to be worked on beside the data."""
    step = max(1, _BLOCK_SCORES // num_classes)
    for start in range(0, num_videos, step):
        yield slice(start, min(start + step, num_videos))


def check(scores: Tensor, labels: Tensor) -> None:
    """Refuses scores and labels whose shapes or types no ranking metric is defined for."""
    if scores.shape != labels.shape or scores.ndim != 2:
        got = f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"scores and labels must have one shape (N, C), got {got}")
    if 0 in scores.shape:
        raise ValueError(f"scores must hold at least one video and one class, got shape {tuple(scores.shape)}")
    if not scores.is_floating_point():
        raise ValueError(f"scores must be floating point, got {scores.dtype}")


def check_k(k: int) -> None:
    """Refuses a number of ranks below 1."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def check_values(scores: Tensor, labels: Tensor, first_row: int = 0) -> Tensor:
    """The labels of a block as bool, on the device of its scores.

    Args:
        scores: (B, C).
        labels: (B, C).
        first_row: the number of the block's first row, for the message.

    Raises:
        ValueError: naming the row, if a score is NaN or a label neither 0 nor 1.
    """
    # A sum without NaN has no NaN among its terms, and costs a quarter of looking at each.
    if scores.sum().isnan() and scores.isnan().any():
        row = first_row + _first(scores.isnan().any(dim=1))
        raise ValueError(f"scores must not be NaN, got NaN in row {row}")
    labels = labels.to(scores.device)
    if labels.dtype == torch.bool:
        return labels
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        got = f"{labels[row, column].item()} in row {first_row + row}, class {column}"
        raise ValueError(f"labels must be 0 or 1, got {got}")
    return labels == 1


def _rank_block(scores: Tensor, labels: Tensor, k: int, first_row: int) -> Ranked:
    labels = check_values(scores, labels, first_row)
    values, classes = best_classes(_float(scores.detach()), k)
    # Labels are few: one pass that finds them gives both counts, and numpy's takes a fifth of torch's time.
    rows, columns = np.divmod(np.flatnonzero(labels.cpu().numpy()), labels.shape[1])
    return Ranked(
        classes=classes.int(),
        scores=values,
        hits=labels.gather(1, classes),
        num_labels=_count(rows, len(scores)).to(scores.device),
        positives=_count(columns, scores.shape[1]).to(scores.device),
    )


def _count(ids: np.ndarray, size: int) -> Tensor:
    return torch.from_numpy(np.bincount(ids, minlength=size))


def best_classes(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and class ids (B, min(k, C)) in the order of the tie rule; topk promises no order among equal scores.

    Args:
        scores: floats (B, C) without NaN.
        k: ranks to keep.
    """
    k = min(k, scores.shape[1])
    # One rank more than asked for shows whether rank k is tied with the first one left out.
    values, classes = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    tied = values[:, 1:] == values[:, :-1]
    values, classes = values[:, :k].clone(), classes[:, :k].clone()
    cut = tied[:, k - 1 :].any(dim=1).nonzero().squeeze(1)  # rows in which topk chose among tied classes
    if len(cut):
        classes[cut] = _lowest_of_tied(scores[cut], values[cut], classes[cut])
    rows = tied.any(dim=1).nonzero().squeeze(1)
    if len(rows):
        ascending = classes[rows].sort(dim=1).values
        values[rows], order = scores[rows[:, None], ascending].sort(dim=1, descending=True, stable=True)
        classes[rows] = ascending.gather(1, order)
    return values, classes


def _lowest_of_tied(scores: Tensor, values: Tensor, classes: Tensor) -> Tensor:
    """Puts the lowest class ids that tie at rank k on the last places; the values (B, k) are certain as they are."""
    last = values[:, -1:]
    room = (values == last).sum(dim=1)
    rows, columns = (scores == last).nonzero(as_tuple=True)  # by row, then by class
    tied = torch.bincount(rows, minlength=len(scores))
    place = torch.arange(len(rows), device=rows.device) - (tied.cumsum(dim=0) - tied)[rows]
    taken = place < room[rows]
    rows, columns, place = rows[taken], columns[taken], place[taken]
    classes[rows, values.shape[1] - room[rows] + place] = columns
    return classes


def _float(scores: Tensor) -> Tensor:
    return scores if scores.dtype in (torch.float32, torch.float64) else scores.float()


def _first(rows: Tensor) -> int:
    return int(rows.nonzero()[0])
