"""U-Net with batch norm (Ronneberger et al. 2015, arXiv:1505.04597): maps to maps of the same height and width.

Each level has two 3x3 convolutions with batch norm and ReLU; a 2x2 maximum leads down, a transposed convolution up, and
what a level found on the way down is joined to it on the way up. Unlike the original the convolutions are padded, so
that the output is as large as the input; sides that the levels do not divide are padded with zeros and cut again.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """(B, `inputs`, H, W) to (B, 1, H, W).

    Args:
        inputs: channels of the input.
        widths: channels of each level from the finest; the last one is the bottom, at H / 2^(levels - 1).
        dropout: share of the bottom's channels that is dropped in training.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], dropout: float = 0.0):
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths must be two or more, of at least 1 each, got {','.join(map(str, widths))}")
        self.step = 2 ** (len(widths) - 1)
        finer = widths[:-1]
        self.down = nn.ModuleList(_Level(a, b) for a, b in zip((inputs, *finer[:-1]), finer, strict=True))
        self.bottom = nn.Sequential(_Level(finer[-1], widths[-1]), nn.Dropout2d(dropout))
        coarser = widths[:0:-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in zip(coarser, finer[::-1], strict=True))
        self.join = nn.ModuleList(_Level(2 * width, width) for width in finer[::-1])
        self.output = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = functional.pad(x, (0, -width % self.step, 0, -height % self.step))
        kept = []
        for level in self.down:
            x = level(x)
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([kept.pop(), up(x)], dim=1))
        return self.output(x)[..., :height, :width]


class _Level(nn.Sequential):
    """Twice: a 3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        parts = []
        for size in (inputs, outputs):
            parts += [nn.Conv2d(size, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*parts)
