"""Convolutions of several widths over the words of texts, each followed by its largest response (Kim 2014).

Texts differ in length and most are short, so nothing is computed for padding: the windows of the widest convolution
are gathered once, a row for each word, and every narrower one is a slice of that row. A convolution is then one matrix
product over the words of the whole batch, and memory is not copied for it.

A width k sees (k - 1) // 2 words to the left and k // 2 to the right, zeros beyond a text's ends: TensorFlow's SAME.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmvid.layers.normalisation import BatchNorm

EPSILON, MOMENTUM = 1e-3, 0.01  # those of tf.layers, whose momentum 0.99 is what torch calls 0.01


class WordConvolutions(nn.Module):
    """Words (B, L) to the largest normalised response of each filter, (B, widths * filters), at least 0."""

    def __init__(self, word_size: int, widths: tuple[int, ...], filters: int):
        super().__init__()
        self.widths, self.widest = widths, max(widths)
        self.kernels = nn.ModuleList(nn.Linear(width * word_size, filters) for width in widths)
        self.norms = nn.ModuleList(BatchNorm(filters, eps=EPSILON, momentum=MOMENTUM) for _ in widths)
        for width, kernel in zip(widths, self.kernels, strict=True):
            # Glorot's range of a convolution: each of its `width` places has word_size inputs and `filters` outputs.
            bound = (6 / (width * (word_size + filters))) ** 0.5
            nn.init.uniform_(kernel.weight, -bound, bound)
            nn.init.zeros_(kernel.bias)

    def forward(self, vectors: Tensor, texts: list[Tensor], mask_padding: bool = True) -> Tensor:
        """The largest responses over all words of all texts of a video.

        Args:
            vectors: the vector of each word, (V + 1, D), zeros for number 0, which is padding.
            texts: word numbers (B, L), a tensor a field; L may differ, padding is at the end.
            mask_padding: whether responses at the padding count for nothing. Of a video without words all are 0 then.
        """
        counted = [text > 0 if mask_padding else torch.ones_like(text, dtype=torch.bool) for text in texts]
        windows = torch.cat([self._windows(text, valid) for text, valid in zip(texts, counted, strict=True)])
        rows = functional.embedding(windows, vectors)  # (words, widest, D)
        if torch.is_autocast_enabled(rows.device.type):
            rows = rows.to(torch.get_autocast_dtype(rows.device.type))  # once, instead of once for each width
        lengths = [valid.sum(dim=1) for valid in counted]
        found = [
            self._largest(norm(kernel(self._slice(rows, width))), lengths)
            for width, kernel, norm in zip(self.widths, self.kernels, self.norms, strict=True)
        ]
        return torch.cat(found, dim=1).relu()  # after the largest: they may trade places

    def _windows(self, text: Tensor, valid: Tensor) -> Tensor:
        """The word numbers around each word that counts, (words, widest)."""
        padded = functional.pad(text, ((self.widest - 1) // 2, self.widest // 2))
        return padded.unfold(1, self.widest, 1)[valid]

    def _slice(self, rows: Tensor, width: int) -> Tensor:
        """What a convolution of a width sees of each row, (words, width * D), a view."""
        start = (self.widest - 1) // 2 - (width - 1) // 2
        return rows[:, start : start + width].flatten(1)

    def _largest(self, responses: Tensor, lengths: list[Tensor]) -> Tensor:
        """The largest of each text's responses, (B, filters); minus infinity where there are no words."""
        if not len(responses):
            return responses.new_full((len(lengths[0]), responses.shape[1]), -torch.inf)
        parts = responses.split([int(each.sum()) for each in lengths])
        best = [
            torch.segment_reduce(part, "max", lengths=each, axis=0, initial=-torch.inf)
            for part, each in zip(parts, lengths, strict=True)
        ]
        return torch.stack(best).amax(0) if len(best) > 1 else best[0]

    def squared_weights(self) -> Tensor:
        """The sum of the squares of all kernels, a scalar."""
        return torch.stack([kernel.weight.square().sum() for kernel in self.kernels]).sum()
