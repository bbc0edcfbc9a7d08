"""Windows of the clips of a split, in batches, in order or shuffled anew each epoch, on one process or several."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmvid.clips.batches import ClipBatch, as_pixels
from mmvid.clips.store import ClipStore, Entry
from mmvid.permutation import Permutation
from mmvid.ranks import batch_ends, check_batching, equal_length

Windows = Literal["random", "first", "all"]


class ClipLoader:
    """The batches of one split; iterating again gives the same epoch until `set_epoch`.

    A window is `frames` frames of a clip, every `stride`-th. Order and windows of an epoch depend on the seed, the
    epoch's number and the clips, and on nothing else. Clips that are too short for a window are left out; `short`
    counts them. Of several ranks each takes its part of the order, and all have the same number of batches.
    """

    def __init__(
        self,
        store: ClipStore,
        split: str,
        batch_size: int,
        *,
        frames: int = 16,
        stride: int = 1,
        windows: Windows = "random",
        resolution: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        """
        Args:
            store: the data set.
            split: the split; one without clips gives no batches.
            batch_size: windows in a batch; the last one may be smaller.
            frames: frames of a window.
            stride: from one frame of a window to the next.
            windows: `random` draws one start a clip, anew each epoch, among all starts, the last included; `first`
                takes the start; `all` takes every start of every clip.
            resolution: height and width of the pictures, cut to a centred square and resized; None leaves them.
            shuffle: whether the order is drawn anew each epoch.
            seed: of the orders and the starts.
            rank, world_size: this process, and how many there are.

        Raises:
            ValueError: if no clip of a split that has some is long enough, or there are too few windows for the ranks.
        """
        check_batching(batch_size, rank, world_size)
        for name, value in (("frames", frames), ("stride", stride), ("resolution", resolution)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if windows not in ("random", "first", "all"):
            raise ValueError(f"windows must be random, first or all, got {windows!r}")
        self.store, self.split, self.batch_size = store, split, batch_size
        self.frames, self.stride, self.windows, self.resolution = frames, stride, windows, resolution
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self.rank, self.world_size = rank, world_size
        self.rows, self.starts = self._long_enough()
        self.short = store.count(split) - len(self.rows)
        if windows == "all":  # windows by number: of a clip, and within it
            self._ends = np.cumsum(self.starts)
            self.count = int(self._ends[-1]) if len(self.rows) else 0
        else:
            self.count = len(self.rows)
        self.length = equal_length(self.count, batch_size, world_size, "windows")
        self._classes = {name: number for number, name in enumerate(store.classes)}

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is: order and random windows follow from it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[ClipBatch]:
        own = np.arange(self.rank, self.count, self.world_size)
        if self.shuffle and self.count:
            own = Permutation(self.count, self.seed, self.epoch)(own)
        clips, starts = self._windows(own)
        begin = 0
        for end in batch_ends(len(own), self.length, self.batch_size):
            yield self.batch(self.rows[clips[begin:end]].tolist(), starts[begin:end].tolist())
            begin = end

    def batch(self, rows: list[int], starts: list[int]) -> ClipBatch:
        """The windows that begin at `starts` of the split's clips `rows`."""
        store, split = self.store, self.split
        taken = [slice(start, start + self.span, self.stride) for start in starts]
        entries = [store.entries(split)[row] for row in rows]
        pixels = np.stack([store.frames(split, row)[part] for row, part in zip(rows, taken, strict=True)])
        clips, masks = as_pixels(pixels), None
        if store.categories:
            first = [store.masks(split, row, [start])[0] for row, start in zip(rows, starts, strict=True)]
            masks = torch.from_numpy(np.stack(first))
        if self.resolution is not None and (self.resolution, self.resolution) != clips.shape[-2:]:
            clips = resize_clips(clips, self.resolution)
            masks = None if masks is None else resize_masks(masks, self.resolution)
        actions = None
        if store.layout.actions:
            parts = [store.actions(split, row)[part] for row, part in zip(rows, taken, strict=True)]
            actions = torch.from_numpy(np.stack(parts).astype(np.float32, copy=False))
        return ClipBatch(
            ids=[entry.id for entry in entries],
            clips=clips,
            trajectory=[entry.trajectory for entry in entries],
            masks=masks,
            classes=self._labels(entries),
            actions=actions,
            starts=torch.tensor(starts),
        )

    @property
    def span(self) -> int:
        """The frames of a clip that a window reaches over."""
        return (self.frames - 1) * self.stride + 1

    def _long_enough(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the clips that have a window, and how many starts each has."""
        starts = np.array([entry.frames for entry in self.store.entries(self.split)], np.int64) - self.span + 1
        if len(starts) and starts.max() < 1:
            raise ValueError(
                f"no clip of {self.split} has {self.span} frames, which {self.frames} frames of stride {self.stride} "
                f"need; the longest has {starts.max() + self.span - 1}"
            )
        rows = np.flatnonzero(starts >= 1)
        return rows, starts[rows]

    def _windows(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the windows with these numbers, which clip each is of, and where it begins."""
        if self.windows == "all":
            clips = np.searchsorted(self._ends, own, side="right")
            return clips, own - (self._ends - self.starts)[clips]
        if self.windows == "first":
            return own, np.zeros_like(own)
        # A bit generator's raw numbers are the same in every version of numpy; a draw belongs to a clip, not a place.
        raw = np.random.PCG64([self.seed, self.epoch]).random_raw(self.count)
        drawn = (raw >> np.uint64(32)) * self.starts.astype(np.uint64) >> np.uint64(32)
        return own, drawn.astype(np.int64)[own]

    def _labels(self, entries: list[Entry]) -> Tensor | None:
        if not self._classes or any(entry.label is None for entry in entries):
            return None
        return torch.tensor([self._classes[entry.label] for entry in entries])


def resize_clips(clips: Tensor, resolution: int) -> Tensor:
    """Clips (B, 3, T, H, W) cut to their centred square and resized, bilinear with antialiasing."""
    square = _centred(clips)
    batch, channels, frames, *_ = square.shape
    pictures = square.transpose(1, 2).flatten(0, 1)  # (B * T, 3, S, S)
    resized = functional.interpolate(pictures, (resolution, resolution), mode="bilinear", antialias=True)
    return resized.unflatten(0, (batch, frames)).transpose(1, 2).contiguous()


def resize_masks(masks: Tensor, resolution: int) -> Tensor:
    """Masks bool (B, K, H, W) cut as `resize_clips` cuts and resized: a pixel is set where most of it was."""
    share = functional.interpolate(_centred(masks).float(), (resolution, resolution), mode="bilinear", antialias=True)
    return share >= 0.5


def _centred(pictures: Tensor) -> Tensor:
    """The largest centred square of pictures (..., H, W)."""
    height, width = pictures.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pictures[..., top : top + side, left : left + side]
