"""A transformer over frames (Vaswani et al. 2017, arXiv:1706.03762), before whose layers the frames are projected.

Layers normalise first, positions are sines, and the mean over the valid frames goes to the last layer.
"""

import math

import torch
from torch import Tensor, nn

from mmvid.classifiers import Classifier
from mmvid.config import option
from mmvid.layers.features import FeatureOptions
from mmvid.layers.frames import FrameFeatures, unpack, valid_frames
from mmvid.layers.head import Head
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.001, "batch_size": 256}


class Config(FeatureOptions):
    """Transformer over frames."""

    width: int = option(256, "numbers of a frame after projection", ge=2, search=(128, 512), log=True)
    layers: int = option(2, "layers", ge=1, search=(1, 4))
    heads: int = option(4, "heads of the attention", ge=1)
    experts: int = option(0, "experts for each class; 0 is logistic regression", ge=0, search=(0, 4))
    dropout: float = option(0.3, "share dropped in each layer and before the last", ge=0, lt=1, search=(0.0, 0.7))
    norm_decay: float = option(0.9, "how slowly the inputs' moving averages fade", gt=0, lt=1)
    l2_penalty: float = option(1e-6, "penalty on the last layer's weights", ge=0, search=(1e-9, 1e-4), log=True)


class Model(Classifier):
    """Frames (B, T, D) to scores (B, C)."""

    reads_frames = True

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__()
        if config.width % (2 * config.heads):
            raise ValueError(f"width must be a multiple of twice the heads, {2 * config.heads}, got {config.width}")
        self.config = config
        self.reader = FrameFeatures(config, shapes.features, shapes.frames)
        self.modalities = self.reader.modalities
        self.input_norm = batch_norm(self.reader.size, config.norm_decay)
        self.project = nn.Linear(self.reader.size, config.width)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            4 * config.width,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        for parameter in self.encoder.parameters():  # else all layers begin as copies of one
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.width + self.reader.beside, shapes.classes, config.experts)

    def log_odds(self, batch: Batch) -> Tensor:
        frames, valid = self.reader.frames(batch), valid_frames(batch)
        x = unpack(self.project(self.input_norm(frames[valid])), valid)  # (B, T, W)
        x = self.encoder(x + positions(x), src_key_padding_mask=~valid)
        mean = x.masked_fill(~valid.unsqueeze(-1), 0).sum(1) / batch.num_frames[:, None]
        return self.head(torch.cat([self.dropout(mean), *self.reader.vectors(batch)], 1))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


def positions(x: Tensor) -> Tensor:
    """Sines and cosines of the frame's number, (T, W) for frames (B, T, W)."""
    half = x.shape[2] // 2
    time = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None]
    angle = time * torch.exp(torch.arange(half, device=x.device) * (-math.log(10_000) / half))
    return torch.cat([angle.sin(), angle.cos()], 1).to(x.dtype)
