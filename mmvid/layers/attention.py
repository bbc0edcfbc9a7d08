"""Multi-head attention with separate projections, and attention along each axis of a video's latent grid.

Source: VideoGPT (Yan et al. 2021, arXiv:2104.10157), its published models: sizes, initial values, no bias but at the
output.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_BLOCK = 512  # queries that are attended together


class Projections(nn.Module):
    """The four projections of multi-head attention.

    Args:
        queries: features of what attends.
        keys: features of what is attended to.
        values: features of all heads' values together; `queries` of all heads' queries and keys.
        heads: number of heads; must divide both.
        depth: layers of the whole network; scales the output projection's initial values.
    """

    def __init__(self, queries: int, keys: int, values: int, heads: int, depth: int = 1):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(queries, queries, bias=False)
        self.key = nn.Linear(keys, queries, bias=False)
        self.value = nn.Linear(keys, values, bias=False)
        self.out = nn.Linear(values, queries)
        for linear in (self.query, self.key, self.value):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        nn.init.normal_(self.out.weight, std=(queries * depth) ** -0.5)

    def split(self, x: Tensor) -> Tensor:
        """(n, L, H d) to (n, H, L, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def join(self, x: Tensor) -> Tensor:
        """Heads' values (n, H, L, d) to the output (n, L, D)."""
        return self.out(x.transpose(-3, -2).flatten(-2))


class AxialAttention(nn.Module):
    """The sum of three attentions along width, height and time, all of the same input.

    No position, no mask, no dropout.
    """

    def __init__(self, size: int, heads: int = 2):
        super().__init__()
        self.width = Projections(size, size, size, heads)
        self.height = Projections(size, size, size, heads)
        self.time = Projections(size, size, size, heads)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, H, W) to the same shape."""
        x = x.movedim(1, -1)  # (B, T, H, W, D)
        width, height, time = _along(3, self.width, x), _along(2, self.height, x), _along(1, self.time, x)
        return (width + height + time).movedim(-1, 1)


def _along(axis: int, projections: Projections, x: Tensor) -> Tensor:
    """Attention along one axis of (B, T, H, W, D)."""
    lines = x.movedim(axis, -2)  # (B, ., ., L, D)
    flat = lines.flatten(0, -3).contiguous()
    queries, keys, values = (
        projections.split(project(flat)) for project in (projections.query, projections.key, projections.value)
    )
    attended = projections.join(functional.scaled_dot_product_attention(queries, keys, values))
    return attended.view(lines.shape).movedim(-2, axis)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """Attention (B, heads, L, d) of each token to itself and those before it.

    PyTorch's fused attention takes as long in bfloat16 as in float32 on a CPU; where no gradients are asked for, matrix
    products of blocks of queries with the keys up to them take two thirds of it.
    """
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True)
    heads = queries.shape[1]
    queries, keys, values = (x.flatten(0, 1).contiguous() for x in (queries * queries.shape[-1] ** -0.5, keys, values))
    attended = torch.empty_like(values)
    later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool).triu(1)
    for first in range(0, queries.shape[1], _BLOCK):
        last = min(first + _BLOCK, queries.shape[1])
        scores = torch.bmm(queries[:, first:last], keys[:, :last].transpose(1, 2))
        scores[:, :, first:].masked_fill_(later[: last - first, : last - first], float("-inf"))
        attended[:, first:last] = torch.bmm(scores.softmax(-1), values[:, :last])
    return attended.unflatten(0, (-1, heads))
