"""The last layer of a classifier: a mixture of experts, or logistic regression."""

import math

from torch import Tensor, nn

from mmvid.layers.experts import MixtureOfExperts


class Head(nn.Module):
    """Vectors (B, D) to log-odds (B, C): a mixture of `experts`, or one dense layer where that is 0.

    With `rare` scores begin near 1 / C, for a video has few of the labels: biases need thousands of Adam's steps to get
    there from zero, and hidden layers are bent to make up for them. The starter code begins with zero.
    """

    def __init__(self, size: int, classes: int, experts: int, rare: bool = True):
        super().__init__()
        self.mixture = MixtureOfExperts(size, classes, experts) if experts else None
        self.dense = None if experts else nn.Linear(size, classes)
        if self.dense is not None:
            nn.init.xavier_uniform_(self.dense.weight)
        bias = self.mixture.experts.bias if self.dense is None else self.dense.bias
        nn.init.constant_(bias, -math.log(classes) if rare else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x) if self.mixture is None else self.mixture(x)

    def squared_weights(self) -> Tensor:
        """Half the sum of squares of the weight matrices; biases are left out."""
        return 0.5 * self.dense.weight.square().sum() if self.mixture is None else self.mixture.squared_weights()
