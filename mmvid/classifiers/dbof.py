"""Deep bag of frames (Abu-El-Haija et al. 2016, arXiv:1609.08675; the starter code's `DbofModel`; paper A, 4.1).

Frames are drawn, projected onto a large codebook and pooled over the video; a hidden layer and a mixture of experts
follow. The original draws frames anew whenever it scores a video; here it is an option, and all frames are the default.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmvid.classifiers import FrameClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import Normalisation
from mmvid.layers.frames import Sampling, SamplingOptions, unpack
from mmvid.layers.gating import Gating, make_gate
from mmvid.layers.head import Head
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.002, "batch_size": 256}
TRAINING_PRESETS = {"audioset": {"decay": 0.5, "decay_examples": 53_000}}
COMPACT = {"projection": 1024, "hidden": 512, "experts": 2, "samples": 10, "norm_decay": 0.9, "dropout": 0.6}
PAPER = {"norm_decay": 0.999, "dropout": 0.0, "normalisation": "per_modality"}


class Config(SamplingOptions, Preset):
    """Deep bag of frames."""

    presets = {
        "compact": COMPACT | {"normalisation": "per_modality"},
        "dbof_a": PAPER | {"projection": 8192, "hidden": 1024, "experts": 2, "samples": 30},
        "dbof_b": PAPER | {"projection": 16384, "hidden": 2048, "experts": 16, "samples": 60},
        "audioset": COMPACT | {"normalisation": "none"},
    }
    preset: Literal["compact", "dbof_a", "dbof_b", "audioset"] = option(
        "compact", "options that are not given; dbof_a and dbof_b are paper A's, audioset is tuned there", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")
    samples: int | None = option(None, "frames that are drawn (preset)", ge=1)
    sampling: Sampling = option(
        "frames", "in training: all frames, `samples` of them drawn with replacement, or one run of `samples`"
    )
    projection: int | None = option(
        None, "codes that a frame is projected onto (preset)", ge=1, search=(512, 8192), log=True
    )
    hidden: int | None = option(None, "width of the hidden layer (preset)", ge=1, search=(256, 2048), log=True)
    experts: int | None = option(
        None, "experts for each class; 0 is logistic regression (preset)", ge=0, search=(0, 16)
    )
    activation: Literal["relu6", "sigmoid"] = option("relu6", "of both layers; the paper's time had relu6")
    pooling: Literal["max", "average"] = option("max", "how the frames become one video")
    batch_norm: bool = option(True, "batch normalisation of inputs and layers; without it there are biases")
    norm_decay: float | None = option(None, "how slowly its moving averages fade (preset)", gt=0, lt=1)
    gating: Gating = option("none", "gate on the hidden layer, beyond the paper")
    dropout: float | None = option(
        None, "share of the hidden layer dropped in training (preset)", ge=0, lt=1, search=(0.0, 0.7)
    )
    l2_penalty: float = option(1e-8, "penalty on the experts' weights", ge=0, search=(1e-9, 1e-5), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D), of which k are drawn, to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        inputs, normed = self.reader.size, config.batch_norm
        self.input_norm = batch_norm(inputs, config.norm_decay) if normed else nn.Identity()
        self.projection, self.projection_norm = _layer(inputs, config.projection, config)
        self.hidden, self.hidden_norm = _layer(config.projection, config.hidden, config)
        self.gate = make_gate(config.gating, config.hidden, 8, config.norm_decay)
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.hidden + self.reader.beside, shapes.classes, config.experts, rare=False)
        self.activation = {"relu6": functional.relu6, "sigmoid": torch.sigmoid}[config.activation]

    def log_odds(self, batch: Batch) -> Tensor:
        frames, valid = self.reader.draw(batch, self.config, self.training)  # (B, k, D), (B, k)
        codes = self.projection(self.input_norm(frames[valid]))  # (N, K)
        codes = self.activation(self.projection_norm(codes))
        hidden = self.hidden_norm(self.hidden(self._pool(codes, valid)))  # (B, H)
        hidden = self.dropout(self.gate(self.activation(hidden)))
        return self.head(torch.cat([hidden, *self.reader.vectors(batch)], 1))

    def _pool(self, codes: Tensor, valid: Tensor) -> Tensor:
        """Packed codes (N, K) to (B, K). Equal maxima share the gradient, as in the original."""
        if self.config.pooling == "max":
            return unpack(codes, valid, float("-inf")).amax(1)
        return unpack(codes, valid).sum(1) / valid.sum(1, keepdim=True)

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


def _layer(inputs: int, width: int, config: Config) -> tuple[nn.Linear, nn.Module]:
    """A dense layer and its normalisation; the bias is left to the normalisation if there is one."""
    dense = nn.Linear(inputs, width, bias=not config.batch_norm)
    nn.init.normal_(dense.weight, std=1 / math.sqrt(inputs))
    if dense.bias is None:
        return dense, batch_norm(width, config.norm_decay)
    nn.init.zeros_(dense.bias)
    return dense, nn.Identity()
