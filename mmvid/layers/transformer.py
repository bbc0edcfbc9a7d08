"""VideoGPT's causal transformer over a grid of codes, with its own layer norm and GELU.

Pre-norm blocks: attention over the codes before, attention over the features of the conditioning frames, an MLP. The
norm adds 1e-5 to the reciprocal of the deviation, not to the variance, so torch's layer norm is not equal to it; the
activation is x * sigmoid(1.702 x). The features of a token are those of the token before it, a learned start first.

Source: VideoGPT (Yan et al. 2021, arXiv:2104.10157), its published models.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mmvid.layers.attention import Projections

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


class PositionEmbedding(nn.Module):
    """A learned vector for each place of a grid: a part for each axis, concatenated; at birth N(0, 0.01^2)."""

    def __init__(self, grid: tuple[int, ...], size: int):
        super().__init__()
        part = size // len(grid)
        self.axes = nn.ParameterList(nn.Parameter(torch.randn(length, part) * 0.01) for length in grid)

    def forward(self) -> Tensor:
        """(places in raster order, D)."""
        grid = [len(axis) for axis in self.axes]
        parts = []
        for number, axis in enumerate(self.axes):
            shape = [1] * len(grid) + [axis.shape[1]]
            shape[number] = len(axis)
            parts.append(axis.view(shape).expand(*grid, -1))
        return torch.cat(parts, dim=-1).flatten(0, -2)


class Norm(nn.Module):
    """(x - mean) (1e-5 + 1 / deviation) gain + shift over the last axis; with classes, gain and shift are a class's."""

    def __init__(self, size: int, classes: int = 0):
        super().__init__()
        self.classes = classes
        if classes:
            self.gain = nn.Linear(classes, size, bias=False)  # read by column, as a table of classes
            self.shift = nn.Linear(classes, size, bias=False)
            nn.init.constant_(self.gain.weight, classes**-0.5)
        else:
            self.gain = nn.Parameter(torch.ones(size))
            self.shift = nn.Parameter(torch.zeros(size))

    def affine(self, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Gain and shift: (D,) each, or (B, 1, D) of B classes."""
        if not self.classes:
            return self.gain, self.shift
        gain, shift = (functional.embedding(classes, table.weight.T)[:, None] for table in (self.gain, self.shift))
        return 1 + gain, shift

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, L, D) to the same shape."""
        return normalise(x, *self.affine(classes))


def normalise(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """The norm of `Norm` with its gain and shift at hand, in float32 also under autocast."""
    x = x.float()
    if not torch.is_grad_enabled():  # one pass over memory instead of five: torch's norm, corrected for the constant
        normal, _, reciprocal = torch.native_layer_norm(x, x.shape[-1:], None, None, 0.0)
        return normal.mul_(1 + 1e-5 / reciprocal).mul_(gain).add_(shift)
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return (x - mean) * (1e-5 + variance.rsqrt()) * gain + shift


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """One pre-norm block.

    Args:
        size: features of a token, D.
        heads: attention heads.
        depth: blocks of the whole network; scales initial values.
        condition: features of a conditioning place; 0 for no attention over them.
        classes: classes that the norms are conditioned on; 0 for none.
        dropout: after each of the three parts.
    """

    def __init__(self, size: int, heads: int, depth: int, condition: int, classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention_norm = Norm(size, classes)
        self.attention = Projections(size, size, size, heads, depth)
        self.condition_norm = Norm(size, classes) if condition else None
        self.condition = Projections(size, condition, condition, heads, depth) if condition else None
        self.mlp_norm = Norm(size, classes)
        self.expand = nn.Linear(size, 4 * size)
        self.contract = nn.Linear(4 * size, size)

    def forward(self, x: Tensor, attend: Attention, condition: Tensor | None, classes: Tensor | None) -> Tensor:
        """(B, L, D) to the same shape; `attend` is the attention over the codes, `condition` (B, N, C)."""
        y, own = self.attention_norm(x, classes), self.attention
        queries, keys, values = own.split(own.query(y)), own.split(own.key(y)), own.split(own.value(y))
        x = x + self.dropout(own.join(attend(queries, keys, values)))
        if self.condition is not None:
            y, other = self.condition_norm(x, classes), self.condition
            queries = other.split(other.query(y))
            keys, values = other.split(other.key(condition)), other.split(other.value(condition))
            x = x + self.dropout(other.join(functional.scaled_dot_product_attention(queries, keys, values)))
        return x + self.dropout(self.contract(quick_gelu(self.expand(self.mlp_norm(x, classes)))))


class Transformer(nn.Module):
    """Features of codes (B, L, D) to what predicts each of them from those before it, (B, L, D).

    Args:
        grid: the grid of codes; L is their number.
        size: D; must be divisible by `heads` and by the number of the grid's axes.
        heads: attention heads.
        depth: blocks.
        condition: features of a conditioning place, 0 for none.
        classes: classes that condition the norms, 0 for none.
        dropout: after each part of a block.
    """

    def __init__(
        self, grid: tuple[int, ...], size: int, heads: int, depth: int, condition: int, classes: int, dropout: float
    ):
        super().__init__()
        self.start = nn.Parameter(torch.randn(size) * 0.02)
        self.position = PositionEmbedding(grid, size)
        self.blocks = nn.ModuleList(Block(size, heads, depth, condition, classes, dropout) for _ in range(depth))
        self.norm = Norm(size, classes)

    def shift(self, x: Tensor) -> Tensor:
        """The features one token later: the start first, the last dropped."""
        start = self.start.to(x.dtype).expand(len(x), 1, -1)
        return torch.cat([start, x[:, :-1]], dim=1)

    def states(
        self,
        x: Tensor,
        attend: Attention,
        condition: Tensor | None = None,
        classes: Tensor | None = None,
        recompute: bool = False,
        places: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The features after shift and position, then after each block: `depth` + 1 tensors (B, L, D).

        Args:
            x: features of the codes, not shifted, (B, L, D).
            attend: attention over queries, keys and values (B, heads, L, d), causal.
            condition: features of the conditioning frames, (B, N, C).
            classes: int64 (B,).
            recompute: keep no activations of a block for the backward pass but its input.
            places: what is added at each place, (L, D) or (B, L, D); by default the positions.
        """
        x = self.shift(x) + (self.position() if places is None else places)
        yield x
        for block in self.blocks:
            arguments = x, attend, condition, classes
            x = checkpoint(block, *arguments, use_reentrant=False) if recompute else block(*arguments)
            yield x
