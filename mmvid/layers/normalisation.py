"""Batch normalisation that can be used after a few steps and on the last batch of an epoch, whatever its size.

Running statistics of momentum 0.99 need hundreds of steps to forget where they began (0 and 1), which a small data set
does not have. Here the first ones are plain averages, until the momentum weighs more; from then on it is the usual.
"""

from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (N, D); of a single row, which has no variance, by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) < 2:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        self.num_batches_tracked += 1
        factor = max(self.momentum, 1 / int(self.num_batches_tracked))
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, True, factor, self.eps
        )
