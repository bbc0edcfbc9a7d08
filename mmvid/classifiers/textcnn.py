"""TextCNN: convolutions over word vectors, the largest response of each filter, two dense layers (paper A, section 3).

Source: Kim 2014, arXiv:1408.5882, with the widths, sizes and normalisation of Wang et al. 2017. Word vectors stay as
they are. The original takes the largest response over 40 places, padding too; here padding counts for nothing by
default.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mmvid.classifiers import Classifier
from mmvid.config import option
from mmvid.layers.convolutions import EPSILON, MOMENTUM, WordConvolutions
from mmvid.layers.normalisation import BatchNorm
from mmvid.layers.text import TextOptions
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.001, "batch_size": 512, "clip": "none"}


class Config(TextOptions):
    """TextCNN."""

    widths: tuple[int, ...] = option((1, 2, 3, 4, 5, 6, 7, 8), "words that each convolution sees", min_length=1)
    filters: int = option(512, "filters of each width", ge=1, search=(64, 512), log=True)
    hidden: int = option(4096, "units of the second last layer", ge=1, search=(256, 4096), log=True)
    dropout: float = option(0.5, "share of them that is dropped in training", ge=0, lt=1, search=(0.0, 0.8))
    max_words: int = option(40, "words of a text that are read, the first ones", ge=1)
    mask_padding: bool = option(True, "padding counts for nothing; False is the original's, which pads to max_words")
    l2_penalty: float = option(
        1e-7, "penalty on kernels and dense weights, beside a loss averaged over classes", ge=0, search=(1e-9, 1e-5)
    )


class Model(Classifier):
    """Words (B, L) to scores (B, C)."""

    modalities: list[str] = []

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__()
        if shapes.words == 0:
            raise ValueError("textcnn reads text, and there are no words")
        if min(config.widths) < 1 or len(set(config.widths)) < len(config.widths):
            raise ValueError(f"widths must be distinct and at least 1, got {','.join(map(str, config.widths))}")
        self.config, self.classes = config, shapes.classes
        self.reads_text, self.label_words, self.longest = config.text_fields, config.label_words, config.max_words
        self.register_buffer("vectors", torch.zeros(shapes.words + 1, shapes.word_size))
        self.convolutions = WordConvolutions(shapes.word_size, config.widths, config.filters)
        self.inner = nn.Linear(len(config.widths) * config.filters, config.hidden)
        self.norm = BatchNorm(config.hidden, eps=EPSILON, momentum=MOMENTUM)
        self.dropout = nn.Dropout(config.dropout)
        self.outer = nn.Linear(config.hidden, shapes.classes)
        for layer in (self.inner, self.outer):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def prepare(self, vectors: np.ndarray, counts: np.ndarray) -> None:
        self.vectors.numpy()[1:] = vectors

    def hidden(self, batch: Batch) -> Tensor:
        """The activations of the second last layer before dropout, at least 0, (B, hidden)."""
        texts = [batch.tokens[field][:, : self.longest] for field in self.reads_text]
        if not self.config.mask_padding:
            texts = [nn.functional.pad(text, (0, self.longest - text.shape[1])) for text in texts]
        responses = self.convolutions(self.vectors, texts, self.config.mask_padding)
        return self.norm(self.inner(responses)).relu()

    def log_odds(self, batch: Batch) -> Tensor:
        return self.outer(self.dropout(self.hidden(batch)))

    def penalty(self) -> Tensor:
        # Our loss is a sum over classes, C times the original's, so its penalty weighs C times as much, too.
        squares = self.convolutions.squared_weights() + sum(
            layer.weight.square().sum() for layer in (self.inner, self.outer)
        )
        return self.config.l2_penalty * self.classes * 0.5 * squares
