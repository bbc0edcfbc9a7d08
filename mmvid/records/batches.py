"""Batches of videos: the contract between the store and every classifier."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from mmvid.config import Options, option
from mmvid.records.buffers import Buffers
from mmvid.records.quantised import dequantise


class Shapes(Options):
    """The sizes that a classifier is built for."""

    classes: int = option(..., "number of labels", ge=1)
    features: dict[str, int] = option({}, "size of each modality's video-level feature")
    frames: dict[str, int] = option({}, "size of each modality's frame-level feature")
    float_frames: tuple[str, ...] = option((), "modalities whose frames are floats; those of others are uint8")
    words: int = option(0, "distinct words of titles and keywords; 0 where no text is read", ge=0)
    word_size: int = option(0, "size of a word's vector", ge=0)


@dataclasses.dataclass
class QuantisedFrames:
    """Frames of a modality as the bytes that they are stored as: a quarter of what must travel to a device.

    Attributes:
        frames: uint8 (B, T, D), zeros after a video's end.
        lengths: frames of each video, int64 (B,).
        quantised_range: what the bytes are spread over.
        buffers: memory for the floats on a CPU, of one float a row; None takes new memory.
    """

    frames: Tensor
    lengths: Tensor
    quantised_range: tuple[float, float]
    buffers: Buffers | None = None

    def dequantise(self, device: torch.device | str, non_blocking: bool = False) -> Tensor:
        """The frames as floats (B, T, D) on a device, zeros after a video's end."""
        if torch.device(device).type == "cpu":
            return self._on_cpu()
        frames, lengths = (each.to(device, non_blocking=non_blocking) for each in (self.frames, self.lengths))
        values = dequantise(frames, *self.quantised_range)
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        return values.masked_fill_(~valid[..., None], 0)

    def _on_cpu(self) -> Tensor:
        """Video by video, each of which fits the cache."""
        shape = self.frames.shape
        values = torch.empty(shape) if self.buffers is None else self.buffers.take(shape.numel()).view(shape)
        for row, length in enumerate(self.lengths.tolist()):
            dequantise(self.frames[row, :length], *self.quantised_range, out=values[row, :length])
            values[row, length:] = 0
        return values


@dataclasses.dataclass
class Batch:
    """B videos. A modality that a video lacks is zeros, and its presence is False.

    Attributes:
        ids: B video ids.
        features: video level, modality -> float (B, D).
        frames: frame level, modality -> float (B, T, D), dequantised, zeros after a video's end.
        num_frames: valid frames of each video, int64 (B,); ones where there are no frames.
        tokens: text, `title` or `keywords` -> int64 word ids from 1 to V (B, L), zeros after the end.
        token_lengths: words of each text, same keys -> int64 (B,).
        presence: modality -> bool (B,); `title` and `keywords` too, where the data set has text. Where their words
            or features are read it means a known word, else any text.
        labels: bool (B, C), or None where the split has none; float in [0, 1] where training is to follow targets.
        weights: float (B, C) that multiplies the loss, or None. Of segments 1 for the rated classes, else 0.
        quantised: frames that are bytes yet, by modality; `to` makes `frames` of them, on the device.
    """

    ids: Sequence[str]
    features: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    frames: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    num_frames: Tensor | None = None
    tokens: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    token_lengths: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    presence: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    labels: Tensor | None = None
    weights: Tensor | None = None
    quantised: dict[str, QuantisedFrames] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def weigh(self, scores: Tensor) -> Tensor:
        """Scores (B, C) as they are measured: times the weights, so that a class that nobody rated has 0."""
        return scores if self.weights is None else scores * self.weights

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`, and its frames as floats."""

        def move(value):
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=non_blocking)
            if isinstance(value, dict):
                return {key: move(tensor) for key, tensor in value.items()}
            return value

        moved = Batch(**{field.name: move(getattr(self, field.name)) for field in dataclasses.fields(self)})
        moved.quantised = {}
        for modality, stored in self.quantised.items():
            moved.frames[modality] = stored.dequantise(device, non_blocking)
        return moved
