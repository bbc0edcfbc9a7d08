"""3-D convolutions that keep "same" geometry for any stride, padded with zeros as VideoGPT pads.

On each axis the padding is kernel - stride in all, the larger half in front, so a stride s divides the size by s, and
the transposed convolution multiplies it by s. Of the transposed one VideoGPT pads the input by the same rule and
crops kernel - 1 on either side; cropping the output alone gives the same numbers without the padded copy.
Source: VideoGPT (Yan et al. 2021, arXiv:2104.10157), its published models.
"""

from torch import Tensor, nn
from torch.nn import functional

Size = tuple[int, int, int]


class SameConv3d(nn.Conv3d):
    """(B, C, T, H, W) to (B, C', T / s, H / s, W / s)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: Size = (1, 1, 1), bias: bool = True):
        totals = [max(0, kernel - step) for step in stride]
        self.surplus = [total % 2 for total in totals]
        super().__init__(inputs, outputs, kernel, stride, padding=[total // 2 for total in totals], bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.surplus):  # one zero more in front than behind
            x = functional.pad(x, [side for surplus in reversed(self.surplus) for side in (surplus, 0)])
        return super().forward(x)


class SameConvTranspose3d(nn.ConvTranspose3d):
    """(B, C, T, H, W) to (B, C', T * s, H * s, W * s)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: Size):
        # The original pads the input by `front` and `back` and crops kernel - 1 of the output; a padded zero in front
        # moves the output by one stride.
        totals = [max(0, kernel - step) for step in stride]
        fronts = [kernel - 1 - step * ((total + 1) // 2) for total, step in zip(totals, stride, strict=True)]
        backs = [kernel - 1 - step * (total // 2) for total, step in zip(totals, stride, strict=True)]
        self.excess = [back - front for front, back in zip(fronts, backs, strict=True)]
        super().__init__(inputs, outputs, kernel, stride, padding=fronts)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        for axis, excess in enumerate(self.excess, start=2):
            y = y.narrow(axis, 0, y.shape[axis] - excess)
        return y
