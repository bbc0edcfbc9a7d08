"""Batches of clips: the contract between the store and every encoder and segmenter."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


@dataclasses.dataclass
class ClipBatch:
    """B clips of T frames.

    Attributes:
        ids: B ids; windows of one clip have one id.
        clips: float32 (B, 3, T, H, W) in [-0.5, 0.5], see `as_pixels`.
        trajectory: the trajectory that each was taken from: cameras of one scene, and windows, share it.
        masks: bool (B, K, H, W) of the first frame, one mask for each category of the store; None where it has none.
        classes: int64 (B,), or None where the store has none.
        actions: float32 (B, T, A), where the store has some; those of frames between the taken ones are left out.
        starts: the first frame of each window, int64 (B,).
    """

    ids: Sequence[str]
    clips: Tensor
    trajectory: Sequence[str]
    masks: Tensor | None = None
    classes: Tensor | None = None
    actions: Tensor | None = None
    starts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ClipBatch":
        """The same batch with every tensor on `device`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moved = {
            name: value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        return ClipBatch(**moved)


def as_pixels(frames: np.ndarray | Tensor) -> Tensor:
    """uint8 frames (..., T, H, W, 3) as float32 (..., 3, T, H, W) in [-0.5, 0.5]: a byte over 255, less a half."""
    if isinstance(frames, np.ndarray):
        frames = torch.from_numpy(np.require(frames, requirements="W"))  # a store's frames are a read-only map
    channels = frames.movedim(-1, -4).contiguous()
    return channels.to(torch.float32).div_(255).sub_(0.5)


def as_bytes(clips: Tensor) -> Tensor:
    """Clips (..., 3, T, H, W) as uint8 frames (..., T, H, W, 3): the reverse of `as_pixels`, out of range is cut."""
    return clips.add(0.5).mul(255).round().clamp(0, 255).to(torch.uint8).movedim(-4, -1).contiguous()
