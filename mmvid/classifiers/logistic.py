"""Logistic regression on video-level features: the starter code's `LogisticModel`, the baseline of every table."""

from typing import Literal

from torch import Tensor, nn

from mmvid.classifiers import VectorClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import FusionOptions, Normalisation
from mmvid.records.batches import Batch, Shapes


class Config(FusionOptions, Preset):
    """Logistic regression."""

    presets = {"compact": {"normalisation": "per_modality"}, "audioset": {"normalisation": "per_modality"}}
    preset: Literal["compact", "audioset"] = option(
        "compact", "options that are not given; audioset is tuned on AudioSet", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")

    l2_penalty: float = option(1e-8, "penalty on the weights", ge=0, search=(1e-9, 1e-5), log=True)


class Model(VectorClassifier):
    """One dense layer and a sigmoid: joined features (B, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        self.dense = nn.Linear(self.join.size, shapes.classes)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def log_odds(self, batch: Batch) -> Tensor:
        return self.dense(self.join(batch.features, batch.presence, self.training))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * 0.5 * self.dense.weight.square().sum()
