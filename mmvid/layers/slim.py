"""Batch normalisation with the constants of the YouTube-8M starter code, those of TensorFlow slim."""

from mmvid.layers.normalisation import BatchNorm

EPSILON = 1e-3


def batch_norm(size: int, decay: float) -> BatchNorm:
    """Batch normalisation of (N, `size`) whose moving averages fade by `decay` a step; the starter code's is 0.999.

    That is for trainings of many thousand steps: of a small data set it would keep statistics of untrained weights.
    """
    return BatchNorm(size, eps=EPSILON, momentum=1 - decay)
