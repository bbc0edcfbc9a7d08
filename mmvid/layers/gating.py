"""Gates that a vector opens and closes for itself: context gating and squeeze-and-excitation.

Sources: Miech, Laptev and Sivic 2017 (arXiv:1706.06905) for context gating, of features and of classes; Hu, Shen and
Sun 2017 (arXiv:1709.01507) and Lin, Xiao and Fan 2018 (arXiv:1811.05014) for squeeze-and-excitation.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmvid.layers.slim import batch_norm

Gating = Literal["none", "context", "squeeze_excite"]


class ContextGating(nn.Module):
    """x * sigmoid(BN(W x)), (B, D) to (B, D)."""

    def __init__(self, size: int, decay: float):
        super().__init__()
        self.dense = nn.Linear(size, size, bias=False)
        self.norm = batch_norm(size, decay)
        nn.init.normal_(self.dense.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.norm(self.dense(x)).sigmoid()


class SqueezeExcite(nn.Module):
    """x * sigmoid(V relu(BN(W x))), where W x has `reduction` times fewer numbers, (B, D) to (B, D)."""

    def __init__(self, size: int, reduction: int, decay: float):
        super().__init__()
        narrow = max(1, size // reduction)
        self.squeeze = nn.Linear(size, narrow, bias=False)
        self.norm = batch_norm(narrow, decay)
        self.excite = nn.Linear(narrow, size)
        nn.init.xavier_uniform_(self.squeeze.weight)
        nn.init.xavier_uniform_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(self.norm(self.squeeze(x)).relu()).sigmoid()


class ClassGating(nn.Module):
    """Context gating of scores, p * sigmoid(BN(W p)), from log-odds to log-odds (B, C); W is (C, C)."""

    def __init__(self, classes: int, decay: float):
        super().__init__()
        self.dense = nn.Linear(classes, classes, bias=False)
        self.norm = batch_norm(classes, decay)
        nn.init.normal_(self.dense.weight, std=1 / math.sqrt(classes))

    def forward(self, log_odds: Tensor) -> Tensor:
        gates = self.norm(self.dense(log_odds.sigmoid()))
        return product_log_odds(log_odds, gates)


def product_log_odds(first: Tensor, second: Tensor) -> Tensor:
    """The log-odds of the product of two probabilities from their log-odds, without rounding either to 0 or 1."""
    logarithm = functional.logsigmoid(first) + functional.logsigmoid(second)  # log p q
    # log(1 - e^x) is exact by expm1 near 0 and by log1p far from it. A where keeps NaN from the side not taken.
    near = logarithm > -math.log(2)
    complement = torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, logarithm, -1.0))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, logarithm))),
    )
    return logarithm - complement


def make_gate(kind: Gating, size: int, reduction: int, decay: float) -> nn.Module:
    """The gate of a kind; `none` is the identity."""
    if kind == "none":
        return nn.Identity()
    return ContextGating(size, decay) if kind == "context" else SqueezeExcite(size, reduction, decay)
