"""A multilayer perceptron: dense layers with batch normalisation if wanted, ReLU and dropout."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmvid.layers.slim import batch_norm


class Perceptron(nn.Module):
    """(B, D) to (B, `widths[-1]`): for each width a dense layer, batch normalisation, ReLU and dropout.

    There is no normalisation without a `norm_decay`. Weights are drawn as He et al. 2015 (arXiv:1502.01852) do for
    ReLU, biases are zeros.
    """

    def __init__(self, size: int, widths: Sequence[int], dropout: float = 0.0, norm_decay: float | None = None):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip([size, *widths], widths, strict=False))
        for layer in self.layers:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        normed = norm_decay is not None
        self.norms = nn.ModuleList(batch_norm(width, norm_decay) if normed else nn.Identity() for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(norm(layer(x)).relu())
        return x

    def squared_weights(self) -> Tensor:
        """Half the sum of squares of the weight matrices; biases are left out."""
        return 0.5 * sum(layer.weight.square().sum() for layer in self.layers)
