"""A multilayer perceptron: dense layers with ReLU and dropout."""

from collections.abc import Sequence

from torch import Tensor, nn


class Perceptron(nn.Module):
    """(B, D) to (B, `widths[-1]`): for each width a dense layer, ReLU and dropout.

    Weights are drawn as He et al. 2015 (arXiv:1502.01852) do for ReLU, biases are zeros.
    """

    def __init__(self, size: int, widths: Sequence[int], dropout: float = 0.0):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip([size, *widths], widths, strict=False))
        for layer in self.layers:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(layer(x).relu())
        return x

    def squared_weights(self) -> Tensor:
        """Half the sum of squares of the weight matrices; biases are left out."""
        return 0.5 * sum(layer.weight.square().sum() for layer in self.layers)
