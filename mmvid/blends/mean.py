"""The mean of the members' scores, class by class (Wang et al. 2017, section 4.2: "average")."""

from torch import Tensor

from mmvid.blends import Blend, Pairs
from mmvid.config import Options


class Config(Options):
    """The mean; it has no options."""


class Model(Blend):
    def forward(self, pairs: Pairs) -> Tensor:
        return pairs.scores.mean(dim=0)
