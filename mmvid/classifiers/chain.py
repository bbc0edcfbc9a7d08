"""A chain of mixtures of experts on video-level features (Wang et al. 2017, arXiv:1706.05150).

Each stage sees the features and a narrow projection of the scores of all stages before it, so that classes that come
together are learnt. In training every stage has a loss of its own; the last one's scores are the answer.
"""

import torch
from torch import Tensor, nn

from mmvid.classifiers import VectorClassifier
from mmvid.config import option
from mmvid.layers import losses
from mmvid.layers.experts import MixtureOfExperts
from mmvid.layers.features import FusionOptions
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.005}


class Config(FusionOptions):
    """Chain of mixtures of experts."""

    stages: int = option(2, "mixtures in the chain", ge=2, search=(2, 4))
    experts: int = option(2, "experts for each class in each stage", ge=1, search=(1, 8))
    link: int = option(128, "numbers that a stage's scores are projected to for the next ones", ge=1)
    dropout: float = option(0.0, "share of the features dropped in training", ge=0, lt=1, search=(0.0, 0.5))
    stage_weight: float = option(0.2, "weight of the mean loss of the stages before the last", ge=0, search=(0.0, 1.0))
    l2_penalty: float = option(1e-8, "penalty on all weight matrices", ge=0, search=(1e-9, 1e-5), log=True)


class Model(VectorClassifier):
    """Joined features (B, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        sizes = [self.join.size + stage * config.link for stage in range(config.stages)]
        self.mixtures = nn.ModuleList(MixtureOfExperts(size, shapes.classes, config.experts) for size in sizes)
        self.links = nn.ModuleList(nn.Linear(shapes.classes, config.link) for _ in sizes[1:])
        for link in self.links:
            nn.init.xavier_uniform_(link.weight)
            nn.init.zeros_(link.bias)
        self.dropout = nn.Dropout(config.dropout)
        self._early: list[Tensor] = []  # losses of the stages before the last, from `log_odds` to `penalty`

    def log_odds(self, batch: Batch) -> Tensor:
        x = self.dropout(self.join(batch.features, batch.presence, self.training))
        self._early = []
        for mixture, link in zip(self.mixtures, self.links, strict=False):
            odds = mixture(x)
            if self.training and batch.labels is not None:
                self._early.append(losses.cross_entropy(odds.float(), batch.labels, batch.weights))
            x = torch.cat([x, link(odds.sigmoid()).relu()], 1)
        return self.mixtures[-1](x)

    def penalty(self) -> Tensor:
        """The penalty on the weights and, in training, the earlier stages' losses on the batch last scored."""
        weights = sum(mixture.squared_weights() for mixture in self.mixtures)
        penalty = self.config.l2_penalty * (weights + 0.5 * sum(link.weight.square().sum() for link in self.links))
        early, self._early = self._early, []
        return penalty + self.config.stage_weight * sum(early) / len(self.links)
