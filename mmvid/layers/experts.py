"""A mixture of experts for each class (Jordan and Jacobs 1994; the starter code's `MoeModel`).

Each class has E logistic experts and a gate over E + 1 choices; the last choice is a dummy expert that always says no.
With the gates g and the votes v, both logits, and Z the sum of exp(g) over all E + 1 choices,

    p = sum over e < E of exp(g[e]) sigmoid(v[e]) / Z
    1 - p = (sum over e < E of exp(g[e]) sigmoid(-v[e]) + exp(g[E])) / Z

so Z cancels from the log-odds, log p - log(1 - p). They are computed from logarithms, and all else from them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

# Logits that are worked on at a time. On a CPU they stay in the cache from one step of the formula to the next, which
# takes a fifth of the time of going through memory; elsewhere only memory sets a bound.
_CPU_LOGITS = 1 << 20
_MOST_LOGITS = 1 << 26


class MixtureOfExperts(nn.Module):
    """Features (B, D) to the log-odds (B, C) of p = `sum over e < E of softmax(gate)[e] * sigmoid(expert)[e]`.

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
        """log p - log(1 - p), (B, C), in float32 at least."""
        parameters = self.gates.weight, self.experts.weight, self.experts.bias
        return _LogOdds.apply(x, *parameters, self.count, torch.is_grad_enabled()).T.contiguous()

    def squared_weights(self) -> Tensor:
        """Half the sum of squares of both weight matrices; biases are left out."""
        return 0.5 * (self.gates.weight.square().sum() + self.experts.weight.square().sum())


class _LogOdds(torch.autograd.Function):
    """The log-odds, (C, B), a block of classes at a time.

    The derivative of the log-odds by each logit is found beside them, while the block's logits are at hand, and is all
    that is kept: automatic differentiation would keep, and go through memory for, every intermediate of (B, C, E).
    Videos lie along the last axis, so that a sum over experts adds whole rows.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, gates: Tensor, experts: Tensor, bias: Tensor, count: int, differentiable: bool
    ) -> Tensor:
        classes, videos, device = len(bias) // count, len(x), x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        inputs = x.to(dtype)
        odds = x.new_empty(classes, videos, dtype=torch.promote_types(dtype, torch.float32))
        by_gate = x.new_empty(classes, count + 1, videos if differentiable else 0, dtype=dtype)
        by_vote = x.new_empty(classes, count, videos if differentiable else 0, dtype=dtype)
        with torch.autocast(device, enabled=False):
            for block in _blocks(classes, (2 * count + 1) * videos, device):
                own_gates, own_votes = _rows(block, count + 1), _rows(block, count)
                g = gates[own_gates].to(dtype) @ inputs.T
                v = torch.addmm(bias[own_votes, None].to(dtype), experts[own_votes].to(dtype), inputs.T)
                g = g.unflatten(0, (-1, count + 1)).to(odds.dtype)  # (c, E + 1, B)
                v = v.unflatten(0, (-1, count)).to(odds.dtype)  # (c, E, B)
                slopes = (by_gate[block], by_vote[block]) if differentiable else None
                odds[block] = _solve(g, v, slopes)
        ctx.save_for_backward(inputs, gates, experts, by_gate, by_vote)
        return odds

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs, gates, experts, by_gate, by_vote = ctx.saved_tensors
        needs_x, needs_gates, needs_experts, needs_bias = ctx.needs_input_grad[:4]
        (classes, count, videos), dtype = by_vote.shape, inputs.dtype
        grad_x = torch.zeros_like(inputs, dtype=grad.dtype) if needs_x else None
        grad_gates = torch.empty_like(gates) if needs_gates else None
        grad_experts = torch.empty_like(experts) if needs_experts else None
        grad_bias = experts.new_empty(len(experts)) if needs_bias else None
        for block in _blocks(classes, (2 * count + 1) * videos, inputs.device.type):
            own_gates, own_votes = _rows(block, count + 1), _rows(block, count)
            along = grad[block, None].to(dtype)  # (c, 1, B)
            g, v = (by_gate[block] * along).flatten(0, 1), (by_vote[block] * along).flatten(0, 1)
            if needs_gates:
                grad_gates[own_gates] = g @ inputs
            if needs_experts:
                grad_experts[own_votes] = v @ inputs
            if needs_bias:
                grad_bias[own_votes] = v.sum(1)
            if needs_x:
                grad_x += g.T @ gates[own_gates].to(dtype)
                grad_x += v.T @ experts[own_votes].to(dtype)
        return grad_x, grad_gates, grad_experts, grad_bias, None, None


def _solve(gates: Tensor, votes: Tensor, slopes: tuple[Tensor, Tensor] | None) -> Tensor:
    """The log-odds (c, B) of gates (c, E + 1, B) and votes (c, E, B).

    `slopes`, of the same shapes, are filled with the derivatives by gate and by vote. With r and q the shares that
    the choices have in p and in 1 - p, these are r - q by gate and r sigmoid(-v) + q sigmoid(v) by vote.
    """
    count = votes.shape[1]
    voted = functional.logsigmoid(votes)
    yes = gates[:, :count] + voted
    no = gates.clone()
    torch.sub(yes, votes, out=no[:, :count])  # log sigmoid(-v) = log sigmoid(v) - v
    most_yes, most_no = yes.amax(1, keepdim=True), no.amax(1, keepdim=True)
    yes.sub_(most_yes).exp_()
    no.sub_(most_no).exp_()
    sum_yes, sum_no = yes.sum(1, keepdim=True), no.sum(1, keepdim=True)
    odds = (most_yes - most_no + sum_yes.log() - sum_no.log()).squeeze(1)
    if slopes is not None:
        by_gate, by_vote = slopes
        yes.div_(sum_yes)
        difference = no.div_(sum_no).neg_()
        difference[:, :count] += yes
        by_gate.copy_(difference)
        by_vote.copy_(yes.addcmul_(voted.exp_(), difference[:, :count], value=-1))
    return odds


def _blocks(classes: int, logits: int, device: str) -> Iterator[slice]:
    """Ranges of classes; `logits` are those of one class, of all videos."""
    step = max(1, (_CPU_LOGITS if device == "cpu" else _MOST_LOGITS) // max(1, logits))
    for first in range(0, classes, step):
        yield slice(first, min(first + step, classes))


def _rows(block: slice, each: int) -> slice:
    """The rows of a weight matrix that hold a block of classes."""
    return slice(block.start * each, block.stop * each)
