"""The catalogue of classifiers: one file = one classifier = `Config` + `Model`; a `Batch` in, scores (B, C) out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from torch import Tensor, nn

from mmvid.catalogue import catalogue
from mmvid.layers.features import FeatureOptions, FusionOptions, JoinedFeatures
from mmvid.layers.frames import FrameFeatures, SamplingOptions
from mmvid.records.batches import Batch, Shapes
from mmvid.records.textset import LabelWords

names, load = catalogue(__name__, __path__, "classifier")


class Classifier(nn.Module, ABC):
    """What training, ensembling and serving ask of every classifier.

    Attributes:
        modalities: the modalities it reads, in order.
        reads_frames: whether it reads `Batch.frames` (else `Batch.features`).
        reads_text: the fields whose words it reads, `title`, `keywords` or both.
        label_words: whether it is trained and measured on text with the words of the videos' own labels.
        longest: words of a text that it reads, the first ones; 0 reads all.
        traits: where the general contract does not hold: `stochastic` (scores vary from call to call),
            `fitted_by_counts` (no gradients: `fit_counts` is called once instead of training).
    """

    modalities: list[str]
    reads_frames: bool = False
    reads_text: tuple[str, ...] = ()
    label_words: LabelWords = "kept"
    longest: int = 0
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

    def prepare(self, vectors: np.ndarray, counts: np.ndarray) -> None:  # noqa: B027 - most have nothing to prepare
        """Takes what is known of the words before training; it becomes part of the state.

        Args:
            vectors: the vector of each word, float32 (V, D).
            counts: how often each stands in the fields of train that the classifier reads, int64 (V,).
        """

    def fit_counts(self, batches: Iterable[Batch]) -> None:
        """Counts the labelled videos of train; only of classifiers with the trait `fitted_by_counts`."""
        raise NotImplementedError(f"{type(self).__name__} is not fitted by counts")


class VectorClassifier(Classifier):
    """A classifier of video-level features.

    Attributes:
        config: its options.
        join: makes one vector of a video's features.
    """

    def __init__(self, config: FusionOptions, shapes: Shapes):
        super().__init__()
        self.config = config
        self.join = JoinedFeatures(config, shapes.features)
        self.modalities = self.join.modalities


class FrameClassifier(Classifier):
    """A classifier of frames, with video-level features beside them where the options ask for some.

    Attributes:
        config: its options.
        reader: what it reads of a batch.
    """

    reads_frames = True

    def __init__(self, config: FeatureOptions, shapes: Shapes):
        super().__init__()
        self.config = config
        self.reader = FrameFeatures(config, shapes.features, shapes.frames)
        self.modalities = self.reader.modalities
        if isinstance(config, SamplingOptions) and config.stochastic:
            self.traits = frozenset({"stochastic"})
