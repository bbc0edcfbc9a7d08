"""Parts of segmentation heads: what mixes the cells of a latent, and what leads from its grid to pixels.

Source: Maier and Mohankumar 2024 (Video Prediction Models as General Visual Encoders), section 2.1, whose sizes are
those of latents 4 x 32 x 32 and 240 x 16 x 16 and of masks 64 x 64; here they hold for any.
B pictures, C channels, h x w cells, H x W pixels.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Cells = Literal["auto", "flattened", "per_cell"]
Shape = tuple[int, int, int]
Size = tuple[int, int]

# Numbers of a latent that `auto` mixes all with all: the paper's 4 x 32 x 32; its 240 x 16 x 16 would take 15 GB.
LARGEST_FLATTENED = 4096


def is_flattened(cells: Cells, shape: Shape) -> bool:
    """Whether a linear layer reads the whole latent at once, or each cell by itself."""
    channels, height, width = shape
    return cells == "flattened" or (cells == "auto" and channels * height * width <= LARGEST_FLATTENED)


class Mixing(nn.Module):
    """A fully connected layer and ReLU that keep the shape (B, C, h, w)."""

    def __init__(self, shape: Shape, cells: Cells, dropout: float = 0.0):
        super().__init__()
        channels, height, width = shape
        self.flattened = is_flattened(cells, shape)
        size = channels * height * width if self.flattened else channels
        self.linear = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.flattened:
            return self.dropout(self.linear(x.flatten(1)).relu()).view_as(x)
        return self.dropout(self.linear(x.movedim(1, -1)).relu()).movedim(-1, 1)


class Patches(nn.Module):
    """A linear map of the latent to one number a pixel, (B, 1, H, W).

    Flattened, each pixel reads the whole latent; per cell, each cell gives the patch of pixels that it covers.
    """

    def __init__(self, shape: Shape, size: Size, cells: Cells):
        super().__init__()
        channels, height, width = shape
        self.size, self.flattened = size, is_flattened(cells, shape)
        if self.flattened:
            self.linear = nn.Linear(channels * height * width, size[0] * size[1])
        else:
            self.side = max(-(-size[0] // height), -(-size[1] // width))
            self.linear = nn.Linear(channels, self.side**2)

    def forward(self, x: Tensor) -> Tensor:
        if self.flattened:
            return self.linear(x.flatten(1)).view(len(x), 1, *self.size)
        patches = self.linear(x.movedim(1, -1)).movedim(-1, 1)  # (B, side * side, h, w)
        return resized(functional.pixel_shuffle(patches, self.side), self.size)


class Tail(nn.Module):
    """Transposed convolutions up to the pixels and a convolution to one number each, (B, C, h, w) to (B, H, W).

    Each step has a 3x3 kernel and ReLU and doubles the sides where they must still grow: of more steps than doublings
    the first ones keep the sides, of fewer the last width is repeated. What is left is resized, bilinear.
    """

    def __init__(self, shape: Shape, size: Size, widths: tuple[int, ...], dropout: float = 0.0):
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"tail must be widths of at least 1, got {','.join(map(str, widths)) or 'none'}")
        inputs, height, width = shape
        doublings = doublings_to(size, (height, width))
        widths = widths + widths[-1:] * (doublings - len(widths))
        strides = [1] * (len(widths) - doublings) + [2] * doublings
        parts: list[nn.Module] = []
        for outputs, stride in zip(widths, strides, strict=True):
            parts += [nn.ConvTranspose2d(inputs, outputs, 3, stride, 1, output_padding=stride - 1), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*parts, nn.Dropout(dropout), nn.Conv2d(inputs, 1, 3, padding=1))
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return resized(self.layers(x), self.size).squeeze(1)


def doublings_to(size: Size, grid: Size) -> int:
    """How often a grid can be doubled before it is larger than `size`."""
    doublings = 0
    while grid[0] << (doublings + 1) <= size[0] and grid[1] << (doublings + 1) <= size[1]:
        doublings += 1
    return doublings


def resized(maps: Tensor, size: Size) -> Tensor:
    """Maps (B, C, h, w) at H x W pixels, bilinear; as they are where they have them."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return functional.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
