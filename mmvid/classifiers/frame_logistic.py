"""Logistic regression on the mean of a video's frames: the starter code's `FrameLevelLogisticModel`.

Unlike `logistic` on the stored means, each frame is normalised before the mean is taken.
"""

import torch
from torch import Tensor, nn

from mmvid.classifiers import FrameClassifier
from mmvid.config import option
from mmvid.layers.features import FeatureOptions
from mmvid.records.batches import Batch, Shapes


class Config(FeatureOptions):
    """Logistic regression on the mean of the frames."""

    l2_penalty: float = option(1e-8, "penalty on the weights", ge=0, search=(1e-9, 1e-5), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        self.dense = nn.Linear(self.reader.size + self.reader.beside, shapes.classes)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def log_odds(self, batch: Batch) -> Tensor:
        mean = self.reader.frames(batch).sum(1) / batch.num_frames[:, None]  # padded frames are zeros
        return self.dense(torch.cat([mean, *self.reader.vectors(batch)], 1))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * 0.5 * self.dense.weight.square().sum()
