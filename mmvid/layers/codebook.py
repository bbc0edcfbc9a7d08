"""A codebook learnt by moving averages (van den Oord et al. 2017, appendix A.1), as VideoGPT trains it.

The first batch seen in training becomes the codebook. After each batch a code's vector moves to the average of what was
assigned to it, and a code that is hardly used (an average count below 1) is replaced by a vector of the batch. Whether
the codebook is initialised is part of the state: loading a trained one and training on does not overwrite it.
"""

import dataclasses

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

DECAY = 0.99
_SMOOTHING = 1e-7
# Entries of the distance matrix that are held at a time: on a CPU in its cache, elsewhere only memory sets a bound.
_CPU_DISTANCES = 1 << 19
_MOST_DISTANCES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Quantised:
    """What quantising gives.

    Attributes:
        codes: the nearest codes, int64 (B, t, h, w).
        vectors: their vectors (B, D, t, h, w); gradients pass straight through to the input.
        distance: the mean squared difference of the input to its codes' vectors, with gradients for the input.
        perplexity: exp of the entropy of the codes' distribution over the batch: how many are used evenly.
        usage: the share of all codes that the batch uses.
    """

    codes: Tensor
    vectors: Tensor
    distance: Tensor
    perplexity: Tensor
    usage: Tensor


class Codebook(nn.Module):
    """K vectors of D numbers; the buffers are `embeddings` (K, D), `counts` (K,), `sums` (K, D), `initialised` ()."""

    def __init__(self, codes: int, size: int):
        super().__init__()
        self.register_buffer("embeddings", torch.randn(codes, size))
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", self.embeddings.clone())
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, z: Tensor) -> Quantised:
        """Quantises (B, D, t, h, w); in training mode the codebook moves afterwards."""
        z = z.float()
        rows = z.detach().movedim(1, -1).flatten(0, -2)  # (B t h w, D)
        if self.training and not self.initialised:
            self.initialise(rows)
        flat = self.nearest(rows)
        codes = flat.view(z.shape[0], *z.shape[2:])
        vectors = self.lookup(codes)  # before this batch's update
        distance = functional.mse_loss(z, vectors)
        counts = torch.bincount(flat, minlength=len(self.embeddings)).to(z.dtype)
        if self.training:
            self.update(rows, flat, counts)
        shares = counts / len(flat)
        perplexity = torch.exp(-torch.sum(shares * torch.log(shares + 1e-10)))
        usage = (counts > 0).float().mean()
        return Quantised(codes, z + (vectors - z).detach(), distance, perplexity, usage)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (B, t, h, w) to their vectors (B, D, t, h, w)."""
        return functional.embedding(codes, self.embeddings).movedim(-1, 1)

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """The code nearest to each row, (n, D) to int64 (n,), in float32 also under autocast."""
        with torch.autocast(rows.device.type, enabled=False):
            norms, transposed = self.embeddings.square().sum(1), self.embeddings.T
            most = _CPU_DISTANCES if rows.device.type == "cpu" else _MOST_DISTANCES
            blocks = rows.float().split(max(1, most // len(self.embeddings)))
            # |z|^2 is the same for all codes and is left out.
            return torch.cat([torch.addmm(norms, block, transposed, alpha=-2).argmin(1) for block in blocks])

    @torch.no_grad()
    def initialise(self, rows: Tensor) -> None:
        """Makes vectors of a batch, (n, D), the codebook."""
        vectors = _draw(rows, len(self.embeddings))
        self.embeddings.copy_(vectors)
        self.sums.copy_(vectors)
        self.counts.fill_(1)
        self.initialised.fill_(True)

    @torch.no_grad()
    def update(self, rows: Tensor, codes: Tensor, counts: Tensor) -> None:
        """Moves the codebook towards the rows (n, D) that were assigned to `codes` (n,), and restarts unused codes."""
        self.average(rows, codes, counts)
        unused = self.counts < 1
        # A restarted code keeps its count and sum, as in the original: its next average starts from there.
        self.embeddings.copy_(torch.where(unused[:, None], _draw(rows, len(self.embeddings)), self.embeddings))

    @torch.no_grad()
    def average(self, rows: Tensor, codes: Tensor, counts: Tensor) -> None:
        """The moving averages of `update`, without restarts."""
        sums = torch.zeros_like(self.sums).index_add_(0, codes, rows)
        counts = _over_all_processes(counts)
        self.counts.lerp_(counts, 1 - DECAY)
        self.sums.lerp_(_over_all_processes(sums), 1 - DECAY)
        total = self.counts.sum()
        weights = (self.counts + _SMOOTHING) / (total + len(self.counts) * _SMOOTHING) * total
        self.embeddings.copy_(self.sums / weights[:, None])


def _draw(rows: Tensor, count: int) -> Tensor:
    """`count` rows of a batch in random order, (n, D) to (count, D); too few are repeated with a little noise.

    Processes that train together get the first one's.
    """
    if len(rows) < count:
        rows = rows.repeat(-(-count // len(rows)), 1)
        rows = rows + torch.randn_like(rows) * (0.01 / rows.shape[1] ** 0.5)
    drawn = rows[torch.randperm(len(rows), device=rows.device)[:count]]
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(drawn, 0)
    return drawn


def _over_all_processes(counts: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(counts)
    return counts
