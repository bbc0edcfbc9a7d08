"""The catalogue of blends: one file = one way to make one score of several members'; `Config` + `Model`."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from mmvid.catalogue import catalogue
from mmvid.config import Options

names, load = catalogue(__name__, __path__, "blend")


class Pairs(NamedTuple):
    """P pairs of a video and a class, as M members see them.

    Attributes:
        scores: each member's score of the pair, float32 (M, P).
        ranks: the place of the class among all classes of the video, 1 for the best, as each member orders them; a
            class behind those that are kept (see `ensemble.model`) has the place after the last of these. Float32
            (M, P).
        hits: whether the class is a label of the video, bool (P,); None where that is not known.
    """

    scores: Tensor
    ranks: Tensor
    hits: Tensor | None = None


class Blend(nn.Module, ABC):
    """Members' scores to one score. What it has learnt is in its buffers: `Model(config, **buffers)` builds it again.

    Attributes:
        config: its options.
        top: pairs that no member has among its `top` best have the score 0; 0 for every pair that a member kept.
        fitted: whether `fit` learns anything, which it does on `gate`.
    """

    top: int = 0
    fitted: bool = False

    def __init__(self, config: Options):
        super().__init__()
        self.config = config

    @classmethod
    def fit(cls, config: Options, pairs: Pairs, part: int, parts: int) -> "Blend":
        """The blend that labelled pairs teach; one that learns nothing does not look at them.

        Args:
            config: the options.
            pairs: labelled pairs.
            part, parts: which of so many that are fitted, each on pairs that another part of the videos has, and used
                together.
        """
        return cls(config)

    @abstractmethod
    def forward(self, pairs: Pairs) -> Tensor:
        """One score in [0, 1] a pair, float32 (P,)."""
