"""DBoF, LSTM and frame-level logistic regression against the starter code: scores, loss, gradients, one Adam step."""

import numpy as np
import pytest
import torch

from mmvid import classifiers
from mmvid.layers import frames, losses
from mmvid.optimisation import UncorrectedEpsilonAdam, clip_gradients
from mmvid.records.batches import Batch, Shapes

SHAPES = Shapes(classes=11, frames={"visual": 20})
EXPERTS = {
    "head.mixture.gates.weight": "gates/weights",
    "head.mixture.experts.weight": "experts/weights",
    "head.mixture.experts.bias": "experts/biases",
}
NORMS = {"input_norm": "input_bn", "projection_norm": "cluster_bn", "hidden_norm": "hidden1_bn"}
DBOF = EXPERTS | {"projection.weight": "cluster_weights", "hidden.weight": "hidden1_weights"}
DBOF |= {f"{ours}.weight": f"{theirs}/gamma" for ours, theirs in NORMS.items()}
DBOF |= {f"{ours}.bias": f"{theirs}/beta" for ours, theirs in NORMS.items()}
MOVING = {f"{ours}.running_mean": f"{theirs}/moving_mean" for ours, theirs in NORMS.items()}
MOVING |= {f"{ours}.running_var": f"{theirs}/moving_variance" for ours, theirs in NORMS.items()}
CELL = "rnn/multi_rnn_cell/cell_{}/basic_lstm_cell/{}"

# Per file: the classifier and its options; our trained tensors -> the original's; the same of moving averages.
CASES = {
    "model_dbof_relu6_max_train": (
        "dbof",
        {"projection": 16, "hidden": 8, "samples": 4, "evaluation": "random", "norm_decay": 0.999, "dropout": 0.0},
        DBOF,
        MOVING,
    ),
    "model_lstm2": ("lstm", {"preset": "lstm_a", "cells": 7}, EXPERTS, {}),
    "model_frame_logistic": (
        "frame_logistic",
        {},
        {"dense.weight": "fully_connected/weights", "dense.bias": "fully_connected/biases"},
        {},
    ),
}
CASES["model_dbof_relu6_max_eval"] = CASES["model_dbof_relu6_max_train"]


def original(case, prefix: str, part: str) -> torch.Tensor:
    """A tensor of the starter code; its matrices are (inputs, outputs), torch's the other way round."""
    array = torch.from_numpy(case[f"{prefix}:tower/{part}:0"])
    return array.T if array.ndim == 2 else array


def lstm_tensors(case, prefix: str, layers: int = 2, cells: int = 7) -> dict[str, torch.Tensor]:
    """The LSTM's tensors: one kernel of inputs and states in the original, and gates in the order i, g, f, o.

    The original adds 1 to the forget gate's bias when it is used; here it is in the bias itself.
    """
    tensors = {}
    for layer in range(layers):
        kernel, bias = (original(case, prefix, CELL.format(layer, part)) for part in ("kernel", "bias"))
        (i, g, f, o), (bi, bg, bf, bo) = kernel.split(cells), bias.split(cells)
        ours = torch.cat([i, f, g, o])
        tensors[f"lstm.weight_ih_l{layer}"], tensors[f"lstm.weight_hh_l{layer}"] = ours[:, :-cells], ours[:, -cells:]
        tensors[f"lstm.bias_ih_l{layer}"] = torch.cat([bi, bf + (prefix in ("w", "after")), bg, bo])
    return tensors


def tensors_of(case, prefix: str, name: str, parts: dict[str, str]) -> dict[str, torch.Tensor]:
    """The original's tensors by our names."""
    found = {ours: original(case, prefix, theirs) for ours, theirs in parts.items()}
    return found | (lstm_tensors(case, prefix) if name == "lstm" else {})


@pytest.fixture(params=CASES)
def trained(request, golden, monkeypatch):
    """A model with the original's weights, its batch, the file, and the names of what is trained and what moves."""
    case = np.load(golden / f"{request.param}.npz")
    name, options, parts, moving = CASES[request.param]
    member = classifiers.load(name)
    model = member.Model(member.Config(normalisation="joint", **options), SHAPES).train(case["is_training"].item())
    missing, unexpected = model.load_state_dict(tensors_of(case, "w", name, parts | moving), strict=False)
    for key, count in model.named_buffers():
        if key.endswith("num_batches_tracked"):
            count.fill_(10_000)  # past the steps at which moving averages are plain ones
    assert not unexpected and all("bias_hh" in key or "num_batches" in key for key in missing), missing
    if name == "dbof":
        drawn = torch.from_numpy(case["frame_index"]).long()
        monkeypatch.setattr(frames.torch, "rand", _draws(drawn, case["num_frames"]))
    batch = Batch(
        ids=[str(i) for i in range(6)],
        frames={"visual": torch.from_numpy(case["inputs"])},
        num_frames=torch.from_numpy(case["num_frames"]).long(),
        labels=torch.from_numpy(case["labels"]),
    )
    return model, batch, case, (name, parts, moving)


def _draws(index: torch.Tensor, num_frames: np.ndarray):
    """Uniform numbers that lead to the frames of the original's draw."""
    u = (index + 0.5) / torch.from_numpy(num_frames)[:, None]

    def rand(*shape, **_):
        assert shape == tuple(u.shape)
        return u

    return rand


def test_scores_and_losses_are_the_originals(trained):
    model, batch, case, _ = trained
    scores = model(batch)
    np.testing.assert_allclose(scores.detach(), case["predictions"], atol=5e-7)
    assert losses.cross_entropy_epsilon(scores, batch.labels).item() == pytest.approx(case["loss"].item(), rel=5e-6)
    assert model.penalty().item() == pytest.approx(case["reg"].item(), rel=1e-5)


def test_gradients_clipping_and_one_step_are_the_originals(trained):
    model, batch, case, (name, parts, moving) = trained
    adam = UncorrectedEpsilonAdam([each for each in model.parameters() if each.requires_grad], lr=case["lr"].item())
    (losses.cross_entropy_epsilon(model(batch), batch.labels) + model.penalty()).backward()
    parameters = dict(model.named_parameters())
    wanted = tensors_of(case, "g", name, parts)
    assert wanted.keys() == {key for key, value in parameters.items() if value.requires_grad}
    for ours, gradient in wanted.items():
        np.testing.assert_allclose(parameters[ours].grad, gradient, rtol=1e-4, atol=2e-6, err_msg=ours)
    if name != "lstm":  # of the LSTM the original clips inputs' and states' weights as one matrix
        clip_gradients(model.parameters(), "per_variable", 1.0)
        for ours, gradient in tensors_of(case, "gclip", name, parts).items():
            np.testing.assert_allclose(parameters[ours].grad, gradient, rtol=1e-4, atol=2e-6, err_msg=ours)
    adam.step()
    state = model.state_dict()
    for ours, value in tensors_of(case, "after", name, parts | (moving if model.training else {})).items():
        # A shift that the next normalisation takes away has a gradient of rounding alone, which Adam makes a step of.
        told = torch.ones_like(value, dtype=torch.bool)
        if model.training and ours in ("input_norm.bias", "projection_norm.bias"):
            told = wanted[ours].abs() > 1e-6
        np.testing.assert_allclose(state[ours][told], value[told], atol=1e-5, err_msg=ours)
