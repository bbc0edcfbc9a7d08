"""The light decoder: a fully connected layer, a convolution and transposed convolutions.

The paper has the convolution first, to one channel, and then a transposed one to the pixels. Public code that matches
the paper has it the other way round, and more channels between: `order` says which.
"""

from typing import Literal

from torch import Tensor, nn

from mmvid.config import Options, option
from mmvid.layers.decoders import Cells, Mixing, Shape, Size, doublings_to, resized
from mmvid.segmenters import Segmenter


class Config(Options):
    """Light decoder."""

    cells: Cells = option("auto", "the first layer reads the whole latent flattened, or each cell; auto: by the size")
    channels: int = option(1, "channels between the convolutions; the paper has 1", ge=1, search=(1, 128), log=True)
    order: Literal["paper", "code"] = option(
        "paper", "paper: a convolution, then transposed ones; code: transposed ones, then a convolution"
    )
    dropout: float = option(0.0, "share of the first layer's outputs dropped in training", ge=0, lt=1, search=(0, 0.5))


class Model(Segmenter):
    """Latents (B, C, h, w) to logits (B, H, W)."""

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        channels, height, width = shape
        doublings = doublings_to(size, (height, width))
        self.mixing = Mixing(shape, config.cells, config.dropout)
        if config.order == "paper":
            parts = [nn.Conv2d(channels, config.channels, 3, padding=1)]
            outputs = [config.channels] * (doublings - 1) + [1] * min(1, doublings)
            for width in outputs:
                parts += [nn.ReLU(), nn.ConvTranspose2d(config.channels, width, 2, 2)]
            if not doublings:
                parts += [nn.ReLU(), nn.Conv2d(config.channels, 1, 1)]
        else:
            parts, inputs = [], channels
            for _ in range(doublings):
                parts += [nn.ConvTranspose2d(inputs, config.channels, 2, 2), nn.ReLU()]
                inputs = config.channels
            parts.append(nn.Conv2d(inputs, 1, 3, padding=1))
        self.layers = nn.Sequential(*parts)

    def logits(self, x: Tensor) -> Tensor:
        return resized(self.layers(self.mixing(x)), self.size).squeeze(1)
