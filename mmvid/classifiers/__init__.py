"""The catalogue of classifiers: one file = one classifier = `Config` + `Model`; a `Batch` in, scores (B, C) out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmvid.catalogue import catalogue
from mmvid.records.batches import Batch

names, load = catalogue(__name__, __path__, "classifier")


class Classifier(nn.Module, ABC):
    """What training, ensembling and serving ask of every classifier.

    Attributes:
        modalities: the modalities it reads, in order.
        reads_frames: whether it reads `Batch.frames` (else `Batch.features`).
        traits: where the general contract does not hold: `stochastic` (scores vary from call to call),
            `fitted_by_counts` (no gradients).
    """

    modalities: list[str]
    reads_frames: bool = False
    traits: frozenset[str] = frozenset()

    def forward(self, batch: Batch) -> Tensor:
        """Scores in [0, 1], (B, C)."""
        return self.log_odds(batch).sigmoid()

    @abstractmethod
    def log_odds(self, batch: Batch) -> Tensor:
        """log p - log(1 - p), (B, C): a score's logarithms stay exact where the score itself rounds to 0 or 1."""

    @abstractmethod
    def penalty(self) -> Tensor:
        """The regularisation that is added to the loss, a scalar."""
