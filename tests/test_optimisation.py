"""Adam, clipping and the staircase against slow, plain formulas."""

import numpy as np
import pytest
import torch

from mmvid.optimisation import UncorrectedEpsilonAdam, clip_gradients, staircase


def test_uncorrected_adam_is_the_formula_of_tensorflow():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, 3)) * [1e-8, 1e-3, 1.0]  # epsilon matters for the first
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = UncorrectedEpsilonAdam([x], lr=0.01)
    expected, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    for t, g in enumerate(gradients, start=1):
        x.grad = torch.from_numpy(g)
        adam.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected -= 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(x.detach().numpy(), expected, rtol=1e-12)
    assert adam.param_groups[0]["eps"] == 1e-8


@pytest.mark.parametrize(("how", "norms"), [("per_variable", [1, 0.5]), ("none", [5, 0.5])])
def test_clipping_by_variable_or_not_at_all(how, norms):
    tensors = [torch.zeros(2, requires_grad=True) for _ in range(3)]
    tensors[0].grad, tensors[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    clip_gradients(tensors, how, 1.0)
    assert [tensor.grad.norm().item() for tensor in tensors[:2]] == pytest.approx(norms)
    assert tensors[2].grad is None


def test_clipping_by_the_joint_norm_keeps_directions():
    tensors = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    tensors[0].grad, tensors[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    clip_gradients(tensors, "global", 1.0)
    assert [tensor.grad.item() for tensor in tensors] == pytest.approx([0.6, 0.8])


def test_the_staircase_steps_after_every_full_count():
    assert [staircase(n, 0.5, 10) for n in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
