"""Frames of several modalities for models that pool them: joined, normalised, sampled, and without their padding.

A modality that the data set has no frames of, such as the features of a title, is read as one vector a video and
stands beside what the frames are pooled to.

Frames are (B, T, D) with T the longest video of the batch. Dense layers and batch normalisation work on the valid ones
only, packed as (N, D): padding then neither costs anything nor enters a statistic.

Source of the sampling: google/youtube-8m, model_utils.py (Abu-El-Haija et al. 2016, arXiv:1609.08675).
"""

from typing import Literal, Protocol

import torch
from torch import Tensor

from mmvid.config import option
from mmvid.layers.features import FeatureOptions, choose_modalities, l2_normalise

Sampling = Literal["all", "frames", "run"]


class Videos(Protocol):
    """What is read of a batch of videos; see `mmvid.records.batches.Batch`."""

    features: dict[str, Tensor]
    frames: dict[str, Tensor]
    num_frames: Tensor


class SamplingOptions(FeatureOptions):
    """Which frames of a video are read."""

    sampling: Sampling = option(
        "all", "in training: all frames, `samples` of them drawn with replacement, or one run of `samples`"
    )
    samples: int = option(30, "frames that are drawn", ge=1)
    evaluation: Literal["all", "fixed", "random"] = option(
        "all", "when scoring: all frames, the same draw for every video, or a new draw (the original's)"
    )

    def drawn(self, training: bool) -> Sampling:
        """How frames are drawn now."""
        return self.sampling if training or self.evaluation != "all" else "all"

    @property
    def stochastic(self) -> bool:
        """Whether scores vary from call to call."""
        return self.evaluation == "random" and self.sampling != "all"


class FrameFeatures:
    """What a frame-level model reads of a batch.

    Attributes:
        modalities: all of them, in order.
        framed: those that are read as frames -> their sizes.
        size: numbers of a frame, the modalities' joined.
        beside: numbers of the video-level vectors that stand beside the frames.
    """

    def __init__(self, options: FeatureOptions, features: dict[str, int], frames: dict[str, int]):
        """
        Args:
            options: the modalities to read; none means all that have frames.
            features, frames: the sizes of all modalities' video-level vectors and of their frames.

        Raises:
            ValueError: if no modality is left that has frames.
        """
        there = {**features, **frames} if options.modalities else frames
        self.modalities = choose_modalities(options.modalities, there)
        self.framed = {modality: frames[modality] for modality in self.modalities if modality in frames}
        if not self.framed:
            has = ", ".join(frames) or "the data set has none"
            raise ValueError(f"modalities must hold one with frames ({has}), got {', '.join(self.modalities)}")
        self.normalisation = options.normalisation
        self.size = sum(self.framed.values())
        self._vectors = [modality for modality in self.modalities if modality not in self.framed]
        self.beside = sum(there[modality] for modality in self._vectors)

    def frames(self, batch: Videos, index: Tensor | None = None) -> Tensor:
        """The joined frames (B, T, `size`), normalised; padded ones are zeros.

        Args:
            batch: videos with frames.
            index: the frames to take of each video, (B, k): nothing is computed for the others. None takes all.
        """
        parts = [batch.frames[modality] for modality in self.framed]
        if index is not None:
            rows = torch.arange(len(index), device=index.device)[:, None]
            parts = [part[rows, index] for part in parts]
        if self.normalisation == "per_modality":
            parts = [l2_normalise(part) for part in parts]
        joined = torch.cat(parts, dim=-1)
        return l2_normalise(joined) if self.normalisation == "joint" else joined

    def vectors(self, batch: Videos) -> list[Tensor]:
        """The video-level vectors beside the frames, each (B, D); normalised each by itself unless `none`."""
        parts = [batch.features[modality] for modality in self._vectors]
        return parts if self.normalisation == "none" else [l2_normalise(part) for part in parts]

    def draw(self, batch: Videos, options: SamplingOptions, training: bool) -> tuple[Tensor, Tensor]:
        """The frames to work on (B, T, `size`), and which of them are valid, bool (B, T)."""
        how = options.drawn(training)
        if how == "all":
            return self.frames(batch), valid_frames(batch)
        fixed = not training and options.evaluation == "fixed"
        index = sample_frames(batch.num_frames, options.samples, how, fixed)
        return self.frames(batch, index), torch.ones_like(index, dtype=torch.bool)


def valid_frames(batch: Videos) -> Tensor:
    """Which frames of a batch are there and not padding, bool (B, T)."""
    longest = max(frames.shape[1] for frames in batch.frames.values())
    return torch.arange(longest, device=batch.num_frames.device) < batch.num_frames[:, None]


def sample_frames(num_frames: Tensor, count: int, how: Literal["frames", "run"], fixed: bool = False) -> Tensor:
    """Frames drawn from each video by itself, int64 (B, `count`).

    `frames` draws with replacement, index = floor(u n). `run` takes neighbours from a start that is uniform in
    0..max(n - count, 0); a video that is shorter repeats its last frame.

    Args:
        num_frames: n of each video, (B,).
        count: frames to draw.
        how: see above.
        fixed: the same u for every video, whatever else is in the batch, instead of torch's random state.
    """
    draws = count if how == "frames" else 1
    if fixed:
        u = torch.rand(1, draws, generator=torch.Generator().manual_seed(0))
    else:  # on the CPU, whose random state a checkpoint carries
        u = torch.rand(len(num_frames), draws)
    n, u = num_frames[:, None], u.to(num_frames.device)
    if how == "frames":
        index = (u * n).long()
    else:
        start = (u * ((n - count).clamp_min(0) + 1)).long()
        index = start + torch.arange(count, device=n.device)
    return torch.minimum(index, n - 1)  # u n rounds up to n now and then


def unpack(packed: Tensor, valid: Tensor, fill: float = 0.0) -> Tensor:
    """Packed frames (N, K) at their places in (B, T, K); padded places hold `fill`."""
    frames = packed.new_full((*valid.shape, packed.shape[-1]), fill)
    frames[valid] = packed
    return frames
