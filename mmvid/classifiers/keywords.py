"""Histogram of word clusters and a perceptron (paper A, section 3): how often words of each of 1024 clusters occur.

The clusters are those of `mmvid.text.codebook`, over the words of train. Word vectors are needed for nothing else.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mmvid.classifiers import Classifier
from mmvid.config import option
from mmvid.layers.features import l2_normalise
from mmvid.layers.text import TextOptions
from mmvid.records.batches import Batch, Shapes
from mmvid.text.codebook import Metric, assign, fit_codebook

TRAINING = {"learning_rate": 0.001, "batch_size": 64, "clip": "none"}
PRESETS = {"authors": ((1024, 2048), 0.2), "compact": ((256, 256), 0.5)}


class Config(TextOptions):
    """Keyword histogram."""

    text_fields: tuple[Literal["title", "keywords"], ...] = option(
        ("keywords",), "what to read: title, keywords or both", min_length=1
    )
    clusters: int = option(1024, "clusters of words, the size of the histogram", ge=1)
    distance: Metric = option("l2", "which cluster is nearest to a word; l1 is the authors'")
    histogram: Literal["counts", "log1p", "l1", "l2"] = option(
        "counts", "how the histogram is scaled; counts is the authors'", search=("counts", "log1p", "l1", "l2")
    )
    preset: Literal["authors", "compact"] = option("authors", "sizes and dropout where they are not given")
    sizes: tuple[int, ...] = option((), "units of the layers between histogram and classes; none: the preset's")
    dropout: float | None = option(None, "share of units dropped after each; none: the preset's", ge=0, lt=1)
    codebook_seed: int = option(0, "seed of the clusters", ge=0)


class WordHistogram(nn.Module):
    """Words (B, L) to how many of them are of each cluster, float (B, clusters): the sum of one-hot vectors."""

    def __init__(self, words: int, size: int, clusters: int):
        super().__init__()
        self.clusters = clusters
        self.register_buffer("centroids", torch.zeros(clusters, size))
        # The cluster of each word; padding, word 0, has one beyond the histogram.
        self.register_buffer("cluster_of", torch.full((words + 1,), clusters, dtype=torch.int32))

    def fit(self, vectors: np.ndarray, counts: np.ndarray, distance: Metric = "l2", seed: int = 0) -> None:
        """Makes the codebook, see `fit_codebook`, and assigns each word."""
        centroids = fit_codebook(vectors, counts, self.clusters, seed=seed)
        self.centroids[: len(centroids)] = torch.from_numpy(centroids)
        self.cluster_of[1:] = torch.from_numpy(assign(vectors, centroids, distance))

    def forward(self, words: Tensor) -> Tensor:
        clusters = self.cluster_of[words].long()
        histogram = torch.zeros(len(words), self.clusters + 1, device=words.device)
        histogram.scatter_add_(1, clusters, torch.ones_like(clusters, dtype=histogram.dtype))
        return histogram[:, :-1]


class Model(Classifier):
    """Words (B, L) to scores (B, C)."""

    modalities: list[str] = []

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__()
        if shapes.words == 0:
            raise ValueError("keywords reads text, and there are no words")
        self.config = config
        self.reads_text, self.label_words = config.text_fields, config.label_words
        self.histogram = WordHistogram(shapes.words, shapes.word_size, config.clusters)
        sizes, dropout = PRESETS[config.preset]
        sizes = config.sizes or sizes
        if min(sizes) < 1:
            raise ValueError(f"sizes must be at least 1, got {','.join(map(str, sizes))}")
        dropout = dropout if config.dropout is None else config.dropout
        layers: list[nn.Module] = []
        for inputs, outputs in zip((config.clusters, *sizes[:-1]), sizes, strict=True):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], shapes.classes))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def prepare(self, vectors: np.ndarray, counts: np.ndarray) -> None:
        self.histogram.fit(vectors, counts, self.config.distance, self.config.codebook_seed)

    def counted(self, batch: Batch) -> Tensor:
        """How many words of each cluster a video has, scaled, (B, clusters)."""
        histogram = self.histogram(torch.cat([batch.tokens[field] for field in self.reads_text], dim=1))
        if self.config.histogram == "log1p":
            return histogram.log1p()
        if self.config.histogram == "l1":
            return histogram / histogram.sum(dim=1, keepdim=True).clamp_min(1)
        return l2_normalise(histogram) if self.config.histogram == "l2" else histogram

    def log_odds(self, batch: Batch) -> Tensor:
        return self.layers(self.counted(batch))

    def penalty(self) -> Tensor:
        return torch.zeros(())
