"""VideoGPT's algorithm as it was published, written plainly: what `benchmarks.video` measures ours beside.

Every function takes the weights of our model. Attention makes the whole L x L matrix under a mask that is kept as
floats; sampling attends to caches of full length, makes the conditioning frames' keys and values anew in every layer at
every step, looks up the vectors of the whole grid and computes a loss at every step; a single frame goes through 3-D
convolutions. Source: VideoGPT (Yan et al. 2021, arXiv:2104.10157), its published code's behaviour.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmvid.encoders import videogpt
from mmvid.layers.attention import Projections
from mmvid.layers.frame_resnet import FrameResnet
from mmvid.layers.transformer import Norm


def logits(model: videogpt.Model, codes: Tensor, condition: Tensor | None) -> Tensor:
    """As `model.logits` gives them, (B, t, h, w, K)."""
    transformer = model.transformer
    x = model.input(functional.embedding(codes.flatten(1), model.vqvae.codebook.embeddings))
    x = transformer.shift(x) + transformer.position()
    mask = seen(model)
    for block in transformer.blocks:
        y = norm(block.attention_norm, x)
        x = x + attention(block.attention, y, y, mask)
        if block.condition is not None:
            x = x + attention(block.condition, norm(block.condition_norm, x), condition, None)
        y = block.expand(norm(block.mlp_norm, x))
        x = x + block.contract(y * torch.sigmoid(1.702 * y))
    return model.output(norm(transformer.norm, x)).view(*codes.shape, -1)


def seen(model: videogpt.Model) -> Tensor:
    """The mask (L, L): 1 where the query of a row sees the key of a column, else 0."""
    if model.layout is not None:
        return model.layout.dense().float()
    tokens = len(model.transformer.position())
    return torch.ones(tokens, tokens).tril()


def attention(weights: Projections, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
    """(B, L, D) queries over (B, N, C); `mask` (L, N) is 0 where a key is hidden."""
    q, k, v = (
        weights.split(project(x))
        for project, x in ((weights.query, queries), (weights.key, keys), (weights.value, keys))
    )
    return weights.join(attend(q, k, v, mask))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = torch.matmul(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    return torch.matmul(scores.softmax(-1), v)


def norm(weights: Norm, x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    deviation = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) * (1e-5 + torch.rsqrt(deviation)) * weights.gain + weights.shift


class Sampler:
    """One step after another over caches of full length."""

    def __init__(self, model: videogpt.Model, batch: int, condition: Tensor):
        self.model, self.condition, self.done = model, condition, 0
        tokens, width, heads = len(model.transformer.position()), model.config.width, model.config.heads
        self.mask = seen(model)
        self.codes = torch.zeros(batch, *model.grid, dtype=torch.long)
        self.caches = [
            [torch.zeros(batch, heads, tokens, width // heads) for _ in range(2)] for _ in model.transformer.blocks
        ]

    def step(self, codes: Tensor | None) -> Tensor:
        """Logits (B, K) of the next code after `codes` (B,), None at the first step."""
        model, place = self.model, self.done
        transformer = model.transformer
        if codes is not None:
            self.codes.view(len(codes), -1)[:, place - 1] = codes
        grid = model.vqvae.embed(self.codes).movedim(1, -1).flatten(1, 3)  # all of them, of which one is read
        x = model.input(grid[:, place - 1 : place]) if place else transformer.start.expand(len(grid), 1, -1)
        x = x + transformer.position()[place]
        for block, (keys, values) in zip(transformer.blocks, self.caches, strict=True):
            y, own = norm(block.attention_norm, x), block.attention
            keys[:, :, place], values[:, :, place] = own.split(own.key(y))[:, :, 0], own.split(own.value(y))[:, :, 0]
            attended = attend(own.split(own.query(y)), keys, values, self.mask[place : place + 1])
            x = x + own.join(attended)
            if block.condition is not None:
                x = x + attention(block.condition, norm(block.condition_norm, x), self.condition, None)
            y = block.expand(norm(block.mlp_norm, x))
            x = x + block.contract(y * torch.sigmoid(1.702 * y))
        found = model.output(norm(transformer.norm, x))[:, 0]
        functional.cross_entropy(found, self.codes.flatten(1)[:, place])  # which nobody reads
        self.done += 1
        return found


def resnet(ours: FrameResnet) -> nn.Module:
    """The frame ResNet, all of it in three dimensions and in PyTorch's default memory layout."""
    plain = copy.deepcopy(ours)
    for module in plain.modules():
        if isinstance(module, nn.Conv3d):
            module.weight = nn.Parameter(module.weight.detach().contiguous())
    return _ThreeDimensional(plain)


class _ThreeDimensional(nn.Module):
    def __init__(self, plain: FrameResnet):
        super().__init__()
        self.plain = plain

    def forward(self, frames: Tensor) -> Tensor:
        plain = self.plain
        return plain.groups(functional.relu(plain.stem_norm(plain.stem(frames)))).movedim(1, -1)
