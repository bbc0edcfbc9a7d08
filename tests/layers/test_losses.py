"""Losses against the starter code's values and plain formulas."""

import numpy as np
import pytest
import torch

from mmvid.layers import losses


@pytest.fixture
def case(golden):
    return np.load(golden / "model_losses.npz")


def test_cross_entropy_with_epsilon_is_the_original(case):
    p, y, w = (torch.from_numpy(case[name]) for name in "pyw")
    assert losses.cross_entropy_epsilon(p, y).item() == pytest.approx(case["xent"].item(), abs=1e-5)
    assert losses.cross_entropy_epsilon(p, y, w).item() == pytest.approx(case["xent_weighted"].item(), abs=1e-5)


def test_hinge_is_the_original(case):
    p, y = (torch.from_numpy(case[name]) for name in "py")
    assert losses.hinge(p, y).item() == pytest.approx(case["hinge"].item(), abs=1e-5)


def test_exact_cross_entropy_lies_close_to_the_original(case):
    p, y = (torch.from_numpy(case[name]).double() for name in "py")
    assert losses.cross_entropy(p.logit(eps=1e-12), y).item() == pytest.approx(case["xent"].item(), rel=1e-3)


def test_softmax_is_its_formula():
    scores, labels = np.array([[0.9, 0.1, 0.4], [0.2, 0.3, 0.1]]), np.array([[1, 0, 1], [0, 0, 0]])
    expected = 0.0
    for s, y in zip(scores, labels, strict=True):
        for c in range(3):
            share = y[c] / max(y.sum(), 1)
            expected -= share * np.log(np.exp(s[c]) / np.exp(s).sum()) / 2
    assert losses.softmax(torch.from_numpy(scores), torch.from_numpy(labels)).item() == pytest.approx(expected)
