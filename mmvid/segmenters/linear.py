"""The linear probe: what a mask owes to the latent alone.

`flattened` is the paper's reading for latents of 4 x 32 x 32 (16.8 million weights); of 240 x 16 x 16 it would have
251.7 million, so that there each cell gives its own patch of pixels (3,856 weights) unless it is asked for.
"""

from torch import Tensor

from mmvid.config import Options, option
from mmvid.layers.decoders import Cells, Patches, Shape, Size
from mmvid.segmenters import Segmenter


class Config(Options):
    """Linear probe."""

    cells: Cells = option("auto", "a pixel reads the whole latent flattened, or its own cell; auto: by the size")


class Model(Segmenter):
    """Latents (B, C, h, w) to logits (B, H, W)."""

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        self.patches = Patches(shape, size, config.cells)

    def logits(self, x: Tensor) -> Tensor:
        return self.patches(x).squeeze(1)
