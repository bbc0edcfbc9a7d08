"""VideoGPT's frame-conditioning network: a ResNet-34 inflated to three dimensions, with layer norm over channels.

Of one frame the 3x3x3 convolutions see zeros before and after it, so only the middle slices of their kernels take part:
the network is then a 2-D one, exactly, and is computed as one. No kernel learns anything about motion from one frame.
The weights lie in memory so that a middle slice is a channels-last 2-D kernel as it is.

Source: VideoGPT (Yan et al. 2021, arXiv:2104.10157), its published models; He et al. 2016 for the ResNet.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = (3, 4, 6, 3)
STRIDES = (1, 2, 2, 1)  # of height and width; time keeps its length


class FrameResnet(nn.Module):
    """(B, 3, T, H, W) in [-0.5, 0.5] to (B, T, H / 4, W / 4, `size`).

    Args:
        width: channels of the stem and of the first group; they double in the second and in the third.
        size: channels of the last group.
    """

    def __init__(self, width: int = 64, size: int = 240):
        super().__init__()
        self.stem = _Convolution(3, width, 3)
        self.stem_norm = _ChannelNorm(width)
        groups, inputs = [], width
        outputs = (width, 2 * width, 4 * width, size)
        for count, stride, channels in zip(BLOCKS, STRIDES, outputs, strict=True):
            first = _Block(inputs, channels, stride, projected=True)
            rest = (_Block(channels, channels, 1, projected=False) for _ in range(count - 1))
            groups.append(nn.Sequential(first, *rest))
            inputs = channels
        self.groups = nn.Sequential(*groups)

    def forward(self, frames: Tensor) -> Tensor:
        if frames.shape[2] != 1:
            return self._run(frames.contiguous(memory_format=torch.channels_last_3d)).movedim(1, -1)
        flat = frames.squeeze(2).contiguous(memory_format=torch.channels_last)
        return self._run(flat).movedim(1, -1).unsqueeze(1)

    def _run(self, x: Tensor) -> Tensor:
        return self.groups(functional.relu(self.stem_norm(self.stem(x))))


class _Block(nn.Module):
    """Two convolutions beside a shortcut; the branch too passes through ReLU before the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int, projected: bool):
        super().__init__()
        self.projection = _Convolution(inputs, outputs, 1, stride) if projected else None
        self.projection_norm = _ChannelNorm(outputs) if projected else None
        self.conv1 = _Convolution(inputs, outputs, 3, stride)
        self.norm1 = _ChannelNorm(outputs)
        self.conv2 = _Convolution(outputs, outputs, 3)
        self.norm2 = _ChannelNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.projection is None else self.projection_norm(self.projection(x))
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        return functional.relu(shortcut + y)


class _Convolution(nn.Conv3d):
    """A 3-D convolution of (B, C, T, H, W), or of (B, C, H, W) as one frame: then with its kernel's middle slice."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(inputs, outputs, kernel, (1, stride, stride), kernel // 2, bias=False)
        slices = self.weight.detach().permute(2, 0, 3, 4, 1).contiguous()  # (kT, C', kH, kW, C) in memory
        self.weight = nn.Parameter(slices.permute(1, 4, 0, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 5:
            return super().forward(x)
        middle, stride = self.weight[:, :, self.kernel_size[0] // 2], self.stride[1:]
        if self.kernel_size[0] == 1:
            # The same sums: a 1x1 kernel reads the rows and columns that the stride keeps. With the stride inside the
            # convolution, torch 2.13's backward pass on a CPU writes beyond its memory where there are few channels.
            x, stride = x[..., :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last), (1, 1)
        return functional.conv2d(x, middle, stride=stride, padding=self.padding[1:])


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position, (B, C, ...), in float32 also under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1).float()).movedim(-1, 1)
