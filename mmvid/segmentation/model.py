"""A segmenter with what stands before it: the encoder, where it is computed on the way, and the latents' scale."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmvid.segmenters import Segmenter

Encode = Callable[[Tensor], Tensor]


class Segmentation(nn.Module):
    """Latents, or frames in [-0.5, 0.5], to mask logits (B, H, W).

    Args:
        head: the segmenter.
        encode: frames (B, 3, h, w) to the latents that the head reads; None where it is given latents, or frames.
        trained: the encoder behind `encode`, where it is trained as well; a frozen one is no part of the state.

    Attributes:
        shift, scale: of each channel, (C, 1, 1): the head reads (x - shift) / scale. See `standardise`.
    """

    def __init__(self, head: Segmenter, encode: Encode | None = None, trained: nn.Module | None = None):
        super().__init__()
        self.head, self.encode, self.encoder = head, encode, trained
        self.register_buffer("shift", torch.zeros(head.shape[0], 1, 1))
        self.register_buffer("scale", torch.ones(head.shape[0], 1, 1))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Makes the head read channels of mean 0 and deviation 1.

        Args:
            mean, deviation: of each channel over the latents of train, (C,); a channel that never varies is only
                shifted.
        """
        self.shift.copy_(mean.view_as(self.shift))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, 1.0).view_as(self.scale))

    def go_on_from(self, other: "Segmentation") -> None:
        """Takes another's head and the scale of what it reads.

        Raises:
            ValueError: if the other's head is another one, or of other sizes.
        """
        ours, theirs = ((each.head.name, each.head.config, each.head.shape, each.head.size) for each in (self, other))
        if ours != theirs:
            raise ValueError(f"start must be a {ours[0]} of the same sizes, {ours[1:]}, got {theirs[0]} {theirs[1:]}")
        self.head.load_state_dict(other.head.state_dict())
        self.shift.copy_(other.shift)
        self.scale.copy_(other.scale)

    def train(self, mode: bool = True) -> "Segmentation":
        """The encoder stays in evaluation mode: no dropout, and the statistics of its norms stay."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.encode is not None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.encoder is not None):
                x = self.encode(x)
        return self.head((x - self.shift) / self.scale)


def train_only_what_is_used(encoder: nn.Module, output: Tensor) -> list[str]:
    """Freezes the weights of an encoder that an output does not depend on, and says which ones are left.

    Args:
        encoder: of which only a part may lead to the latents, as VideoGPT's ResNet does.
        output: latents that were computed with gradients.

    Raises:
        ValueError: if it depends on none: such latents cannot be trained through.
    """
    named = {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}
    if not output.requires_grad:
        raise ValueError("finetune must be False for these latents: no gradient leads through them to the encoder")
    gradients = torch.autograd.grad(output.sum(), list(named.values()), allow_unused=True)
    used = [name for (name, _), gradient in zip(named.items(), gradients, strict=True) if gradient is not None]
    for name, weight in named.items():
        weight.requires_grad_(name in used)
    return used
