"""Batches of videos: the contract between the store and every classifier."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from mmvid.config import Options, option


class Shapes(Options):
    """The sizes that a classifier is built for."""

    classes: int = option(..., "number of labels", ge=1)
    features: dict[str, int] = option({}, "size of each modality's video-level feature")
    frames: dict[str, int] = option({}, "size of each modality's frame-level feature")
    float_frames: tuple[str, ...] = option((), "modalities whose frames are floats; those of others are uint8")
    words: int = option(0, "distinct words of titles and keywords; 0 where no text is read", ge=0)
    word_size: int = option(0, "size of a word's vector", ge=0)


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

    def __len__(self) -> int:
        return len(self.ids)

    def weigh(self, scores: Tensor) -> Tensor:
        """Scores (B, C) as they are measured: times the weights, so that a class that nobody rated has 0."""
        return scores if self.weights is None else scores * self.weights

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""

        def move(value):
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=non_blocking)
            if isinstance(value, dict):
                return {key: move(tensor) for key, tensor in value.items()}
            return value

        return Batch(**{field.name: move(getattr(self, field.name)) for field in dataclasses.fields(self)})
