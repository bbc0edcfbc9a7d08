"""NetVLAD, NeXtVLAD, DBoF and LSTM against their formulas, written as loops over videos and frames."""

import numpy as np
import pytest
import torch

from mmvid import classifiers
from mmvid.classifiers import netvlad, nextvlad
from mmvid.layers.frames import sample_frames
from mmvid.records.batches import Batch, Shapes

LENGTHS = [3, 1, 5]
VALID = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def made(name: str, **options):
    torch.manual_seed(0)
    member = classifiers.load(name)
    config = member.Config(**options)
    shapes = Shapes(classes=7, features={"visual": 8, "audio": 4}, frames={"visual": 8, "audio": 4})
    return member.Model(config, shapes)


def make_batch(seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        ids=["a", "b", "c"],
        frames={name: torch.randn(3, 5, size) * VALID.unsqueeze(-1) for name, size in (("visual", 8), ("audio", 4))},
        num_frames=torch.tensor(LENGTHS),
    )


def normed(layer, x: np.ndarray) -> np.ndarray:
    mean, variance, scale, shift = (
        value.detach().numpy() for value in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


@pytest.mark.parametrize("residuals", ["centres", "none"])
def test_netvlad_pools_as_its_formula(residuals):
    torch.manual_seed(0)
    config = netvlad.Config(residuals=residuals)
    pool, frames = netvlad.Pool(4, 3, config).eval(), torch.randn(9, 4)
    got = pool(frames, VALID).detach().numpy()
    weights, start = pool.assign.weight.detach().numpy(), 0
    for row, length in zip(got, LENGTHS, strict=True):
        sums = np.zeros((3, 4))
        for x in frames[start : start + length].numpy():
            shares = softmax(normed(pool.norm, weights @ x))
            for k in range(3):
                sums[k] += shares[k] * (x - (pool.centres[k].detach().numpy() if residuals == "centres" else 0))
        start += length
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        np.testing.assert_allclose(row, (sums / np.linalg.norm(sums)).ravel(), atol=1e-6)


def test_nextvlad_pools_as_its_formula():
    torch.manual_seed(0)
    config = nextvlad.Config(groups=2, expansion=2)
    pool, frames = nextvlad.Pool(4, 3, config).eval(), torch.randn(9, 4)
    got = pool(frames, VALID).detach().numpy()
    centres, start = pool.centres.detach().numpy(), 0
    for row, length in zip(got, LENGTHS, strict=True):
        sums = np.zeros((3, 4))
        for x in frames[start : start + length]:
            wide = pool.widen(x).detach()
            attention = pool.attend(wide).sigmoid().detach().numpy()
            shares = normed(pool.assign_norm, pool.assign(wide).detach().numpy()).reshape(2, 3)
            for g in range(2):
                for k in range(3):
                    part = wide.numpy()[4 * g : 4 * g + 4] - centres[k]
                    sums[k] += attention[g] * softmax(shares[g])[k] * part
        start += length
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        np.testing.assert_allclose(row, normed(pool.norm, sums.ravel()), atol=2e-6)


def test_dbof_projects_only_the_frames_that_it_draws():
    model, batch = made("dbof", projection=16, hidden=8, samples=2), make_batch()
    seen = []
    model.projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    model.train()(batch)
    model.eval()(batch)
    assert seen == [(3 * 2, 12), (sum(LENGTHS), 12)]  # all valid frames when scoring, no padding


def test_dbof_scores_a_fixed_draw_as_those_frames_alone():
    batch = make_batch()
    fixed = made("dbof", projection=16, hidden=8, samples=4, evaluation="fixed").eval()
    every = made("dbof", projection=16, hidden=8).eval()
    rows = torch.arange(3)[:, None]
    drawn = sample_frames(batch.num_frames, 4, "frames", fixed=True)
    alone = Batch(
        ids=batch.ids,
        frames={name: value[rows, drawn] for name, value in batch.frames.items()},
        num_frames=torch.full((3,), 4),
    )
    torch.testing.assert_close(fixed(batch), every(alone))


@pytest.mark.parametrize("pooling", ["last", "average"])
def test_the_lstm_reads_the_states_of_each_videos_own_frames(pooling):
    model, batch = made("lstm", cells=6, experts=0, pooling=pooling).eval(), make_batch()
    for row, length in enumerate(LENGTHS):
        alone = Batch(
            ids=["x"],
            frames={name: value[row : row + 1, :length] for name, value in batch.frames.items()},
            num_frames=torch.tensor([length]),
        )
        torch.testing.assert_close(model(alone)[0], model(batch)[row])
        states = model.lstm(model.reader.frames(alone))[0][0]  # (T, H)
        state = states[-1] if pooling == "last" else states.mean(0)
        torch.testing.assert_close(model.log_odds(alone)[0], model.head(state[None])[0])


def test_the_lstms_forget_gate_begins_open_and_has_one_trained_bias():
    lstm = made("lstm", cells=6).lstm
    for layer in range(2):
        bias, second = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
        assert bias.tolist() == [0] * 6 + [1] * 6 + [0] * 12
        assert not second.any() and not second.requires_grad


@pytest.mark.parametrize(("groups", "message"), [(3, "^groups must divide the widened frame of 16 numbers, got 3$")])
def test_groups_that_do_not_divide_the_frame_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        made("nextvlad", groups=groups)
