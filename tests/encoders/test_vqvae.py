"""The VQ-VAE beyond the original: other strides, a codebook that survives being loaded, bfloat16."""

import pytest
import torch
from pydantic import ValidationError

from mmvid.encoders import vqvae
from mmvid.layers.codebook import Codebook
from mmvid.layers.same_convolution import SameConv3d, SameConvTranspose3d

SMALL = {"sequence_length": 8, "resolution": 16, "codes": 32, "code_size": 12, "hidden": 16, "residual_layers": 1}


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2), (1, 2, 2), (4, 1, 2), (4, 4, 4), (8, 4, 2)])
def test_any_powers_of_two_are_strides(stride):
    model = vqvae.Model(vqvae.Config(**SMALL, stride=stride)).eval()
    clips = torch.rand(2, 3, 8, 16, 16) - 0.5
    codes = model.encode(clips)
    assert codes.shape[1:] == model.config.grid == (8 // stride[0], 16 // stride[1], 16 // stride[2])
    assert model.decode(codes).shape == clips.shape


def test_parameters_of_the_published_size():
    with torch.device("meta"):
        model = vqvae.Model(vqvae.Config())
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_141_619
    assert len(model.state_dict()) == 283 + 1  # `initialised` is ours


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"stride": (3, 2, 2)}, "stride must be three powers of two, got 3,2,2"),
        ({"stride": (4, 2, 2), "resolution": 15}, "stride must divide the clip's 16x15x15"),
        ({"hidden": 15}, "hidden must be even, got 15"),
    ],
)
def test_sizes_that_do_not_fit(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        vqvae.Config(**options)


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 1, 2)])
def test_a_transposed_convolution_is_the_original_s_on_a_padded_input(stride):
    ours = SameConvTranspose3d(2, 3, 4, stride)
    x = torch.randn(1, 2, 3, 4, 5)
    totals = [4 - step for step in stride]
    padding = [side for total in reversed(totals) for side in (total - total // 2, total // 2)]
    padded = torch.nn.functional.pad(x, padding)
    theirs = torch.nn.functional.conv_transpose3d(padded, ours.weight, ours.bias, stride, padding=3)
    torch.testing.assert_close(ours(x), theirs)
    assert ours(x).shape[2:] == tuple(side * step for side, step in zip(x.shape[2:], stride, strict=True))


def test_an_even_kernel_pads_one_more_in_front():
    convolution = SameConv3d(1, 1, 4)
    torch.nn.init.zeros_(convolution.bias)
    impulse = torch.zeros(1, 1, 9, 9, 9)
    impulse[0, 0, 4, 4, 4] = 1
    found = convolution(impulse).nonzero()[:, 2:]
    assert found.amin(0).tolist() == [3, 3, 3] and found.amax(0).tolist() == [6, 6, 6]


def test_training_on_keeps_a_loaded_codebook():
    torch.manual_seed(0)
    clips = torch.rand(4, 3, 8, 16, 16) - 0.5
    first, second = (vqvae.Model(vqvae.Config(**SMALL)) for _ in range(2))
    assert not first.codebook.initialised
    for _ in range(3):
        first(clips)
    assert first.codebook.initialised
    first.codebook.counts.fill_(50)  # as after long training: no code restarts
    first.codebook.sums.copy_(first.codebook.embeddings * 50)
    second.load_state_dict(first.state_dict())
    second.train()(clips)
    moved = (second.codebook.embeddings - first.codebook.embeddings).norm() / first.codebook.embeddings.norm()
    assert 0 < moved < 0.2


def test_codes_are_the_nearest_and_their_averages_follow_the_rows():
    torch.manual_seed(0)
    codebook = Codebook(6, 4).train()
    z = torch.randn(2, 4, 3, 2, 2) * 3
    codebook.initialise(z.movedim(1, -1).flatten(0, -2))
    rows, before = z.movedim(1, -1).flatten(0, -2), codebook.embeddings.clone()
    quantised = codebook(z)
    nearest = torch.cdist(rows.double(), before.double()).argmin(1)
    assert torch.equal(quantised.codes.flatten(), nearest)
    torch.testing.assert_close(quantised.vectors.movedim(1, -1).flatten(0, -2), before[nearest])  # before the update
    for code in range(6):
        own = rows[nearest == code]
        count, total = 0.99 + 0.01 * len(own), 0.99 * before[code] + 0.01 * own.sum(0)
        torch.testing.assert_close(codebook.counts[code].item(), count)
        torch.testing.assert_close(codebook.sums[code], total)
        if count >= 1:
            torch.testing.assert_close(codebook.embeddings[code], total / count, rtol=1e-5, atol=1e-6)
        else:
            assert (rows == codebook.embeddings[code]).all(1).any()


def test_few_rows_are_repeated_to_fill_the_codebook():
    codebook = Codebook(50, 3)
    rows = torch.randn(7, 3)
    codebook.initialise(rows)
    assert torch.cdist(codebook.embeddings, rows).amin(1).max() < 0.05
    assert len(codebook.embeddings.unique(dim=0)) == 50


def test_gradients_pass_straight_through():
    codebook = Codebook(5, 3).eval()
    z = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    weights = torch.randn(1, 3, 2, 2, 2)
    (codebook(z).vectors * weights).sum().backward()
    torch.testing.assert_close(z.grad, weights)


def test_codes_in_bfloat16_are_mostly_the_same():
    torch.manual_seed(0)
    model = vqvae.Model(vqvae.Config(**SMALL))
    clips = torch.rand(4, 3, 8, 16, 16) - 0.5
    model(clips)
    model.eval()
    same = model.encode(clips) == model.encode(clips, torch.bfloat16)
    assert same.float().mean() > 0.8
