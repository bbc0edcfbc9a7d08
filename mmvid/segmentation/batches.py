"""Batches of latents or frames with their masks, from memory, in order or drawn anew each epoch."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mmvid.permutation import Permutation
from mmvid.segmentation.augmentation import Augmentation


@dataclasses.dataclass
class MaskBatch:
    """B labelled pictures.

    Attributes:
        inputs: what the model reads, float32 (B, C, h, w): latents, or frames in [-0.5, 0.5].
        masks: bool (B, H, W).
    """

    inputs: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "MaskBatch":
        return MaskBatch(*(each.to(device, non_blocking=non_blocking) for each in (self.inputs, self.masks)))


class MaskLoader:
    """The batches of a split; the order is the epoch's number's alone.

    Args:
        inputs: (N, C, h, w), an array or a map of a file.
        masks: bool (N, H, W).
        batch_size: pictures in a batch; the last one may be smaller.
        shuffle: whether the order is drawn anew each epoch.
        augmentation: what is done to the frames, anew each epoch; None for nothing.
        seed: of the orders.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        masks: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ):
        if len(inputs) != len(masks) or not len(masks):
            raise ValueError(f"inputs and masks must be as many, at least one, got {len(inputs)} and {len(masks)}")
        self.inputs, self.masks, self.batch_size = inputs, masks, batch_size
        self.shuffle, self.augmentation, self.seed, self.epoch = shuffle, augmentation, seed, 0

    def __len__(self) -> int:
        return -(-len(self.masks) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[MaskBatch]:
        order = np.arange(len(self.masks))
        if self.shuffle:
            order = Permutation(len(order), self.seed, self.epoch)(order)
        for begin in range(0, len(order), self.batch_size):
            yield self._batch(order[begin : begin + self.batch_size])

    def _batch(self, rows: np.ndarray) -> MaskBatch:
        inputs = torch.from_numpy(np.asarray(self.inputs[rows], np.float32))
        masks = torch.from_numpy(np.asarray(self.masks[rows], bool))
        if self.augmentation is not None:
            inputs, masks = self.augmentation(inputs, masks, rows.tolist(), self.epoch)
        return MaskBatch(inputs, masks)
