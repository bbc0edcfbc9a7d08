"""The heavy decoder: a linear layer to one picture of the mask's size, then a U-Net down to 4 x 4 x 512 and back."""

from torch import Tensor

from mmvid.config import Options, option
from mmvid.layers.decoders import Cells, Patches, Shape, Size
from mmvid.layers.unet import UNet
from mmvid.segmenters import Segmenter


class Config(Options):
    """Heavy decoder."""

    cells: Cells = option("auto", "a pixel reads the whole latent flattened, or its own cell; auto: by the size")
    widths: tuple[int, ...] = option(
        (64, 128, 256, 512, 512), "channels of each level of the U-Net, the last its bottom"
    )
    dropout: float = option(0.0, "share of the bottom's channels dropped in training", ge=0, lt=1, search=(0, 0.5))


class Model(Segmenter):
    """Latents (B, C, h, w) to logits (B, H, W)."""

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        self.patches = Patches(shape, size, config.cells)
        self.unet = UNet(1, config.widths, config.dropout)

    def logits(self, x: Tensor) -> Tensor:
        return self.unet(self.patches(x).relu()).squeeze(1)
