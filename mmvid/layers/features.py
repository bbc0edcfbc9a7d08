"""Video-level features of several modalities as one vector.

The starter code normalises the concatenation of all features to length 1, so a missing modality rescales the others;
normalising each modality by itself keeps the visual part the same whether or not there is text.
"""

from typing import Literal

import torch
from torch import Tensor

from mmvid.config import Options, option
from mmvid.layers.text import FIELDS

Normalisation = Literal["per_modality", "joint", "none"]


class FeatureOptions(Options):
    """Which features a classifier reads, and how they are scaled."""

    modalities: tuple[str, ...] = option((), "modalities to read, such as visual,audio; none means all there are")
    normalisation: Normalisation = option("per_modality", "L2 normalisation of the input; joint is the original's")


class FusionOptions(FeatureOptions):
    """Which features a classifier joins, and what it makes of videos that lack a text."""

    presence_bits: bool = option(True, "an input for each of title and keywords that says whether a video has it")
    text_dropout: float = option(
        0.15, "share of videos whose title or keywords are hidden, each by itself, in training", ge=0, lt=1
    )


class JoinedFeatures:
    """Features of several modalities, normalised and concatenated into one vector of `size`.

    Title and keywords are the modalities that many videos lack. A bit for each says whether it is there, and hiding it
    from some videos in training keeps the other modalities able to stand alone (Neverova et al. 2016, ModDrop).
    """

    def __init__(self, options: FusionOptions, sizes: dict[str, int]):
        self.modalities = choose_modalities(options.modalities, sizes)
        self.options = options
        self.texts = [modality for modality in self.modalities if modality in FIELDS]
        bits = len(self.texts) if options.presence_bits else 0
        self.size = sum(sizes[modality] for modality in self.modalities) + bits

    def __call__(self, features: dict[str, Tensor], presence: dict[str, Tensor], training: bool = False) -> Tensor:
        """One vector a video, (B, `size`).

        Args:
            features: modality -> (B, D). `joint` normalises the whole, `per_modality` each part.
            presence: modality -> bool (B,); only that of title and keywords is read, where these are.
            training: whether some texts are hidden, by torch's random numbers.
        """
        parts = {modality: features[modality] for modality in self.modalities}
        there = {modality: presence[modality] for modality in self.texts}
        if training and self.options.text_dropout:
            for modality, present in there.items():
                there[modality] = present & (
                    torch.rand(present.shape, device=present.device) >= self.options.text_dropout
                )
                parts[modality] = parts[modality] * there[modality].unsqueeze(-1)
        if self.options.normalisation == "per_modality":
            parts = {modality: l2_normalise(part) for modality, part in parts.items()}
        joined = torch.cat(list(parts.values()), dim=-1)
        if self.options.normalisation == "joint":
            joined = l2_normalise(joined)
        if not (self.options.presence_bits and there):
            return joined
        return torch.cat([joined, torch.stack(list(there.values()), dim=-1).to(joined.dtype)], dim=-1)


def l2_normalise(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """`x` over its Euclidean norm along the last axis; zeros stay zeros.

    `epsilon` bounds the squared norm from below, as `tf.nn.l2_normalize` has it.
    """
    return x * x.square().sum(-1, keepdim=True).clamp_min(epsilon).rsqrt()


def choose_modalities(asked: tuple[str, ...], sizes: dict[str, int]) -> list[str]:
    """The modalities that a model reads: those asked for, or all that the data set has.

    Raises:
        ValueError: if one is asked for that the data set lacks, or is asked for twice, or there are none at all.
    """
    if not sizes:
        raise ValueError("the data set has no features of the level that this model reads")
    for modality in asked:
        if modality not in sizes:
            raise ValueError(f"modalities must be among {', '.join(sizes)}, got {modality!r}")
        if asked.count(modality) > 1:
            raise ValueError(f"modalities must be distinct, got {modality!r} twice")
    return list(asked or sizes)
