"""The catalogue of segmenters: one file = one head = `Config` + `Model`; latents or frames in, mask logits out."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import create_model
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from mmvid.catalogue import catalogue
from mmvid.config import Options
from mmvid.layers.decoders import Shape, Size
from mmvid.presets import unset

names, load = catalogue(__name__, __path__, "segmenter")


class Segmenter(nn.Module, ABC):
    """What training, packaging and serving ask of every segmenter.

    Args:
        config: its options.
        shape: channels, height and width of what it reads: of a latent, or of frames (3, H, W).
        size: height and width of the masks.

    Attributes:
        reads: `latent` maps of an encoder, or `frames`.
    """

    reads: ClassVar[Literal["latent", "frames"]] = "latent"

    def __init__(self, config: Options, shape: Shape, size: Size):
        super().__init__()
        self.config, self.shape, self.size = config, tuple(shape), tuple(size)

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return type(self).__module__.rpartition(".")[2]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, H, W) of what it reads, (B, C, h, w); above 0 where the mask is likelier than not.

        Raises:
            ValueError: if the input has another shape than it was built for.
        """
        if tuple(x.shape[1:]) != self.shape:
            wanted, got = (" x ".join(map(str, shape)) for shape in (self.shape, x.shape[1:]))
            raise ValueError(f"a {self.name} built for inputs of {wanted} must read such, got {got}")
        return self.logits(x)

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """What `forward` gives for inputs of the right shape."""


def head_names() -> list[str]:
    """The segmenters that read latents."""
    return [name for name in names() if load(name).Model.reads == "latent"]


def options_of_heads() -> type[Options]:
    """The options of all heads in one, each empty until it is given: a command line has one list of flags.

    Options of one name must be of one type; their descriptions name the heads that have them.
    """
    found: dict[str, tuple[Any, FieldInfo, list[str]]] = {}
    for name in head_names():
        for key, field in unset(load(name).Config).model_fields.items():
            kind, _, heads = found.setdefault(key, (field.annotation, field, []))
            if kind != field.annotation:
                raise ValueError(f"{key} must be of one type in all heads, in {name} it differs from {heads[0]}")
            heads.append(name)
    fields: dict[str, Any] = {}
    for key, (kind, field, heads) in found.items():
        stated = copy.copy(field)
        stated.description = f"{', '.join(heads)}: {field.description}"
        fields[key] = (kind, stated)
    return create_model("HeadOptions", __base__=Options, __doc__="The head's options.", **fields)
