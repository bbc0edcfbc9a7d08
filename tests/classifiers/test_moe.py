"""The mixture of experts against the sum of the paper, written as loops."""

import itertools

import numpy as np
import torch

from mmvid.classifiers import chain
from mmvid.layers import losses
from mmvid.layers.experts import MixtureOfExperts
from mmvid.records.batches import Batch, Shapes


def reference_moe(x, gates, experts, biases):
    """p(c | x) = sum over e < E of softmax(g_c x)[e] * sigmoid(u_ce x + b_ce); the last gate's expert says no."""
    count = len(experts[0])
    out = np.zeros((len(x), len(gates)))
    for b, c in itertools.product(range(len(x)), range(len(gates))):
        logits = gates[c] @ x[b]
        shares = np.exp(logits) / np.exp(logits).sum()
        for e in range(count):
            out[b, c] += shares[e] / (1 + np.exp(-(experts[c][e] @ x[b] + biases[c][e])))
    return out


def test_scores_are_the_formula():
    torch.manual_seed(0)
    layer = MixtureOfExperts(size=5, classes=4, experts=3).double()
    torch.nn.init.normal_(layer.experts.bias)
    x = torch.randn(6, 5, dtype=torch.float64)
    expected = reference_moe(
        x.numpy(),
        layer.gates.weight.detach().view(4, 4, 5).numpy(),
        layer.experts.weight.detach().view(4, 3, 5).numpy(),
        layer.experts.bias.detach().view(4, 3).numpy(),
    )
    np.testing.assert_allclose(layer(x).sigmoid().detach(), expected, atol=1e-12)


def test_log_odds_stay_finite_where_scores_round_to_0_or_1():
    layer = MixtureOfExperts(size=1, classes=1, experts=2)
    with torch.no_grad():
        layer.gates.weight.copy_(torch.tensor([[9.0], [9.0], [-9.0]]))
        layer.experts.weight.fill_(30.0)
    x = torch.tensor([[10.0], [-10.0]], requires_grad=True)
    odds = layer(x)
    assert torch.isfinite(odds).all() and odds[0] > 15 and odds[1] < -100
    odds.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_every_stage_of_a_chain_has_a_loss_in_training_and_none_in_scoring():
    torch.manual_seed(0)
    config = chain.Config(stages=3, link=4, stage_weight=0.5, l2_penalty=0)
    model = chain.Model(config, Shapes(classes=6, features={"visual": 8}))
    batch = Batch(ids=["a", "b"], features={"visual": torch.randn(2, 8)}, labels=torch.rand(2, 6) < 0.5)
    model.train()(batch)
    x, early = model.join(batch.features, batch.presence), []
    for mixture, link in zip(model.mixtures, model.links, strict=False):
        odds = mixture(x)
        early.append(losses.cross_entropy(odds, batch.labels))
        x = torch.cat([x, link(odds.sigmoid()).relu()], 1)
    torch.testing.assert_close(model.penalty(), 0.5 * (early[0] + early[1]) / 2)
    assert model.penalty() == 0  # told once
    model.eval()(batch)
    assert model.penalty() == 0
    torch.testing.assert_close(model.log_odds(batch), model.mixtures[-1](x))
