"""Gated NetVLAD and NetRVLAD with late fusion (Miech, Laptev and Sivic 2017, arXiv:1706.06905).

Every frame is softly assigned to clusters, and the residuals from the clusters' centres are summed over the video.
Each modality is pooled by itself, the smaller ones with fewer clusters; then all are projected to one vector, which
passes a context gate. NetRVLAD leaves the centres out and sums the frames themselves.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mmvid.classifiers import FrameClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import Normalisation, l2_normalise
from mmvid.layers.frames import SamplingOptions, unpack
from mmvid.layers.gating import ClassGating, Gating, make_gate
from mmvid.layers.head import Head
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.002, "batch_size": 256}
TRAINING_PRESETS = {"audioset": {"decay": 0.5, "decay_examples": 53_000, "ema": 0.99}}


class Config(SamplingOptions, Preset):
    """Gated NetVLAD, of a compact size."""

    presets = {"compact": {"normalisation": "per_modality"}, "audioset": {"normalisation": "none"}}
    preset: Literal["compact", "audioset"] = option(
        "compact", "options that are not given; audioset is tuned on AudioSet", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")

    clusters: int = option(
        32, "clusters of the modality with the largest frames; one of half their size or less has half", ge=2
    )
    residuals: Literal["centres", "none"] = option("centres", "NetVLAD's residuals from centres, or NetRVLAD's none")
    hidden: int = option(512, "width of the hidden layer", ge=1, search=(256, 1024), log=True)
    gating: Gating = option("context", "gate on the hidden layer")
    class_gating: bool = option(False, "context gating of the scores, too: a matrix of classes by classes")
    experts: int = option(2, "experts for each class; 0 is logistic regression", ge=0, search=(0, 8))
    dropout: float = option(0.5, "share of the hidden layer dropped in training", ge=0, lt=1, search=(0.0, 0.7))
    norm_decay: float = option(0.9, "how slowly moving averages fade; the original's is 0.999", gt=0, lt=1)
    l2_penalty: float = option(1e-6, "penalty on the experts' weights", ge=0, search=(1e-9, 1e-4), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        self.input_norm = batch_norm(self.reader.size, config.norm_decay)
        sizes = self.reader.framed
        self.pools = nn.ModuleDict(
            {
                name: Pool(size, share_of(config.clusters, size, max(sizes.values())), config)
                for name, size in sizes.items()
            }
        )
        pooled = sum(pool.size for pool in self.pools.values())
        self.hidden = nn.Linear(pooled, config.hidden, bias=False)  # no ReLU follows
        nn.init.normal_(self.hidden.weight, std=1 / math.sqrt(config.clusters))
        self.hidden_norm = batch_norm(config.hidden, config.norm_decay)
        self.gate = make_gate(config.gating, config.hidden, 8, config.norm_decay)
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.hidden + self.reader.beside, shapes.classes, config.experts)
        self.class_gate = ClassGating(shapes.classes, config.norm_decay) if config.class_gating else nn.Identity()

    def log_odds(self, batch: Batch) -> Tensor:
        frames, valid = self.reader.draw(batch, self.config, self.training)  # (B, k, D), (B, k)
        parts = self.input_norm(frames[valid]).split(list(self.reader.framed.values()), dim=1)
        pooled = [pool(part, valid) for pool, part in zip(self.pools.values(), parts, strict=True)]
        hidden = self.dropout(self.gate(self.hidden_norm(self.hidden(torch.cat(pooled, 1)))))
        return self.class_gate(self.head(torch.cat([hidden, *self.reader.vectors(batch)], 1)))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


class Pool(nn.Module):
    """Packed frames (N, D) of a modality to one vector (B, `size`) a video, each cluster and the whole of length 1."""

    def __init__(self, width: int, clusters: int, config: Config):
        super().__init__()
        self.size = width * clusters
        self.assign = nn.Linear(width, clusters, bias=False)
        self.norm = batch_norm(clusters, config.norm_decay)
        nn.init.normal_(self.assign.weight, std=1 / math.sqrt(width))
        self.centres = None
        if config.residuals == "centres":
            self.centres = nn.Parameter(torch.empty(clusters, width))
            nn.init.normal_(self.centres, std=1 / math.sqrt(width))

    def forward(self, packed: Tensor, valid: Tensor) -> Tensor:
        shares = self.norm(self.assign(packed)).softmax(-1)
        shares = unpack(shares, valid)  # (B, T, K), zeros where padded
        sums = shares.mT @ unpack(packed, valid)  # (B, K, D)
        if self.centres is not None:
            sums = sums - shares.sum(1).unsqueeze(-1) * self.centres
        return l2_normalise(l2_normalise(sums).flatten(1))


def share_of(clusters: int, size: int, largest: int) -> int:
    """The clusters of a modality: half of them, at least one, where its frames have half the largest size or less."""
    return clusters if 2 * size > largest else max(1, clusters // 2)
