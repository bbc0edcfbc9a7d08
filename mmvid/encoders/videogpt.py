"""VideoGPT: what a clip's codes will be, predicted from its first frames (Yan et al. 2021, arXiv:2104.10157).

A frozen VQ-VAE makes codes of a clip; a causal transformer predicts each from those before it in raster order, and
attends to the features that a ResNet makes of the conditioning frames. The defaults are the configuration for BAIR with
one conditioning frame: 72,471,920 parameters beside the VQ-VAE's. The ResNet's output for one 64 x 64 frame, 16 x 16 x
240, is the latent that the segmentation paper (Maier and Mohankumar 2024) decodes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from mmvid.clips.batches import ClipBatch
from mmvid.config import Options, option
from mmvid.encoders import Encoder, vqvae
from mmvid.layers.attention import causal_attention
from mmvid.layers.decoding import Decoder
from mmvid.layers.frame_resnet import FrameResnet
from mmvid.layers.sparse_attention import SparseLayout
from mmvid.layers.transformer import PositionEmbedding, Transformer


class Config(Options):
    """VideoGPT's transformer."""

    conditioned_frames: int = option(1, "first frames that the prediction is conditioned on; 0 for none", ge=0)
    categories: int = option(0, "classes of clips that it is conditioned on, as for UCF-101; 0 for none", ge=0)
    width: int = option(576, "features of a code; a multiple of heads and of 3", ge=3, search=(96, 768))
    heads: int = option(4, "attention heads", ge=1, search=(1, 8))
    layers: int = option(8, "transformer blocks", ge=1, search=(2, 16))
    dropout: float = option(0.2, "dropout after each part of a block", ge=0, lt=1, search=(0.0, 0.5))
    attention: Literal["full", "sparse"] = option(
        "full", "sparse reads 9 % of the pairs for BAIR, as published models do"
    )
    attention_dropout: float = option(0.3, "dropout of full attention's weights; 0 trains faster", ge=0, lt=1)
    resnet_width: int = option(64, "channels of the first group of the frame ResNet", ge=1)
    resnet_size: int = option(240, "channels of its last; a multiple of heads and of 3", ge=3)
    aligned_condition: bool = option(
        False, "also add the ResNet's features at a code's own place to it; published models only attend to them"
    )
    recompute: bool = option(
        False, "keep fewer activations for the backward pass: less memory, more time", decides=False
    )

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        sizes = {"width": self.width} | ({"resnet_size": self.resnet_size} if self.conditioned_frames else {})
        for name, size in sizes.items():
            if size % self.heads or size % 3:
                raise ValueError(f"{name} must be a multiple of heads ({self.heads}) and of 3, got {size}")
        if self.aligned_condition and not self.conditioned_frames:
            raise ValueError("aligned_condition needs conditioned_frames of 1 or more, got 0")
        return self


class Model(Encoder):
    """Predicts codes (B, t, h, w) of K kinds; `vqvae` stays as it is, in evaluation mode."""

    def __init__(self, config: Config, vqvae: vqvae.Model):
        super().__init__()
        source = vqvae.config
        if config.conditioned_frames > source.sequence_length:
            asked = f"conditioned_frames must be at most {source.sequence_length}, the frames of a clip"
            raise ValueError(f"{asked}, got {config.conditioned_frames}")
        self.config, self.parts, self.grid = config, {"vqvae": vqvae}, source.grid
        self.vqvae = vqvae.requires_grad_(False).eval()
        self.resnet = self.condition_position = self.aligned = None
        if config.conditioned_frames:
            if source.resolution % 4:
                raise ValueError(f"resolution must be a multiple of 4 for the frame ResNet, got {source.resolution}")
            side = source.resolution // 4
            self.resnet = FrameResnet(config.resnet_width, config.resnet_size)
            places = config.conditioned_frames, side, side
            self.condition_position = PositionEmbedding(places, config.resnet_size)
            if config.aligned_condition:
                self.aligned = nn.Linear(config.resnet_size, config.width, bias=False)
        self.input = nn.Linear(source.code_size, config.width, bias=False)
        condition = config.resnet_size if config.conditioned_frames else 0
        sizes = config.width, config.heads, config.layers, condition, config.categories, config.dropout
        self.transformer = Transformer(self.grid, *sizes)
        self.output = nn.Linear(config.width, source.codes, bias=False)
        nn.init.normal_(self.input.weight, std=0.02)
        nn.init.zeros_(self.output.weight)
        self.layout = SparseLayout(self.grid) if config.attention == "sparse" else None

    def train(self, mode: bool = True) -> "Model":
        """The VQ-VAE stays in evaluation mode, so that neither its codebook nor its batch norms move."""
        super().train(mode)
        self.vqvae.eval()
        return self

    def loss(self, batch: ClipBatch, codes: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the codes, in nats a code.

        Args:
            batch: clips, and classes where the model has categories.
            codes: of the batch's clips, (B, t, h, w), where they are known.
        """
        if codes is None:
            codes = self.vqvae.encode(batch.clips)
        logits = self.logits(codes, self.conditioning(batch.clips), batch.classes)
        loss = functional.cross_entropy(logits.flatten(0, -2).float(), codes.flatten())
        with torch.no_grad():
            right = (logits.argmax(-1) == codes).float().mean()
        return loss, {"accuracy": right}

    def features(self, frames: Tensor) -> Tensor:
        """The frame ResNet's output (B, T, H / 4, W / 4, `resnet_size`) of frames (B, 3, H, W) or (B, 3, T, H, W)."""
        if self.resnet is None:
            raise ValueError("features of frames need a model with conditioned_frames of 1 or more, got 0")
        return self.resnet(frames.unsqueeze(2) if frames.ndim == 4 else frames)

    def conditioning(self, clips: Tensor) -> Tensor | None:
        """What the transformer attends to beside the codes, (B, places, `resnet_size`), from the first frames.

        Args:
            clips: (B, 3, T, H, W), of which the first `conditioned_frames` are read, or (B, 3, H, W).
        """
        if self.resnet is None:
            return None
        frames = (clips.unsqueeze(2) if clips.ndim == 4 else clips)[:, :, : self.config.conditioned_frames]
        side = self.vqvae.config.resolution
        want = (3, self.config.conditioned_frames, side, side)
        if frames.shape[1:] != want:
            wanted, got = ("x".join(map(str, shape)) for shape in (want, frames.shape[1:]))
            raise ValueError(f"conditioning needs {wanted} channels, frames and pixels, got {got}")
        return self.features(frames).flatten(1, 3) + self.condition_position()

    def logits(self, codes: Tensor, condition: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """What each code is expected to be from those before it, (B, t, h, w, K).

        Args:
            codes: int64 (B, t, h, w); the last one is not read.
            condition: as `conditioning` gives it.
            classes: int64 (B,), where the model has categories.
        """
        [last] = deque(self.states(codes, condition, classes), maxlen=1)
        return self.output(self.transformer.norm(last, classes)).view(*codes.shape, -1)

    def states(self, codes: Tensor, condition: Tensor | None = None, classes: Tensor | None = None) -> Iterator[Tensor]:
        """The transformer's features (B, L, `width`): its input, then after each block."""
        self._check(len(codes), condition, classes)
        if codes.shape[1:] != self.grid:
            wanted, got = ("x".join(map(str, shape)) for shape in (self.grid, codes.shape[1:]))
            raise ValueError(f"codes must form a grid of {wanted}, got {got}")
        x = functional.embedding(codes.flatten(1), self.code_table())
        recompute = self.config.recompute and torch.is_grad_enabled()
        return self.transformer.states(x, self._attend, condition, classes, recompute, self.places(condition))

    def places(self, condition: Tensor | None) -> Tensor:
        """What the transformer adds for each code's place: (L, `width`), aligned with the given frames (B, L, `width`).

        Attention has to learn which place of a frame shows what a code will; added at the place itself, the last given
        frame is heeded from the first steps on.
        """
        positions = self.transformer.position()
        if self.aligned is None:
            return positions
        side = self.vqvae.config.resolution // 4
        frames = condition.unflatten(1, (self.config.conditioned_frames, side, side))
        times, *area = self.grid
        local = functional.adaptive_avg_pool2d(frames[:, -1].movedim(-1, 1), area).flatten(2).transpose(1, 2)
        return positions + self.aligned(local).repeat(1, times, 1)

    def code_table(self) -> Tensor:
        """Each code as an input of the transformer, (K, `width`)."""
        return self.input(self.vqvae.codebook.embeddings)

    def sample(
        self,
        count: int | None = None,
        frames: Tensor | None = None,
        classes: Tensor | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
        progress: Callable[[int, int], None] | None = None,
        cache: torch.dtype = torch.float32,
    ) -> Tensor:
        """Clips (B, 3, T, H, W) in [-0.5, 0.5]; see `sample_codes`."""
        codes = self.sample_codes(
            count,
            frames,
            classes,
            temperature=temperature,
            top_k=top_k,
            generator=generator,
            progress=progress,
            cache=cache,
        )
        return self.vqvae.decode(codes).clamp(-0.5, 0.5)

    @torch.no_grad()
    def sample_codes(
        self,
        count: int | None = None,
        frames: Tensor | None = None,
        classes: Tensor | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
        progress: Callable[[int, int], None] | None = None,
        cache: torch.dtype = torch.float32,
    ) -> Tensor:
        """Codes of new clips, int64 (B, t, h, w), drawn one after another in raster order.

        The conditioning frames' own codes are drawn as well, none is forced.

        Args:
            count: B; by default that of the frames or classes, else 1. One frame or class serves any count.
            frames: (B, 3, H, W) or (B, 3, T, H, W) in [-0.5, 0.5], where the model is conditioned on frames.
            classes: int64 (B,), where it has categories.
            temperature: divides the logits; 0 takes the likeliest code.
            top_k: draw among the k likeliest codes only; None draws among all.
            generator: the source of randomness, on the model's device; torch's own by default.
            progress: called with the codes done and their number after each.
            cache: type of the kept keys and values; bfloat16 halves their memory and rounds them.

        Raises:
            ValueError: if frames or classes are missing, needless or of another number.
        """
        if self.training:
            raise ValueError("sampling needs the model in evaluation mode, it is in training mode")
        if temperature < 0 or (top_k is not None and top_k < 1):
            raise ValueError(f"temperature must be at least 0 and top_k at least 1, got {temperature} and {top_k}")
        if frames is not None and self.resnet is None:
            raise ValueError("this model is not conditioned on frames, but some are given")
        batch = count or max(len(given) for given in (frames, classes, (0,)) if given is not None)
        condition = None if frames is None else _repeated("frames", self.conditioning(frames), batch)
        classes = None if classes is None else _repeated("classes", classes, batch)
        self._check(batch, condition, classes)
        decoder = self.decoder(batch, condition, classes, cache)
        total = self.grid[0] * self.grid[1] * self.grid[2]
        codes = torch.empty(batch, total, dtype=torch.long, device=self.input.weight.device)
        previous = None
        for index in range(total):
            previous = _draw(decoder.step(previous), temperature, top_k, generator)
            codes[:, index] = previous
            if progress is not None:
                progress(index + 1, total)
        return codes.view(batch, *self.grid)

    def decoder(
        self, batch: int, condition: Tensor | None, classes: Tensor | None, cache: torch.dtype = torch.float32
    ) -> Decoder:
        """What gives the logits of one code after another, those of `logits` to rounding."""
        weights = self.code_table(), self.output.weight
        return Decoder(
            self.transformer, *weights, self.places(condition), batch, self.layout, condition, classes, cache
        )

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if self.layout is not None:
            return self.layout.attend(queries, keys, values)
        dropout = self.config.attention_dropout if self.training else 0.0
        return causal_attention(queries, keys, values, dropout)

    def _check(self, batch: int, condition: Tensor | None, classes: Tensor | None) -> None:
        if (condition is None) != (self.resnet is None):
            needs = "needs" if condition is None else "is not conditioned on"
            raise ValueError(f"this model {needs} frames (conditioned_frames is {self.config.conditioned_frames})")
        if self.config.categories:
            if classes is None or len(classes) != batch:
                got = "none" if classes is None else f"{len(classes)}"
                raise ValueError(f"this model needs a class for each of {batch} clips, got {got}")
            if not 0 <= int(classes.min()) <= int(classes.max()) < self.config.categories:
                raise ValueError(f"classes must be from 0 to {self.config.categories - 1}, got {classes.tolist()}")


def _repeated(what: str, given: Tensor, batch: int) -> Tensor:
    """One for each of the batch."""
    if len(given) not in (1, batch):
        raise ValueError(f"{what} must be 1 or {batch}, as many as clips are asked for, got {len(given)}")
    return given.expand(batch, *given.shape[1:])


def _draw(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    """A code from each row of logits (B, K)."""
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
