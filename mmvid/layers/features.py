"""Video-level features of several modalities as one vector.

The starter code normalises the concatenation of all features to length 1, so a missing modality rescales the others;
normalising each modality by itself keeps the visual part the same whether or not there is text.
"""

from typing import Literal

import torch
from torch import Tensor

from mmvid.config import Options, option


class FeatureOptions(Options):
    """Which features a classifier reads, and how they are scaled."""

    modalities: tuple[str, ...] = option((), "modalities to read, such as visual,audio; none means all there are")
    normalisation: Literal["per_modality", "joint", "none"] = option(
        "per_modality", "L2 normalisation of the input; joint is the original's"
    )


class JoinedFeatures:
    """Features of several modalities, normalised and concatenated into one vector of `size`."""

    def __init__(self, options: FeatureOptions, sizes: dict[str, int]):
        self.modalities = choose_modalities(options.modalities, sizes)
        self.normalisation = options.normalisation
        self.size = sum(sizes[modality] for modality in self.modalities)

    def __call__(self, features: dict[str, Tensor]) -> Tensor:
        """Modality -> (..., D) to (..., `size`); `joint` normalises the whole, `per_modality` each part."""
        parts = [features[modality] for modality in self.modalities]
        if self.normalisation == "per_modality":
            parts = [l2_normalise(part) for part in parts]
        joined = torch.cat(parts, dim=-1)
        return l2_normalise(joined) if self.normalisation == "joint" else joined


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
