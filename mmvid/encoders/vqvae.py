"""VideoGPT's VQ-VAE: a clip to a small grid of codes and back (Yan et al. 2021, arXiv:2104.10157, section 3.1).

Strided convolutions shrink the clip, residual blocks with axial attention follow, a codebook quantises, the decoder
mirrors the encoder. The published models have stride 4,2,2 (BAIR), 4,4,4 or 2,4,4; any powers of two will do here.
Their constants are kept: the reconstruction error is divided by 0.06, the variance of BAIR's pixels.
"""

import dataclasses
import math
from collections.abc import Iterator

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from mmvid.clips.batches import ClipBatch
from mmvid.config import Options, option
from mmvid.encoders import Encoder
from mmvid.layers.attention import AxialAttention
from mmvid.layers.codebook import Codebook
from mmvid.layers.same_convolution import SameConv3d, SameConvTranspose3d, Size

VARIANCE = 0.06  # of the pixels of BAIR in [-0.5, 0.5]; the published models divide by it on every data set


class Config(Options):
    """VideoGPT's VQ-VAE."""

    sequence_length: int = option(16, "frames of a clip", ge=1)
    resolution: int = option(64, "pixels of a frame's side", ge=1)
    stride: tuple[int, int, int] = option((4, 2, 2), "pixels to a code: time, height, width; powers of two")
    codes: int = option(2048, "codes of the codebook", ge=2, search=(256, 4096), log=True)
    code_size: int = option(256, "numbers of a code's vector", ge=1, search=(64, 512), log=True)
    hidden: int = option(240, "channels; even", ge=2)
    residual_layers: int = option(4, "residual blocks of the encoder, and of the decoder", ge=0, search=(1, 8))
    commitment: float = option(0.25, "weight of the commitment loss", ge=0, search=(0.05, 2.0), log=True)

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if any(step < 1 or step & (step - 1) for step in self.stride):
            raise ValueError(f"stride must be three powers of two, got {','.join(map(str, self.stride))}")
        sides = (self.sequence_length, self.resolution, self.resolution)
        if any(side % step for side, step in zip(sides, self.stride, strict=True)):
            clip, stride = "x".join(map(str, sides)), ",".join(map(str, self.stride))
            raise ValueError(f"stride must divide the clip's {clip} frames and pixels, got {stride}")
        if self.hidden % 2:
            raise ValueError(f"hidden must be even, got {self.hidden}")
        return self

    @property
    def grid(self) -> Size:
        """Codes of a clip: time, height, width."""
        time, height, width = self.stride
        return self.sequence_length // time, self.resolution // height, self.resolution // width


@dataclasses.dataclass(frozen=True)
class VqvaeOutput:
    """A batch through the model.

    Attributes:
        reconstruction: (B, 3, T, H, W), not clamped.
        reconstruction_loss: mean squared error over 0.06.
        commitment_loss: `commitment` times the mean squared difference to the codes' vectors.
        codes: int64 (B, t, h, w).
        perplexity: how many codes are used evenly, by entropy.
        usage: share of the codes that occur in the batch.
    """

    reconstruction: Tensor
    reconstruction_loss: Tensor
    commitment_loss: Tensor
    codes: Tensor
    perplexity: Tensor
    usage: Tensor


class Model(Encoder):
    """Clips (B, 3, T, H, W) in [-0.5, 0.5] to codes (B, t, h, w) and back. Written t, h, w for the grid of codes."""

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.parts = config, {}
        self.encoder = _Encoder(config)
        self.before = SameConv3d(config.hidden, config.code_size, 1)
        self.codebook = Codebook(config.codes, config.code_size)
        self.after = SameConv3d(config.code_size, config.hidden, 1)
        self.decoder = _Decoder(config)

    def forward(self, clips: Tensor) -> VqvaeOutput:
        """In training mode the codebook moves after the batch is quantised."""
        self._check(clips)
        quantised = self.codebook(self.latents(clips))
        reconstruction = self.decoder(self.after(quantised.vectors))
        reconstruction_loss = functional.mse_loss(reconstruction.float(), clips.float()) / VARIANCE
        commitment_loss = self.config.commitment * quantised.distance
        return VqvaeOutput(
            reconstruction,
            reconstruction_loss,
            commitment_loss,
            quantised.codes,
            quantised.perplexity,
            quantised.usage,
        )

    def loss(self, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        output = self(batch.clips)
        measures = {
            "reconstruction": output.reconstruction_loss.detach(),
            "commitment": output.commitment_loss.detach(),
            "perplexity": output.perplexity,
            "usage": output.usage,
        }
        return output.reconstruction_loss + output.commitment_loss, measures

    def latents(self, clips: Tensor) -> Tensor:
        """What is quantised, (B, D, t, h, w)."""
        return self.before(self.encoder(clips))

    def features(self, frames: Tensor) -> Tensor:
        """The latents before they are quantised, (B, t, h, w, D); one frame is repeated to a whole clip."""
        if frames.ndim == 4:
            frames = frames.unsqueeze(2)
        if frames.shape[2] == 1:
            frames = frames.expand(-1, -1, self.config.sequence_length, -1, -1)
        self._check(frames)
        return self.latents(frames).movedim(1, -1)

    @torch.no_grad()
    def encode(self, clips: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """Clips to codes, int64 (B, t, h, w).

        Args:
            clips: (B, 3, T, H, W) in [-0.5, 0.5].
            precision: bfloat16 takes less time; a few codes come out as another one that is nearly as near.
        """
        self._check(clips)
        with torch.autocast(clips.device.type, precision, enabled=precision != torch.float32):
            latents = self.latents(clips).float()
        codes = self.codebook.nearest(latents.movedim(1, -1).flatten(0, -2))
        return codes.view(len(clips), *self.config.grid)

    def embed(self, codes: Tensor) -> Tensor:
        """The codes' vectors, (B, t, h, w) to (B, D, t, h, w)."""
        return self.codebook.lookup(codes)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, t, h, w) to clips (B, 3, T, H, W), not clamped."""
        return self.decoder(self.after(self.embed(codes)))

    def _check(self, clips: Tensor) -> None:
        config = self.config
        want = (3, config.sequence_length, config.resolution, config.resolution)
        if clips.shape[1:] != want:
            wanted, got = ("x".join(map(str, shape)) for shape in (want, clips.shape[1:]))
            raise ValueError(f"clips must be of {wanted} channels, frames and pixels, got {got}")


class _Encoder(nn.Module):
    """(B, 3, T, H, W) to (B, hidden, t, h, w)."""

    def __init__(self, config: Config):
        super().__init__()
        strides = list(_halvings(config.stride))
        inputs = [3] + [config.hidden] * (len(strides) - 1)
        self.down = nn.ModuleList(
            SameConv3d(size, config.hidden, 4, stride) for size, stride in zip(inputs, strides, strict=True)
        )
        self.last = SameConv3d(config.hidden, config.hidden, 3)
        self.blocks = nn.Sequential(*(_ResidualBlock(config.hidden) for _ in range(config.residual_layers)))
        self.norm = nn.BatchNorm3d(config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.down:
            x = functional.relu(convolution(x))
        return functional.relu(self.norm(self.blocks(self.last(x))))


class _Decoder(nn.Module):
    """(B, hidden, t, h, w) to (B, 3, T, H, W)."""

    def __init__(self, config: Config):
        super().__init__()
        strides = list(_halvings(config.stride))
        outputs = [config.hidden] * (len(strides) - 1) + [3]
        self.blocks = nn.Sequential(*(_ResidualBlock(config.hidden) for _ in range(config.residual_layers)))
        self.norm = nn.BatchNorm3d(config.hidden)
        self.up = nn.ModuleList(
            SameConvTranspose3d(config.hidden, size, 4, stride) for size, stride in zip(outputs, strides, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.blocks(x)))
        for number, convolution in enumerate(self.up):
            x = convolution(functional.relu(x) if number else x)
        return x


class _ResidualBlock(nn.Module):
    """x + attention of two convolutions of x, each after batch norm and ReLU."""

    def __init__(self, size: int):
        super().__init__()
        self.norm1 = nn.BatchNorm3d(size)
        self.conv1 = SameConv3d(size, size // 2, 3, bias=False)
        self.norm2 = nn.BatchNorm3d(size // 2)
        self.conv2 = SameConv3d(size // 2, size, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(size)
        self.attention = AxialAttention(size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.norm1(x)))
        y = self.conv2(functional.relu(self.norm2(y)))
        return x + self.attention(functional.relu(self.norm3(y)))


def _halvings(stride: Size) -> Iterator[Size]:
    """The strides of the convolutions that make `stride` together: 4,2,2 is 2,2,2 then 2,1,1; one at least."""
    left = [int(math.log2(step)) for step in stride]
    for number in range(max(1, *left)):
        yield tuple(2 if halvings > number else 1 for halvings in left)
