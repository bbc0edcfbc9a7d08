"""Gates against their formulas, and products of probabilities by their log-odds."""

import pytest
import torch

from mmvid.layers.gating import ClassGating, ContextGating, SqueezeExcite, product_log_odds


def normed(layer, x):
    return (x - layer.running_mean) / (layer.running_var + 1e-3).sqrt() * layer.weight + layer.bias


def test_context_gating_is_the_formula():
    torch.manual_seed(0)
    gate, x = ContextGating(5, 0.9).eval(), torch.randn(3, 5)
    torch.testing.assert_close(gate(x), x * normed(gate.norm, x @ gate.dense.weight.T).sigmoid())


def test_squeeze_and_excitation_is_the_formula_and_narrower():
    torch.manual_seed(0)
    gate, x = SqueezeExcite(16, 8, 0.9).eval(), torch.randn(3, 16)
    inner = normed(gate.norm, x @ gate.squeeze.weight.T).clamp_min(0)
    assert inner.shape == (3, 2)
    torch.testing.assert_close(gate(x), x * gate.excite(inner).sigmoid())


def test_gated_scores_are_the_formula():
    torch.manual_seed(0)
    gate, odds = ClassGating(4, 0.9).eval(), torch.randn(3, 4)
    scores = odds.sigmoid()
    torch.testing.assert_close(gate(odds).sigmoid(), scores * normed(gate.norm, scores @ gate.dense.weight.T).sigmoid())


def test_the_log_odds_of_a_product_are_exact_where_it_rounds_to_0_or_1():
    first = torch.tensor([-90.0, -3.0, 0.0, 2.0, 12.0, 40.0], requires_grad=True)
    second = torch.tensor([5.0, -4.0, 0.0, 60.0, 12.0, 30.0])
    p, q = (value.double().exp() / (1 + value.double().exp()) for value in (first, second))
    rest = 1 / (1 + first.double().exp()) + p / (1 + second.double().exp())  # 1 - p q = (1 - p) + p (1 - q)
    expected = (p.log() + q.log() - rest.log()).float()
    odds = product_log_odds(first, second)
    torch.testing.assert_close(odds, expected.detach(), rtol=1e-4, atol=1e-5)
    odds.sum().backward()
    assert torch.isfinite(first.grad).all()


@pytest.mark.parametrize("gate", [ContextGating(4, 0.9), SqueezeExcite(4, 2, 0.9), ClassGating(4, 0.9)])
def test_a_batch_of_one_can_be_trained_on(gate):
    gate.train()(torch.randn(1, 4)).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in gate.parameters())
