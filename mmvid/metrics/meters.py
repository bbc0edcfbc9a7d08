"""A streaming meter of the ranking metrics: what is kept of a video is its `k` best scores.

The meter calls the functions of `mmvid.metrics.ranking`; it only holds what they need from one batch to the next, in
a form that processes can exchange. N videos, C classes.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from mmvid.metrics import ranking
from mmvid.metrics.average_precision import Pairs, class_average_precisions, pooled_average_precision
from mmvid.metrics.ranked import check, check_k, rank

_TOP = ("hit", "miss")  # pairs among a video's k best
_REST = ("rest_hit", "rest_miss")  # the others, kept with `over="all"` only


class RankingMeter(Metric):
    """GAP, mAP, Hit@1 and PERR of all videos since the last reset, over all processes.

    The numbers are those of the functions on all data at once, bit for bit, however the videos were divided into
    batches and processes, ties included. Each of a video's `k` pairs takes 6 bytes (float32 scores, up to 32,768
    classes); with `over="all"` every class of a video is kept.

    Args:
        k: classes of a video that count for GAP and mAP.
        num_classes: C; None takes it from the first batch.
        empty_classes: as in `mean_average_precision`.
        over: as in `mean_average_precision`.
        kwargs: torchmetrics' own options, such as `process_group` and `compute_on_cpu`.

    Raises:
        ValueError: if k is below 1 or a word is unknown; `update` as `ranking.gap` does, and if a batch has other
            classes or another type of scores than the first; `compute` if there were no videos.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    videos: Tensor
    first_hits: Tensor
    classes: Tensor
    score_bytes: Tensor

    def __init__(
        self,
        k: int = 20,
        num_classes: int | None = None,
        empty_classes: ranking.EmptyClasses = "drop",
        over: ranking.Over = "top_k",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_k(k)
        ranking.check_words(empty_classes, over)
        self.k, self.num_classes, self.empty_classes, self.over = k, num_classes, empty_classes, over
        for name in ("videos", "first_hits"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")
        # What a process without a batch must learn from the others: C, and the bytes of a score.
        for name in ("classes", "score_bytes"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="max")
        # Raw bytes, because gloo and NCCL carry no int16, and a process without a batch knows no type of scores.
        for name in _TOP + _REST:
            self.add_state(f"{name}_classes", [], dist_reduce_fx="cat")
            self.add_state(f"{name}_scores", [], dist_reduce_fx="cat")
        # Flat int64 (2, C): positives of each class, and `ranking.tally`. A list, as C may be unknown still.
        self.add_state("counts", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch of videos.

        Args:
            scores: floats (B, C).
            labels: 0 or 1, (B, C).
        """
        check(scores, labels)
        num_classes = scores.shape[1]
        ranked = rank(scores, labels, num_classes if self.over == "all" else self.k)
        self._check_batch(num_classes, ranked.scores.element_size())
        self.classes.fill_(num_classes)
        self.score_bytes.fill_(ranked.scores.element_size())
        self.videos += len(ranked)
        self.first_hits += ranked.hits[:, 0].sum().to(self.device)
        found = ranking.tally(ranked.num_labels, ranking.labels_found(ranked, scores, labels), num_classes)
        self.counts.append(torch.stack([ranked.positives.cpu(), found]).flatten().to(self.device))
        self.counts = [self._sum_counts().flatten()]
        self._keep(_TOP, ranking.split(ranked, slice(self.k)))
        if self.over == "all":
            self._keep(_REST, ranking.split(ranked, slice(self.k, None)))

    def compute(self) -> dict[str, float]:
        """The metrics so far: `gap`, `map`, `hit_at_1`, `perr`."""
        videos = int(self.videos)
        if videos == 0:
            raise ValueError("the ranking metrics need at least one video, got none")
        positives, found = self._sum_counts().cpu()
        hits, misses = (self._pairs(name) for name in _TOP)
        rest_hits, rest_misses = (self._pairs(name) for name in _REST)
        per_class = class_average_precisions([*hits, *rest_hits], [*misses, *rest_misses], positives.numpy())
        return {
            "gap": pooled_average_precision(hits, misses, int(positives.sum())),
            "map": ranking.mean_over_classes(torch.from_numpy(per_class), self.empty_classes),
            "hit_at_1": int(self.first_hits) / videos,
            "perr": ranking.perr_from(found, videos),
        }

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Exchanges the states; torchmetrics calls it.

        torchmetrics stands in a float32 tensor for a list that is empty in one process, which cannot be gathered
        with the bytes of the others: a tensor of the right type is put there first.
        """
        for name in self._reductions:
            values = getattr(self, name)
            if isinstance(values, list) and not values:
                kind = torch.int64 if name == "counts" else torch.uint8
                values.append(torch.empty(0, dtype=kind, device=self.device))
        super().sync(*args, **kwargs)

    def _check_batch(self, num_classes: int, score_bytes: int) -> None:
        wanted = self.num_classes or int(self.classes) or num_classes
        if num_classes != wanted:
            raise ValueError(f"scores must have {wanted} classes as before, got {num_classes}")
        if int(self.score_bytes) not in (0, score_bytes):
            first, second = 8 * int(self.score_bytes), 8 * score_bytes
            raise ValueError(f"scores must be float{first} as in the first batch, got float{second}")

    def _keep(self, names: tuple[str, str], pairs: tuple[Pairs, Pairs]) -> None:
        for name, (classes, scores) in zip(names, pairs, strict=True):
            for what, values in (("classes", classes.astype(self._class_type())), ("scores", scores)):
                tensor = torch.from_numpy(values.view(np.uint8)).to(self.device)
                getattr(self, f"{name}_{what}").append(tensor)

    def _pairs(self, name: str) -> list[Pairs]:
        """The parts kept under `name`, as arrays that share their memory where they are on the CPU."""
        class_type, score_type = np.dtype(self._class_type()), np.dtype(f"f{int(self.score_bytes)}")
        all_classes, all_scores = (_parts(getattr(self, f"{name}_{what}")) for what in ("classes", "scores"))
        pairs = []
        for classes, scores in zip(all_classes, all_scores, strict=True):
            if len(classes) * score_type.itemsize != len(scores) * class_type.itemsize:
                raise ValueError("scores must have one type in all processes, got float32 in some, float64 in others")
            pairs.append(Pairs(classes.cpu().numpy().view(class_type), scores.cpu().numpy().view(score_type)))
        return pairs

    def _sum_counts(self) -> Tensor:
        return torch.cat(_parts(self.counts)).view(-1, 2, int(self.classes)).sum(dim=0)

    def _class_type(self) -> type:
        return np.int16 if int(self.classes) <= 2**15 else np.int32


def _parts(state: list[Tensor] | Tensor) -> list[Tensor]:
    """A list state, which torchmetrics turns into one tensor when it has gathered it."""
    return [state] if isinstance(state, Tensor) else state
