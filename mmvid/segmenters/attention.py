"""Self-attention over the cells of the latent, then transposed convolutions to the pixels: the paper's best head.

The paper states eight heads over the 256 cells of 16 x 16 x 240 and nothing of a residual, a norm or positions: the
defaults have none of them, and each is an option. A latent whose channels are no multiple of the heads is projected to
the next one first.
"""

import torch
from torch import Tensor, nn

from mmvid.config import Options, option
from mmvid.layers.decoders import Shape, Size, Tail
from mmvid.segmenters import Segmenter


class Config(Options):
    """Attention and convolutional decoder."""

    heads: int = option(8, "attention heads", ge=1, search=(1, 16), log=True)
    residual: bool = option(False, "what attends is added to what it attended to")
    norm: bool = option(False, "layer norm of each cell before the attention")
    positions: bool = option(False, "a learnt vector of each cell's place is added before the attention")
    tail: tuple[int, ...] = option((128, 32), "channels of the transposed convolutions")
    dropout: float = option(
        0.0, "share of the attention's weights, and before the last layer, dropped", ge=0, lt=1, search=(0, 0.5)
    )


class Model(Segmenter):
    """Latents (B, C, h, w) to logits (B, H, W)."""

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        channels, height, width = shape
        features = -(-channels // config.heads) * config.heads
        self.input = nn.Identity() if features == channels else nn.Linear(channels, features)
        self.places = nn.Parameter(0.02 * torch.randn(height * width, features)) if config.positions else None
        self.norm = nn.LayerNorm(features) if config.norm else nn.Identity()
        self.attention = nn.MultiheadAttention(features, config.heads, config.dropout, batch_first=True)
        self.tail = Tail((features, height, width), size, config.tail, config.dropout)

    def logits(self, x: Tensor) -> Tensor:
        cells = self.input(x.flatten(2).transpose(1, 2))  # (B, h w, features)
        if self.places is not None:
            cells = cells + self.places
        normed = self.norm(cells)
        attended, _ = self.attention(normed, normed, normed, need_weights=False)
        if self.config.residual:
            attended = attended + cells
        return self.tail(attended.transpose(1, 2).unflatten(2, x.shape[-2:]))
