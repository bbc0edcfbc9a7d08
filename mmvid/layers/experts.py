"""A mixture of experts for each class (Jordan and Jacobs 1994; the starter code's `MoeModel`).

Each class has E logistic experts and a gate over E + 1 choices; the last choice is a dummy expert that always says no.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class MixtureOfExperts(nn.Module):
    """Features (B, D) to scores (B, C): `sum over e < E of softmax(gate)[e] * sigmoid(expert)[e]`.

    Weights are Xavier-uniform, the experts' biases zero, the gates have none.
    """

    def __init__(self, size: int, classes: int, experts: int):
        super().__init__()
        self.classes, self.count = classes, experts
        self.gates = nn.Linear(size, classes * (experts + 1), bias=False)
        self.experts = nn.Linear(size, classes * experts)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.xavier_uniform_(self.experts.weight)
        nn.init.zeros_(self.experts.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores in [0, 1], (B, C)."""
        gates, votes = self._logits(x)
        chosen = gates.softmax(-1)[..., : self.count]  # (B, C, E)
        # A sum of probabilities may round to a hair above 1.
        return (chosen * votes.sigmoid()).sum(-1).clamp(max=1.0)  # (B, C)

    def log_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p and log(1 - p), each (B, C), exact also where p rounds to 0 or 1."""
        gates, votes = self._logits(x)
        chosen, dummy = gates[..., : self.count], gates[..., self.count :]
        yes = functional.logsigmoid(votes)  # (B, C, E); log of "no" is yes - votes
        total = gates.logsumexp(-1)
        log_yes = (chosen + yes).logsumexp(-1) - total
        log_no = torch.cat([chosen + yes - votes, dummy], dim=-1).logsumexp(-1) - total
        return log_yes, log_no

    def squared_weights(self) -> Tensor:
        """Half the sum of squares of both weight matrices; biases are left out."""
        return 0.5 * (self.gates.weight.square().sum() + self.experts.weight.square().sum())

    def _logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.gates(x).unflatten(-1, (self.classes, self.count + 1))  # (B, C, E + 1)
        votes = self.experts(x).unflatten(-1, (self.classes, self.count))  # (B, C, E)
        return gates, votes
