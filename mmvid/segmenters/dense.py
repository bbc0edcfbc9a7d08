"""A fully connected layer that keeps the latent's shape, then transposed convolutions to the pixels.

The paper has a layer from 16 x 16 x 240 to 16 x 16 x 240. All numbers with all would take 3.77 billion weights, 15 GB,
more than the paper's graphics card holds: it is read as one layer of 240 x 240 that every cell shares.
"""

from torch import Tensor

from mmvid.config import Options, option
from mmvid.layers.decoders import Cells, Mixing, Shape, Size, Tail
from mmvid.segmenters import Segmenter


class Config(Options):
    """Fully connected and convolutional decoder."""

    cells: Cells = option("auto", "the first layer reads the whole latent flattened, or each cell; auto: by the size")
    tail: tuple[int, ...] = option((128, 32), "channels of the transposed convolutions")
    dropout: float = option(0.0, "share dropped after the first and before the last layer", ge=0, lt=1, search=(0, 0.5))


class Model(Segmenter):
    """Latents (B, C, h, w) to logits (B, H, W)."""

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        self.mixing = Mixing(shape, config.cells, config.dropout)
        self.tail = Tail(shape, size, config.tail, config.dropout)

    def logits(self, x: Tensor) -> Tensor:
        return self.tail(self.mixing(x))
