"""I3D (Carreira and Zisserman 2017, arXiv:1705.07750): the network whose outputs FVD compares.

An Inception-v1 inflated to three dimensions, trained on Kinetics-400. No weights come with mmvid: a user gives a file
of a PyTorch conversion with the common names (`Conv3d_1a_7x7.conv3d.weight` ...). A TorchScript file is a program
that would run with its reader's rights, and a pickle is one too: so only tensors are read, from safetensors or by the
reader of torch that makes nothing but tensors, and the network is this file's.
"""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

SIDE = 224  # pixels that frames are resized to
CLASSES = 400  # of Kinetics-400
_MIXED = {  # channels of the four branches: 1x1, 1x1 then 3x3, 1x1 then 3x3, pooling then 1x1
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}
# What comes before a group of mixed blocks: a pooling of kernel and stride (time, height and width alike).
_POOLED = {"Mixed_3b": ((1, 3, 3), (1, 2, 2)), "Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}


class I3D(nn.Module):
    """Clips (B, 3, T, H, W) in [-0.5, 0.5] to logits (B, 400), the mean over time; T at least 9."""

    def __init__(self):
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = _Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        for name, sizes in _MIXED.items():
            self.add_module(name, _Mixed(*sizes))
        self.logits = _Unit(1024, CLASSES, 1, bare=True)

    def forward(self, clips: Tensor) -> Tensor:
        if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[2] < 9:
            raise ValueError(f"clips must be (B, 3, T, H, W) with 9 frames or more, got {tuple(clips.shape)}")
        frames = (2 * clips).transpose(1, 2).flatten(0, 1)  # (B * T, 3, H, W) in [-1, 1]
        frames = functional.interpolate(frames, (SIDE, SIDE), mode="bilinear")
        x = frames.unflatten(0, (len(clips), -1)).transpose(1, 2)
        x = _pooled(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in _MIXED:
            if name in _POOLED:
                x = _pooled(x, *_POOLED[name])
            x = getattr(self, name)(x)
        x = functional.avg_pool3d(x, (2, 7, 7), 1)
        return self.logits(x).flatten(2).mean(2)


def load_i3d(path: Path) -> I3D:
    """The network with a user's weights, in evaluation mode.

    Raises:
        ValueError: if the file holds anything but tensors, or not those of I3D; the file is named.
        OSError: if it cannot be read.
    """
    try:
        if _is_program(path):
            raise ValueError("it is a TorchScript program, which is not run; give its weights as safetensors")
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        model = I3D()
        model.load_state_dict(weights)
    except OSError:
        raise
    except Exception as error:  # a damaged file can raise anything
        sentence = " ".join(str(error).split())[:300]
        if isinstance(error, pickle.UnpicklingError):  # torch's own sentences advise to trust the file
            sentence = "it is no file of PyTorch, or one that holds more than tensors"
        raise ValueError(f"{path} must hold the weights of I3D as tensors: {sentence}") from error
    return model.eval().requires_grad_(False)


def _is_program(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


class _Unit(nn.Module):
    """Convolution, batch norm and ReLU, padded as TensorFlow pads: less in front, more behind."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bare: bool = False):
        super().__init__()
        self.kernel, self.stride, self.bare = (kernel,) * 3, (stride,) * 3, bare
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=bare)
        if not bare:
            self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(_padded(x, self.kernel, self.stride))
        return x if self.bare else functional.relu(self.bn(x))


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, one: int, half: int, three: int, small: int, other: int, pooled: int):
        super().__init__()
        self.b0 = _Unit(inputs, one, 1)
        self.b1a, self.b1b = _Unit(inputs, half, 1), _Unit(half, three, 3)
        self.b2a, self.b2b = _Unit(inputs, small, 1), _Unit(small, other, 3)
        self.b3b = _Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(_pooled(x, (3, 3, 3), (1, 1, 1))),
        ]
        return torch.cat(branches, dim=1)


def _pooled(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Maximum of windows; the padding is zeros, which ReLU's outputs never go below."""
    return functional.max_pool3d(_padded(x, kernel, stride), kernel, stride)


def _padded(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    padding = []
    for side, size, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(size - (step if side % step == 0 else side % step), 0)
        padding += [total // 2, total - total // 2]
    return functional.pad(x, padding)
