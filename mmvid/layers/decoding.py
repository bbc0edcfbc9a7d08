"""A transformer over codes run one code at a time, for sampling.

What a step needs is prepared once: a table of all codes as inputs, the positions, the keys and values of the
conditioning frames, each class's gains and shifts. Keys and values of the codes so far are kept and only they are read.
A single query makes attention two products of a vector with a matrix. They are as fast as memory where the matrix has
long rows, so keys and values are kept as (d, tokens); with (tokens, d) they take three times as long.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mmvid.layers.attention import Projections
from mmvid.layers.sparse_attention import BLOCK, SparseLayout
from mmvid.layers.transformer import Block, Transformer, normalise, quick_gelu


class Decoder:
    """Logits of one code after another, for B sequences at once.

    Args:
        transformer: in evaluation mode.
        table: each code as an input, (K, D).
        output: weights from features to logits, (K, D).
        places: what is added at each place, (L, D) or (B, L, D).
        batch: B.
        layout: the sparse attention's, or None for full attention.
        condition: features of the conditioning frames, (B, N, C), or None.
        classes: int64 (B,), or None.
        cache: type of the kept keys and values; bfloat16 halves their memory and rounds them.
    """

    def __init__(
        self,
        transformer: Transformer,
        table: Tensor,
        output: Tensor,
        places: Tensor,
        batch: int,
        layout: SparseLayout | None = None,
        condition: Tensor | None = None,
        classes: Tensor | None = None,
        cache: torch.dtype = torch.float32,
    ):
        self.transformer, self.table, self.output, self.places = transformer, table, output, places
        self.start = transformer.start.expand(batch, -1)
        self.steps = [
            _BlockStep(block, batch, places.shape[-2], layout, condition, classes, cache)
            for block in transformer.blocks
        ]
        self.gain, self.shift = _rows(transformer.norm.affine(classes))
        self.done = 0

    def step(self, codes: Tensor | None) -> Tensor:
        """Logits (B, K) of the next code; `codes` (B,) are the ones before it, None at the first step."""
        x = self.start if codes is None else functional.embedding(codes, self.table)
        x = x + self.places[..., self.done, :]
        for step in self.steps:
            x = step(x, self.done)
        self.done += 1
        return functional.linear(normalise(x, self.gain, self.shift), self.output)


class _BlockStep:
    """One block of the transformer for one new token: (B, D) to (B, D)."""

    def __init__(
        self,
        block: Block,
        batch: int,
        tokens: int,
        layout: SparseLayout | None,
        condition: Tensor | None,
        classes: Tensor | None,
        cache: torch.dtype,
    ):
        self.block, own = block, block.attention
        self.joined = torch.cat([own.query.weight, own.key.weight, own.value.weight])
        self.sizes = [len(own.query.weight), len(own.key.weight), len(own.value.weight)]
        rows, size = batch * own.heads, self.sizes[0] // own.heads
        like = self.joined.new_empty(0, dtype=cache)
        if layout is None:
            self.cache = _Cache(rows, tokens, size, like)
        else:
            self.cache = _SparseCache(rows, tokens, size, like, layout)
        norms = (block.attention_norm, block.mlp_norm)
        self.attention_norm, self.mlp_norm = (_rows(norm.affine(classes)) for norm in norms)
        if block.condition is not None:
            other = block.condition
            self.condition_norm = _rows(block.condition_norm.affine(classes))
            keys, values = other.split(other.key(condition)), other.split(other.value(condition))
            self.keys, self.values = (x.transpose(-2, -1).flatten(0, 1).contiguous() for x in (keys, values))

    def __call__(self, x: Tensor, index: int) -> Tensor:
        block = self.block
        y = functional.linear(normalise(x, *self.attention_norm), self.joined)
        query, key, value = (_heads(part, block.attention) for part in y.split(self.sizes, dim=-1))
        x = x + block.attention.out(_attend(query, *self.cache.append(index, key, value)).view(len(x), -1))
        if block.condition is not None:
            query = _heads(block.condition.query(normalise(x, *self.condition_norm)), block.condition)
            x = x + block.condition.out(_attend(query, self.keys, self.values).view(len(x), -1))
        return x + block.contract(quick_gelu(block.expand(normalise(x, *self.mlp_norm))))


class _Cache:
    """Keys and values (rows, d, tokens) of the tokens so far; a row is a head of a sequence."""

    def __init__(self, rows: int, tokens: int, size: int, like: Tensor):
        self.keys, self.values = (like.new_empty(rows, size, tokens) for _ in range(2))

    def append(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps the key and value (rows, d) of a token; gives all that the token sees."""
        self.keys[:, :, index], self.values[:, :, index] = key, value
        return self.keys[:, :, : index + 1], self.values[:, :, : index + 1]


class _SparseCache(_Cache):
    """The same, where all tokens of a block see the same blocks: these are copied together once a block."""

    def __init__(self, rows: int, tokens: int, size: int, like: Tensor, layout: SparseLayout):
        super().__init__(rows, tokens, size, like)
        self.seen = layout.seen
        self.window = _Cache(rows, BLOCK * max(map(len, self.seen)), size, like)
        self.before = 0  # tokens of other blocks in the window

    def append(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().append(index, key, value)
        block, place = divmod(index, BLOCK)
        if place == 0:
            earlier = self.seen[block][:-1]
            self.before = len(earlier) * BLOCK
            for number, other in enumerate(earlier):
                here, there = (slice(first * BLOCK, (first + 1) * BLOCK) for first in (number, other))
                self.window.keys[:, :, here] = self.keys[:, :, there]
                self.window.values[:, :, here] = self.values[:, :, there]
        return self.window.append(self.before + place, key, value)


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One query (rows, d) a row over keys (rows, d, n) and values (rows, d', n), all seen: (rows, d')."""
    query = (query * query.shape[-1] ** -0.5).to(keys.dtype)
    weights = torch.bmm(query[:, None], keys).float().softmax(-1).to(values.dtype)  # (rows, 1, n)
    if values.dtype == torch.float32:
        return torch.bmm(weights, values.transpose(1, 2))[:, 0]
    # Of the two orders of the same product a CPU's bfloat16 kernels take the other one, five times as fast.
    return torch.bmm(values, weights.transpose(1, 2))[..., 0].float()


def _heads(x: Tensor, projections: Projections) -> Tensor:
    """(B, heads d) to (B heads, d)."""
    return x.reshape(len(x) * projections.heads, -1)


def _rows(affine: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A norm's gain and shift for (B, D) rather than (B, L, D)."""
    gain, shift = (part.squeeze(1) if part.ndim == 3 else part for part in affine)
    return gain, shift
