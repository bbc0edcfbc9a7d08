"""Members' predictions, joined by id and blended, a block of videos at a time.

Predictions hold the best classes of a video. A pair of video and class that one member kept and another did not is
scored again by that other member, so what is blended is exact on the union of what the members kept. No more than a
block of (members, BLOCK, C) scores is ever dense.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmvid.blends import Pairs
from mmvid.ensemble.model import Ensemble, halves_of
from mmvid.metrics.ranked import best_classes
from mmvid.permutation import Permutation
from mmvid.predictions import KEPT, Predictions

BLOCK = 256  # videos that are dense at once: of 6 members and 4716 classes 29 MB, and some times that on the way

Rescore = Callable[[np.ndarray], Tensor]
"""Row numbers of a split, (B,) -> a member's scores of all classes, (B, C)."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A member's predictions of a split.

    Attributes:
        name: what errors call it, such as its run.
        predictions: of all videos of the split, in any order.
        rescore: scores videos again, by their rows in the split.
    """

    name: str
    predictions: Predictions
    rescore: Rescore


@dataclasses.dataclass(frozen=True)
class Block:
    """What the members say of B videos.

    Attributes:
        rows: the videos' rows in the split, int64 (B,).
        scores: of the members, float32 (M, B, C); right where `considered`.
        ranks: see `model.ranks_of`, int16 (M, B, C).
        considered: pairs that some member has among its best, bool (B, C).
        missing: those of them that some member did not keep, and has scored again, bool (M, B, C).
    """

    rows: np.ndarray
    scores: Tensor
    ranks: Tensor
    considered: Tensor
    missing: Tensor


class Joined:
    """The videos of a split with the predictions of all members."""

    def __init__(self, ids: Sequence[str], members: Sequence[Member]):
        """
        Args:
            ids: the videos of the split, in order.
            members: each with predictions of exactly these.

        Raises:
            ValueError: if a member lacks a video, has one twice or one too many, or has another number of classes.
        """
        self.ids, self.members = list(ids), list(members)
        self.classes = members[0].predictions.num_classes
        for member in members:
            if member.predictions.num_classes != self.classes:
                counts = f"{self.classes} and {member.predictions.num_classes}"
                raise ValueError(f"members must have one vocabulary, {members[0].name} and {member.name} have {counts}")
        self.rows = [_rows(self.ids, member) for member in members]

    def __len__(self) -> int:
        return len(self.ids)

    def block(self, rows: np.ndarray, top: int) -> Block:
        """What the members say of some videos; see `Block`. `top` is as in `Blend`."""
        parts = [self._kept(number, rows) for number in range(len(self.members))]
        scores, ranks = (torch.stack(each) for each in zip(*parts, strict=True))
        considered = (ranks <= (top or KEPT)).any(dim=0)
        missing = considered & scores.isnan()
        for number, member in enumerate(self.members):
            again = missing[number].any(dim=1).nonzero()[:, 0]
            if len(again):
                found = member.rescore(rows[again.numpy()])
                scores[number, again] = torch.where(missing[number, again], found, scores[number, again])
        return Block(rows, scores, ranks, considered, missing)

    def _kept(self, number: int, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """The scores that a member kept, NaN elsewhere, and the ranks, (B, C) each."""
        predictions, own = self.members[number].predictions, self.rows[number][rows]
        classes = torch.from_numpy(predictions.classes[own].astype(np.int64))
        scores = torch.full((len(rows), self.classes), float("nan"))
        scores.scatter_(1, classes, torch.from_numpy(predictions.scores[own]))
        places = torch.arange(1, classes.shape[1] + 1, dtype=torch.int16).expand(classes.shape)
        ranks = torch.full((len(rows), self.classes), KEPT + 1, dtype=torch.int16).scatter_(1, classes, places)
        return scores, ranks


@dataclasses.dataclass(frozen=True)
class Blended:
    """Members' predictions as an ensemble's.

    Attributes:
        predictions: exact on the union of what the members kept.
        cut: the same if a pair that a member did not keep had the score 0 there.
        rescored: pairs that were scored again, and pairs in all, of all members.
    """

    predictions: Predictions
    cut: Predictions
    rescored: tuple[int, int]


def blend(
    joined: Joined,
    ensemble: Ensemble,
    *,
    key: str,
    labels: tuple[np.ndarray, np.ndarray] | None,
    fitted: bool,
    progress: str = "",
) -> Blended:
    """Blends predictions.

    Args:
        joined: the members' predictions.
        ensemble: what blends them.
        key: the key of the run.
        labels: of all videos, as `Store.labels_of` gives them; None where there are none.
        fitted: whether the videos are those of gate, which the blends are fitted on.
        progress: what a progress bar is headed with; none shows no bar.
    """
    kept = min(KEPT, joined.classes)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"whole": [], "cut": []}
    again = pairs = 0
    for rows in _shown(np.arange(len(joined)), progress):
        block = joined.block(rows, ensemble.top)
        halves = halves_of([joined.ids[row] for row in rows]) if fitted else None
        whole = ensemble.of_some(block.scores, block.ranks, block.considered, halves)
        lacking = block.missing.any(dim=0)
        cut = torch.where(lacking, 0, whole)
        if lacking.any():
            zeros = torch.where(block.missing, 0, block.scores)
            cut += ensemble.of_some(zeros, block.ranks, lacking, halves)
        for name, scores in (("whole", whole), ("cut", cut)):
            values, best = best_classes(scores, kept)
            parts[name].append((values.numpy(), best.numpy().astype(np.int32)))
        again += int(block.missing.sum())
        pairs += int(block.considered.sum()) * len(joined.members)
    whole, cut = (
        Predictions(
            ids=joined.ids,
            classes=np.concatenate([classes for _, classes in found]),
            scores=np.concatenate([scores for scores, _ in found]),
            labels=None if labels is None else labels[0],
            offsets=None if labels is None else labels[1],
            num_classes=joined.classes,
            key=key,
        )
        for found in parts.values()
    )
    return Blended(whole, cut, (again, pairs))


def taught_pairs(
    joined: Joined, labels: tuple[np.ndarray, np.ndarray], *, top: int, most: int, seed: int, progress: str = ""
) -> tuple[Pairs, Tensor]:
    """Labelled pairs to fit a blend on: those of whole videos, drawn until there are `most` or no video is left.

    Args:
        joined: predictions of gate.
        labels: of all videos, as `Store.labels_of` gives them.
        top: pairs that a member has among its `top` best.
        most: pairs.
        seed: of the draw.
        progress: what a progress bar is headed with; none shows no bar.

    Returns:
        The pairs, and the half of gate that each is of, int64 (P,).
    """
    found: list[Pairs] = []
    halves: list[Tensor] = []
    order = Permutation(len(joined), seed, 0)(np.arange(len(joined)))
    for rows in _shown(order, progress):
        block = joined.block(np.sort(rows), top)
        place, classes = block.considered.nonzero(as_tuple=True)
        truth = torch.zeros(block.considered.shape, dtype=torch.bool)
        for number, row in enumerate(block.rows):
            truth[number, labels[0][labels[1][row] : labels[1][row + 1]].astype(np.int64)] = True
        picked = block.scores[:, place, classes], block.ranks[:, place, classes].float()
        found.append(Pairs(*picked, truth[place, classes]))
        halves.append(halves_of([joined.ids[row] for row in block.rows])[place])
        if sum(len(each) for each in halves) >= most:
            break
    scores, ranks, hits = (torch.cat(parts, dim=-1) for parts in zip(*found, strict=True))
    return Pairs(scores, ranks, hits), torch.cat(halves)


def _shown(rows: np.ndarray, progress: str) -> Iterator[np.ndarray]:
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    return iter(tqdm(blocks, desc=progress, unit="block", disable=not (progress and sys.stderr.isatty())))


def _rows(ids: list[str], member: Member) -> np.ndarray:
    """The row of each id in a member's predictions, int64 (N,)."""
    own = member.predictions.ids
    places = {video: row for row, video in enumerate(own)}
    if len(places) < len(own):
        seen: set[str] = set()
        twice = next(video for video in own if video in seen or seen.add(video))
        raise ValueError(f"{member.name} must have each video once, {twice!r} is there twice")
    lacking = next((video for video in ids if video not in places), None)
    if lacking is not None:
        raise ValueError(f"{member.name} must have predictions of all videos, {lacking!r} is not there")
    if len(own) > len(ids):
        known = set(ids)
        other = next(video for video in own if video not in known)
        raise ValueError(f"{member.name} must have predictions of the data set's videos only, it has {other!r}")
    return np.fromiter((places[video] for video in ids), np.int64, len(ids))
