"""The log-odds of a mixture of experts and their derivatives, held against the definition."""

import pytest
import torch
from torch.nn import functional

from mmvid.layers import experts
from mmvid.layers.experts import MixtureOfExperts


def make(size=5, classes=7, count=3, dtype=torch.float64) -> MixtureOfExperts:
    torch.manual_seed(0)
    layer = MixtureOfExperts(size, classes, count).to(dtype)
    torch.nn.init.normal_(layer.experts.bias)
    return layer


def plain_log_scores(layer: MixtureOfExperts, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p and log(1 - p) by the definition, with every intermediate."""
    gates = layer.gates(x).unflatten(-1, (layer.classes, layer.count + 1))
    votes = layer.experts(x).unflatten(-1, (layer.classes, layer.count))
    shares = gates.log_softmax(-1)
    yes = (shares[..., :-1] + functional.logsigmoid(votes)).logsumexp(-1)
    no = torch.cat([shares[..., :-1] + functional.logsigmoid(-votes), shares[..., -1:]], -1).logsumexp(-1)
    return yes, no


@pytest.mark.parametrize("spread", [1, 30])
def test_log_scores_and_gradients_are_the_definitions(spread):
    layer = make()
    x = (spread * torch.randn(6, 5, dtype=torch.float64)).requires_grad_()
    inputs = [x, *layer.parameters()]
    odds = layer(x)
    ours = functional.logsigmoid(odds), functional.logsigmoid(-odds)
    plain = plain_log_scores(layer, x)
    torch.testing.assert_close(ours, plain)
    weights = [torch.randn(6, 7, dtype=torch.float64) for _ in range(2)]
    got, expected = (
        torch.autograd.grad(sum((log * w).sum() for log, w in zip(logs, weights, strict=True)), inputs)
        for logs in (ours, plain)
    )
    torch.testing.assert_close(got, expected)


def test_derivatives_are_those_of_finite_differences():
    layer = make(classes=2)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    # Parameters are changed in place by the differences, so the layer need not be told of them.
    assert torch.autograd.gradcheck(lambda x, *parameters: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("logits", [1, 100, 10**9])
def test_blocks_change_nothing(logits, monkeypatch):
    layer, x = make(), torch.randn(6, 5, dtype=torch.float64)
    expected = torch.autograd.grad(layer(x).sum(), list(layer.parameters()))
    monkeypatch.setattr(experts, "_CPU_LOGITS", logits)
    torch.testing.assert_close(torch.autograd.grad(layer(x).sum(), list(layer.parameters())), expected)


def test_frozen_parts_get_no_gradient():
    layer, x = make(), torch.randn(6, 5, dtype=torch.float64)
    layer.gates.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.gates.weight.grad is None
    assert layer.experts.weight.grad.any()


def test_log_odds_without_gradients_are_the_same():
    layer, x = make(), torch.randn(6, 5, dtype=torch.float64)
    with torch.no_grad():
        odds = layer(x)
    assert torch.equal(odds, layer(x).detach())


def test_mixed_precision_multiplies_in_bfloat16_and_adds_in_float32():
    layer, x = make(dtype=torch.float32), torch.randn(6, 5)
    exact = torch.autograd.grad(layer(x).sum(), list(layer.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        odds = layer(x)
    assert odds.dtype == torch.float32
    torch.testing.assert_close(odds, layer(x), atol=0.05, rtol=0.05)
    rough = torch.autograd.grad(odds.sum(), list(layer.parameters()))
    assert all(grad.dtype == torch.float32 for grad in rough)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


def test_no_videos_have_no_log_odds():
    layer = make()
    assert layer(torch.empty(0, 5, dtype=torch.float64)).shape == (0, 7)
