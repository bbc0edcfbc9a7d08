"""Batch normalisation with the constants of the YouTube-8M starter code (TensorFlow slim's, not torch's).

Its moving averages fade by 0.999 a step, which is for trainings of many thousand steps; how fast they fade is given
as `decay`, so that a small data set need not be scored with statistics of untrained weights.
"""

from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-3


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (N, D). A single row, which has no variance, is normalised as in evaluation."""

    def __init__(self, size: int, decay: float):
        super().__init__(size, eps=EPSILON, momentum=1 - decay)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return super().forward(x)
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
