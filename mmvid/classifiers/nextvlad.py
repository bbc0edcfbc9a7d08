"""NeXtVLAD (Lin, Xiao and Fan 2018, arXiv:1811.05014).

A frame is widened and cut into groups; each group is weighed by an attention of its own and softly assigned to
clusters, so that a cluster's residuals are short vectors. A squeeze-and-excitation gate and logistic regression follow.
Each modality is pooled by itself. Padded frames are left out, which the original does by a mask.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mmvid.classifiers import FrameClassifier
from mmvid.classifiers.netvlad import share_of
from mmvid.config import Preset, option
from mmvid.layers.features import Normalisation, l2_normalise
from mmvid.layers.frames import SamplingOptions, unpack
from mmvid.layers.gating import Gating, make_gate
from mmvid.layers.head import Head
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.002, "batch_size": 256}
TRAINING_PRESETS = {"audioset": {"decay": 0.5, "decay_examples": 53_000, "ema": 0.99}}


class Config(SamplingOptions, Preset):
    """NeXtVLAD, of a compact size."""

    presets = {"compact": {"normalisation": "per_modality"}, "audioset": {"normalisation": "none"}}
    preset: Literal["compact", "audioset"] = option(
        "compact", "options that are not given; audioset is tuned on AudioSet", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")

    expansion: int = option(2, "how many times wider a frame becomes", ge=1)
    groups: int = option(8, "groups that it is cut into", ge=1, search=(4, 16))
    clusters: int = option(
        32, "clusters of the modality with the largest frames; one of half their size or less has half", ge=2
    )
    hidden: int = option(512, "width of the hidden layer", ge=1, search=(256, 2048), log=True)
    gating: Gating = option("squeeze_excite", "gate on the hidden layer")
    reduction: int = option(8, "how many times narrower the gate's inner layer is", ge=1)
    experts: int = option(0, "experts for each class; 0 is logistic regression", ge=0, search=(0, 4))
    dropout: float = option(0.5, "share of what the frames are pooled to dropped", ge=0, lt=1, search=(0.0, 0.7))
    norm_decay: float = option(0.9, "how slowly moving averages fade; the original's is 0.999", gt=0, lt=1)
    l2_penalty: float = option(1e-5, "penalty on the last layer's weights", ge=0, search=(1e-9, 1e-4), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        sizes = self.reader.framed
        self.pools = nn.ModuleDict(
            {
                name: Pool(size, share_of(config.clusters, size, max(sizes.values())), config)
                for name, size in sizes.items()
            }
        )
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(sum(pool.size for pool in self.pools.values()), config.hidden, bias=False)
        nn.init.xavier_uniform_(self.hidden.weight)
        self.hidden_norm = batch_norm(config.hidden, config.norm_decay)
        self.gate = make_gate(config.gating, config.hidden, config.reduction, config.norm_decay)
        self.head = Head(config.hidden + self.reader.beside, shapes.classes, config.experts)

    def log_odds(self, batch: Batch) -> Tensor:
        frames, valid = self.reader.draw(batch, self.config, self.training)  # (B, k, D), (B, k)
        parts = frames[valid].split(list(self.reader.framed.values()), dim=1)
        pooled = [pool(part, valid) for pool, part in zip(self.pools.values(), parts, strict=True)]
        hidden = self.gate(self.hidden_norm(self.hidden(self.dropout(torch.cat(pooled, 1)))))
        return self.head(torch.cat([hidden, *self.reader.vectors(batch)], 1))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


class Pool(nn.Module):
    """Packed frames (N, D) of a modality to one vector (B, `size`) a video."""

    def __init__(self, width: int, clusters: int, config: Config):
        super().__init__()
        wide = config.expansion * width
        if wide % config.groups:
            raise ValueError(f"groups must divide the widened frame of {wide} numbers, got {config.groups}")
        self.clusters, self.groups = clusters, config.groups
        self.size = clusters * wide // config.groups
        self.widen = nn.Linear(width, wide)
        self.attend = nn.Linear(wide, config.groups)
        self.assign = nn.Linear(wide, config.groups * clusters, bias=False)
        self.assign_norm = batch_norm(config.groups * clusters, config.norm_decay)
        self.centres = nn.Parameter(torch.empty(clusters, wide // config.groups))
        self.norm = batch_norm(self.size, config.norm_decay)
        for layer in (self.widen, self.attend, self.assign):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.widen.bias)
        nn.init.zeros_(self.attend.bias)
        nn.init.xavier_uniform_(self.centres)

    def forward(self, packed: Tensor, valid: Tensor) -> Tensor:
        wide = self.widen(packed)  # (N, W)
        shares = self.assign_norm(self.assign(wide)).unflatten(1, (self.groups, self.clusters)).softmax(-1)
        shares = shares * self.attend(wide).sigmoid().unsqueeze(-1)  # (N, G, K)
        shares = unpack(shares.flatten(1), valid).unflatten(-1, (self.groups, self.clusters)).flatten(1, 2)
        groups = unpack(wide, valid).unflatten(-1, (self.groups, -1)).flatten(1, 2)  # (B, T G, W / G)
        sums = shares.mT @ groups - shares.sum(1).unsqueeze(-1) * self.centres  # (B, K, W / G)
        return self.norm(l2_normalise(sums).flatten(1))
