"""Members and blends as one model: a batch for each member in, scores (B, C) out.

A blend that learns is fitted twice, on either half of `gate` (see `half_of`). A video of gate is scored by what the
other half taught, any other video by the mean of both: so `gate` measures ensembles as fairly as single models.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mmvid.blends import Blend, Pairs
from mmvid.classifiers import Classifier
from mmvid.metrics.ranked import best_classes
from mmvid.predictions import KEPT
from mmvid.records.batches import Batch
from mmvid.records.loader import Loader
from mmvid.records.splits import hash64
from mmvid.records.words import Words

FITTED_ON = "gate"
HALVES = 2


@dataclasses.dataclass
class MemberBatches(Batch):
    """The same B videos as each member reads them; ids, labels and weights are those of the videos.

    Attributes:
        members: a batch each.
        halves: the half of gate that each video is in, int64 (B,); None where they are not of gate.
    """

    members: tuple[Batch, ...] = ()
    halves: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "MemberBatches":
        moved = tuple(batch.to(device, non_blocking) for batch in self.members)
        return together(moved, None if self.halves is None else self.halves.to(device))


def together(members: tuple[Batch, ...], halves: Tensor | None) -> MemberBatches:
    """Batches of the same videos as one."""
    first = members[0]
    return MemberBatches(first.ids, labels=first.labels, weights=first.weights, members=members, halves=halves)


@dataclasses.dataclass(frozen=True)
class MemberWords(Words):
    """The words that each member reads; `fields` are those that any of them reads."""

    members: tuple[Words, ...] = ()

    def known(self, split: str) -> np.ndarray:
        return np.logical_or.reduce([words.known(split) for words in self.members if words.fields])


class MemberLoader:
    """The batches of several loaders of one split, side by side."""

    def __init__(self, loaders: Sequence[Loader]):
        self.loaders = loaders
        self.count = loaders[0].count

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[MemberBatches]:
        fitted = self.loaders[0].split == FITTED_ON
        for members in zip(*self.loaders, strict=True):
            yield together(members, halves_of(members[0].ids) if fitted else None)


class Ensemble(nn.Module):
    """Members and what blends them.

    Attributes:
        members: classifiers.
        blends: one, or one that each half of gate taught.
        reads_text: the fields whose words some member reads.
    """

    def __init__(self, members: Sequence[Classifier], blends: Sequence[Blend]):
        super().__init__()
        self.members, self.blends = nn.ModuleList(members), nn.ModuleList(blends)
        self.top = blends[0].top
        self.reads_text = tuple(dict.fromkeys(field for member in members for field in member.reads_text))

    def forward(self, batch: MemberBatches) -> Tensor:
        """Scores in [0, 1], (B, C)."""
        pairs = zip(self.members, batch.members, strict=True)
        return self.blended(torch.stack([member(each).float() for member, each in pairs]), batch.halves)

    def blended(self, scores: Tensor, halves: Tensor | None = None) -> Tensor:
        """Members' scores of all classes, (M, B, C), to those of the ensemble, (B, C)."""
        if self.top:
            ranks = torch.stack([ranks_of(each) for each in scores])
            return self.of_some(scores, ranks, (ranks <= self.top).any(dim=0), halves)
        ranks = torch.zeros(1, 1, 1).expand(scores.shape)
        return self.of_some(scores, ranks, torch.ones(scores.shape[1:], dtype=torch.bool), halves)

    def of_some(self, scores: Tensor, ranks: Tensor, considered: Tensor, halves: Tensor | None) -> Tensor:
        """Scores (B, C) that are blended where `considered`, bool (B, C), is True, and 0 elsewhere.

        Args:
            scores: of the members, float32 (M, B, C).
            ranks: see `ranks_of`, (M, B, C).
            considered: which pairs.
            halves: as in `MemberBatches`.
        """
        rows, classes = considered.nonzero(as_tuple=True)
        pairs = Pairs(scores[:, rows, classes], ranks[:, rows, classes].float())
        result = torch.zeros(considered.shape)
        if halves is None or len(self.blends) == 1:
            result[rows, classes] = torch.stack([blend(pairs) for blend in self.blends]).mean(dim=0)
            return result
        for half, other in enumerate(reversed(self.blends)):
            mine = halves[rows] == half
            found = other(Pairs(pairs.scores[:, mine], pairs.ranks[:, mine]))
            result[rows[mine], classes[mine]] = found
        return result


def half_of(video: str) -> int:
    """The half of gate, 0 or 1, that a video is in if it is of gate; all segments of a video are in one."""
    return hash64(video, "blend") % HALVES


def halves_of(ids: Sequence[str]) -> Tensor:
    """The halves of several videos, int64 (B,)."""
    return torch.tensor([half_of(video) for video in ids])


def ranks_of(scores: Tensor, kept: int = KEPT) -> Tensor:
    """The place of each class of a video, 1 for the best; `kept + 1` for all behind the `kept` best.

    Args:
        scores: (B, C).
        kept: what predictions keep of a video: a place behind it is not known from them.

    Returns:
        int16 (B, C).
    """
    best = best_classes(scores, min(kept, scores.shape[1]))[1]
    places = torch.arange(1, best.shape[1] + 1, dtype=torch.int16).expand(best.shape)
    return torch.full(scores.shape, kept + 1, dtype=torch.int16).scatter_(1, best, places)
