"""Changes of labelled frames that leave them labelled: what moves a frame's pixels moves its mask's alike.

What becomes of a frame depends on the seed, the epoch and the frame's number only, so that a training that was stopped
goes on as it would have.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
_DRAWS = 7  # three for the colours, one each for the window's side, its place across and down, and the mirror


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may be done to a frame.

    Attributes:
        flip: whether half of the frames are mirrored, left to right.
        colour: by how much brightness, contrast and saturation may change, as a share; 0 for nothing.
        crop: the least share of the frame's area that is cut out and enlarged; 1 cuts nothing.
        seed: of all draws.
    """

    flip: bool = False
    colour: float = 0.0
    crop: float = 1.0
    seed: int = 0

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return self.flip or self.colour > 0 or self.crop < 1

    def __call__(self, frames: Tensor, masks: Tensor, numbers: list[int], epoch: int) -> tuple[Tensor, Tensor]:
        """Frames (B, 3, h, w) in [-0.5, 0.5] and masks bool (B, H, W), changed; their sizes may differ.

        Args:
            frames, masks: pictures and what is labelled in them.
            numbers: each frame's number in its split.
            epoch: the epoch's number.
        """
        if not self.changes:
            return frames, masks
        draws = [np.random.default_rng([self.seed, epoch, number]).random(_DRAWS) for number in numbers]
        drawn = torch.from_numpy(np.stack(draws)).to(frames)  # (B, 7)
        if self.colour > 0:
            frames = coloured(frames, *((2 * drawn[:, :3] - 1) * self.colour + 1).unbind(1))
        if self.flip or self.crop < 1:
            sides = (self.crop + (1 - self.crop) * drawn[:, 3]).sqrt()
            frames, masks = cut(frames, masks, sides, drawn[:, 4:6], (drawn[:, 6] < 0.5) & self.flip)
        return frames, masks


def coloured(frames: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Frames (B, 3, H, W) in [-0.5, 0.5] with brightness, contrast and saturation multiplied, (B,) each."""
    brightness, contrast, saturation = (each.view(-1, 1, 1, 1) for each in (brightness, contrast, saturation))
    frames = (frames + 0.5) * brightness
    weights = frames.new_tensor(GREY).view(1, 3, 1, 1)
    mean = (frames * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    frames = mean + (frames - mean) * contrast
    grey = (frames * weights).sum(1, keepdim=True)
    return (grey + (frames - grey) * saturation - 0.5).clamp(-0.5, 0.5)


def cut(frames: Tensor, masks: Tensor, sides: Tensor, places: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """A window of each frame and of its mask, enlarged to their sizes.

    Args:
        frames: (B, 3, h, w).
        masks: bool (B, H, W).
        sides: of the windows, in sides of the frame, (B,).
        places: where they lie, from 0 (left, top) to 1, (B, 2).
        mirrored: whether they are mirrored left to right, bool (B,).
    """
    middle = (2 * places - 1) * (1 - sides).unsqueeze(1)  # from -1 to 1, as `affine_grid` counts
    across = torch.where(mirrored, -sides, sides)
    zeros = torch.zeros_like(sides)
    rows = [torch.stack(row, 1) for row in ((across, zeros, middle[:, 0]), (zeros, sides, middle[:, 1]))]
    moves = torch.stack(rows, 1)  # (B, 2, 3)
    return _sampled(frames, moves), _sampled(masks.unsqueeze(1).to(frames), moves).squeeze(1) >= 0.5


def _sampled(pictures: Tensor, moves: Tensor) -> Tensor:
    grid = functional.affine_grid(moves, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
