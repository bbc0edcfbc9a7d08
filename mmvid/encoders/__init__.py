"""The catalogue of encoders: one file = one encoder = `Config` + `Model`; clips in, feature maps and a loss out."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from mmvid.catalogue import catalogue
from mmvid.clips.batches import ClipBatch
from mmvid.config import Options

names, load = catalogue(__name__, __path__, "encoder")


class Encoder(nn.Module, ABC):
    """What training, packaging and segmentation ask of every encoder.

    Attributes:
        config: the options that it was built with.
        parts: encoders that it is built on, by the name of the constructor's argument; they are frozen.
    """

    config: Options
    parts: dict[str, "Encoder"]

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def loss(self, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """What training makes small, a scalar, and measures of the batch, scalars without gradients, by name."""

    @abstractmethod
    def features(self, frames: Tensor) -> Tensor:
        """Feature maps (B, t, h, w, D) of frames (B, 3, H, W) or (B, 3, T, H, W) in [-0.5, 0.5]."""


def describe(model: Encoder) -> dict[str, Any]:
    """All that builds the encoder anew but its weights, as JSON values; `build` reads it."""
    description = {"encoder": model.name, "config": model.config.model_dump(mode="json", by_alias=True)}
    if model.parts:
        description["parts"] = {name: describe(part) for name, part in model.parts.items()}
    return description


def build(description: dict[str, Any]) -> Encoder:
    """The encoder that `describe` described, with fresh weights.

    Raises:
        ValueError: for an unknown encoder or a config that it refuses (pydantic's ValidationError).
        KeyError: if the description is incomplete.
    """
    member = load(description["encoder"])
    parts = {name: build(part) for name, part in description.get("parts", {}).items()}
    return member.Model(member.Config.model_validate(description["config"]), **parts)
