"""VideoGPT's sparse attention: which keys each token of a grid may see, and attention that reads only those.

Tokens in raster order form blocks of 32. A block sees itself, the four blocks before it, and along every axis of the
grid of blocks but the last the blocks at the same place at or before its own index; token by token no key lies after
its query. For BAIR's 4 x 32 x 32 tokens that is 9.3 % of the causal pairs, the same for every head.

Source: VideoGPT's published models (their strided layout after Child et al. 2019, arXiv:1904.10509). A dense mask of
this layout gives the numbers of the original's cached decoding.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 32
LOCAL = 4  # blocks before its own that a block sees


class SparseLayout:
    """The layout of a grid of tokens.

    Attributes:
        seen: for each block the blocks it sees, ascending; the last is itself.
    """

    def __init__(self, grid: tuple[int, ...]):
        """Raises ValueError if the blocks do not fill the grid evenly."""
        blocks = _block_grid(grid)
        steps = [math.prod(blocks[axis + 1 :]) for axis in range(len(blocks))]
        self.seen: list[list[int]] = []
        for block in range(math.prod(blocks)):
            seen = set(range(max(0, block - LOCAL), block + 1))
            for step, length in list(zip(steps, blocks, strict=True))[:-1]:
                index = block // step % length
                seen.update(block - step * back for back in range(index + 1))
            self.seen.append(sorted(seen))
        most = max(map(len, self.seen))
        # Shorter lists are filled in front with the block itself, which the mask then hides.
        padded = [[block] * (most - len(seen)) + seen for block, seen in enumerate(self.seen)]
        self._table = torch.tensor(padded)  # (blocks, most)
        hidden = torch.tensor([most - len(seen) for seen in self.seen])
        visible = (torch.arange(most) >= hidden[:, None]).repeat_interleave(BLOCK, 1)  # (blocks, most * 32)
        causal = torch.ones(BLOCK, most * BLOCK, dtype=torch.bool).tril((most - 1) * BLOCK)
        self._mask = visible[:, None] & causal  # (blocks, 32, most * 32)
        self._by_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def dense(self) -> Tensor:
        """The whole mask (L, L), True where the query of a row sees the key of a column."""
        blocks = torch.zeros(len(self.seen), len(self.seen), dtype=torch.bool)
        for block, seen in enumerate(self.seen):
            blocks[block, seen] = True
        return blocks.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1).tril()

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attention of all tokens, each (B, heads, L, d), that reads the seen blocks only."""
        device = queries.device
        if device not in self._by_device:
            self._by_device[device] = self._table.to(device), self._mask.to(device)
        table, mask = self._by_device[device]
        batch, heads, tokens, _ = queries.shape
        blocks = tokens // BLOCK

        def gathered(x: Tensor) -> Tensor:
            """(B, heads, L, d) to (B heads, blocks, most * 32, d)."""
            split = x.reshape(batch * heads, blocks, BLOCK, x.shape[-1])
            return split[:, table].flatten(2, 3)

        own = queries.reshape(batch * heads, blocks, BLOCK, queries.shape[-1])
        attended = functional.scaled_dot_product_attention(own, gathered(keys), gathered(values), mask)
        return attended.reshape(batch, heads, tokens, values.shape[-1])


def _block_grid(grid: tuple[int, ...]) -> tuple[int, ...]:
    """The grid of blocks: the last axes, as many as hold more than one block together, become one."""
    axis, together = len(grid), 1
    while axis > 0 and together <= BLOCK:
        axis -= 1
        together *= grid[axis]
    if together % BLOCK:
        shape = "x".join(map(str, grid))
        raise ValueError(f"sparse attention needs a grid whose last axes hold blocks of {BLOCK} codes, got {shape}")
    return (*grid[:axis], together // BLOCK)
