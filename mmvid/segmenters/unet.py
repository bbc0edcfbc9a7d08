"""U-Net on frames (Ronneberger et al. 2015, arXiv:1505.04597): the baseline that no video prediction helped."""

from torch import Tensor

from mmvid.config import Options, option
from mmvid.layers.decoders import Shape, Size, resized
from mmvid.layers.unet import UNet
from mmvid.segmenters import Segmenter


class Config(Options):
    """U-Net."""

    widths: tuple[int, ...] = option((64, 128, 256, 512, 1024), "channels of each level, the last one the bottom's")
    dropout: float = option(0.0, "share of the bottom's channels dropped in training", ge=0, lt=1, search=(0, 0.5))


class Model(Segmenter):
    """Frames (B, 3, H, W) in [-0.5, 0.5] to logits (B, H, W)."""

    reads = "frames"

    def __init__(self, config: Config, shape: Shape, size: Size):
        super().__init__(config, shape, size)
        self.unet = UNet(shape[0], config.widths, config.dropout)

    def logits(self, x: Tensor) -> Tensor:
        return resized(self.unet(x), self.size).squeeze(1)
