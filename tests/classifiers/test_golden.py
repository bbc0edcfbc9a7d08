"""MoE and logistic regression against the starter code: scores, loss, gradients, clipping, one Adam step."""

import numpy as np
import pytest
import torch

from mmvid import classifiers
from mmvid.layers import losses
from mmvid.optimisation import UncorrectedEpsilonAdam, clip_gradients
from mmvid.records.batches import Batch, Shapes

# Of gradients up to 2. Where a score is close to 1, log(1 - p) loses four digits in float32, on either side: our
# scores in float64 differ from the original's gradients as much as our float32 does.
ATOL = 6e-5

PARTS = {
    "moe": {
        "mixture.gates.weight": "gates/weights",
        "mixture.experts.weight": "experts/weights",
        "mixture.experts.bias": "experts/biases",
    },
    "logistic": {"dense.weight": "fully_connected/weights", "dense.bias": "fully_connected/biases"},
}


def original(case, prefix: str, part: str) -> torch.Tensor:
    """A tensor of the starter code; its matrices are (inputs, outputs), torch's the other way round."""
    array = torch.from_numpy(case[f"{prefix}:tower/{part}:0"])
    return array.T if array.ndim == 2 else array


# The original's training loop normalises before the model; the case with large gradients was made without that.
@pytest.fixture(
    params=[
        ("moe", "model_moe2", "joint"),
        ("moe", "model_moe2_clipped", "none"),
        ("logistic", "model_logistic", "joint"),
    ]
)
def trained(request, golden):
    """A model with the original's weights, its batch, and the file with what must come out."""
    name, file, normalisation = request.param
    case = np.load(golden / f"{file}.npz")
    member = classifiers.load(name)
    config = member.Config(normalisation=normalisation)
    model = member.Model(config, Shapes(classes=11, features={"visual": 20}))
    model.load_state_dict({ours: original(case, "w", theirs) for ours, theirs in PARTS[name].items()})
    batch = Batch(
        ids=[str(i) for i in range(6)],
        features={"visual": torch.from_numpy(case["inputs"])},
        labels=torch.from_numpy(case["labels"]),
    )
    return model, batch, case, PARTS[name]


def test_scores_and_losses_are_the_originals(trained):
    model, batch, case, _ = trained
    scores = model(batch)
    np.testing.assert_allclose(scores.detach(), case["predictions"], atol=3e-7)
    assert losses.cross_entropy_epsilon(scores, batch.labels).item() == pytest.approx(case["loss"].item(), rel=5e-6)
    assert model.penalty().item() == pytest.approx(case["reg"].item(), rel=1e-5)


def test_gradients_clipping_and_one_step_are_the_originals(trained):
    model, batch, case, parts = trained
    adam = UncorrectedEpsilonAdam(model.parameters(), lr=case["lr"].item())
    (losses.cross_entropy_epsilon(model(batch), batch.labels) + model.penalty()).backward()
    parameters = dict(model.named_parameters())
    for ours, theirs in parts.items():
        np.testing.assert_allclose(parameters[ours].grad, original(case, "g", theirs), rtol=1e-5, atol=ATOL)
    clip_gradients(model.parameters(), "per_variable", 1.0)
    for ours, theirs in parts.items():
        np.testing.assert_allclose(parameters[ours].grad, original(case, "gclip", theirs), rtol=1e-5, atol=ATOL)
    adam.step()
    for ours, theirs in parts.items():
        np.testing.assert_allclose(parameters[ours].detach(), original(case, "after", theirs), atol=4e-6)


def test_joint_normalisation_is_what_the_original_does_before_the_model(golden):
    rows = np.load(golden / "model_reader_video.npz")["x"][:, :20]
    features = {"visual": torch.from_numpy(rows[:, :12]), "audio": torch.from_numpy(rows[:, 12:])}
    member = classifiers.load("logistic")
    shapes = Shapes(classes=3, features={"visual": 12, "audio": 8})
    model = member.Model(member.Config(normalisation="joint"), shapes)
    expected = rows / np.sqrt(np.maximum((rows.astype(np.float64) ** 2).sum(1, keepdims=True), 1e-12))
    np.testing.assert_allclose(model.join(features, {}), expected, atol=1e-6)
