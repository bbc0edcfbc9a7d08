"""Adam, its learning rate and gradient clipping as the YouTube-8M starter code has them, or as is usual today.

Source: google/youtube-8m, train.py; Kingma and Ba 2015 (arXiv:1412.6980).
"""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

Clipping = Literal["per_variable", "global", "none"]


class UncorrectedEpsilonAdam(torch.optim.Adam):
    """Adam as TensorFlow steps: `lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`.

    There epsilon is added to the raw root of `v`; torch adds it to the bias-corrected root. They agree but for tiny
    gradients, so torch's step is taken with epsilon over `sqrt(1 - b2^t)`.
    """

    @torch.no_grad()
    def step(self, closure=None):
        stated = [group["eps"] for group in self.param_groups]
        for group in self.param_groups:
            steps = [self.state[p]["step"] for p in group["params"] if p in self.state and "step" in self.state[p]]
            done = int(steps[0]) if steps else 0
            group["eps"] = group["eps"] / math.sqrt(1 - group["betas"][1] ** (done + 1))
        try:
            return super().step(closure)
        finally:
            for group, epsilon in zip(self.param_groups, stated, strict=True):
                group["eps"] = epsilon


def clip_gradients(parameters: Iterable[Tensor], how: Clipping, limit: float) -> None:
    """Scales gradients down in place to a Euclidean norm of at most `limit`.

    Args:
        parameters: tensors; those without a gradient are passed over.
        how: `per_variable` clips each tensor by its own norm (the starter code's way), `global` all by their joint
            norm, `none` leaves them.
        limit: the largest norm.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if how == "none" or not gradients:
        return
    norms = torch.stack(torch._foreach_norm(gradients))
    if how == "global":
        norms = norms.norm().expand_as(norms)
    scales = limit / norms.clamp_min(limit)
    torch._foreach_mul_(gradients, list(scales.unbind()))


def staircase(examples: int, decay: float, every: int) -> float:
    """The factor on the learning rate after `examples` videos: times `decay` for every full `every` of them."""
    return decay ** (examples // every)
