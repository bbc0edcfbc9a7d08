"""Mixture of experts on video-level features (paper A, section 4.1; the starter code's `MoeModel`)."""

from typing import Literal

from torch import Tensor

from mmvid.classifiers import VectorClassifier
from mmvid.config import Preset, option
from mmvid.layers.experts import MixtureOfExperts
from mmvid.layers.features import FusionOptions, Normalisation
from mmvid.records.batches import Batch, Shapes

STARTER = {"normalisation": "per_modality", "l2_penalty": 1e-8}  # the penalty is the starter code's


class Config(FusionOptions, Preset):
    """Mixture of experts."""

    presets = {
        "compact": STARTER | {"experts": 2},
        "moe_a": STARTER | {"experts": 8},
        "moe_b": STARTER | {"experts": 32},
        "audioset": STARTER | {"experts": 2, "l2_penalty": 1e-5},
    }
    preset: Literal["compact", "moe_a", "moe_b", "audioset"] = option(
        "compact", "options that are not given; moe_a and moe_b are paper A's, audioset is tuned there", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")
    experts: int | None = option(
        None, "experts for each class; a dummy that says no comes on top (preset)", ge=1, search=(1, 16)
    )
    l2_penalty: float | None = option(
        None, "penalty on both weight matrices (preset)", ge=0, search=(1e-9, 1e-4), log=True
    )


class Model(VectorClassifier):
    """Joined features (B, D) to scores (B, C) through one mixture of experts a class."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        self.mixture = MixtureOfExperts(self.join.size, shapes.classes, config.experts)

    def log_odds(self, batch: Batch) -> Tensor:
        return self.mixture(self.join(batch.features, batch.presence, self.training))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.mixture.squared_weights()
