"""The contract of every segmenter: a new file in the folder is covered on arrival."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmvid import segmenters
from mmvid.layers.mask_losses import mask_loss

NAMES = segmenters.names()
SIZE = (16, 16)
# Options that make another model of a segmenter: they must keep the contract, too.
VARIANTS = {
    "linear, flattened": ("linear", {"cells": "flattened"}),
    "light, per cell, as in the code": ("light", {"cells": "per_cell", "order": "code"}),
    "heavy, flattened": ("heavy", {"cells": "flattened"}),
    "dense, flattened": ("dense", {"cells": "flattened"}),
    "attention, all parts": ("attention", {"residual": True, "norm": True, "positions": True}),
}
MODELS = [*NAMES, *VARIANTS]
# Sizes at which a test takes a moment; two cells of a batch norm's level would be too few for its statistics.
SMALL = {
    "light": {"channels": 8},
    "heavy": {"widths": (8, 16, 16)},
    "dense": {"tail": (16, 8)},
    "attention": {"tail": (16, 8), "heads": 4},
    "unet": {"widths": (8, 16, 16)},
}
SHAPES = [((24, 8, 8), SIZE), ((6, 4, 4), SIZE), ((4, 16, 16), SIZE), ((5, 4, 6), (17, 26))]


def make(name: str, shape=(24, 8, 8), size=SIZE, seed: int = 0) -> segmenters.Segmenter:
    torch.manual_seed(seed)
    name, options = VARIANTS.get(name, (name, {}))
    member = segmenters.load(name)
    shape = (3, *size) if member.Model.reads == "frames" else shape
    return member.Model(member.Config(**SMALL.get(name, {}) | options), shape, size).eval()


def make_inputs(model: segmenters.Segmenter, count: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs and, as masks, a disc that lies elsewhere in each."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *model.shape, generator=generator)
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in model.size), indexing="ij")
    masks = torch.stack([(rows - 4 - 3 * i) ** 2 + (columns - 4 - 2 * i) ** 2 < 14 for i in range(count)])
    return x, masks


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_logits_have_the_size_of_the_mask(name, shape, size):
    model = make(name, shape, size)
    logits = model(make_inputs(model)[0])
    assert logits.shape == (3, *size) and torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_company_in_the_batch_never_changes_a_mask(name):
    model = make(name)
    x, _ = make_inputs(model)
    torch.testing.assert_close(model(x[:1]), model(x)[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name):
    model = make(name).train()
    mask_loss(model(make_inputs(model)[0]), make_inputs(model)[1], "dice+bce", 4.0).backward()
    missing = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    # A transposed convolution's bias before a batch norm, and a key's bias before a softmax, change nothing.
    assert [key for key in missing if not key.endswith("in_proj_bias")] == []


@pytest.mark.parametrize("name", MODELS)
def test_a_tiny_batch_is_learnt(name):
    model = make(name).train()
    x, masks = make_inputs(model)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        adam.zero_grad()
        loss = mask_loss(model(x), masks, "dice+bce", 2.0)
        loss.backward()
        adam.step()
    found = model(x) > 0
    overlap = (found & masks).sum() / (found | masks).sum()
    assert overlap > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_it_gives_the_same_masks(name, tmp_path):
    model, again = make(name), make(name, seed=9)
    model.train()(make_inputs(model)[0])  # moves the statistics of batch norms
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    x, _ = make_inputs(model)
    assert torch.equal(again(x), model.eval()(x))


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_weights(name):
    first, second, other = (make(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_another_shape_are_refused(name):
    model = make(name)
    channels, height, width = model.shape
    with pytest.raises(ValueError, match=f"^a {name} built for inputs of {channels} x {height} x {width} must"):
        model(torch.zeros(1, channels, height, width + 1))


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("linear", (4, 32, 32), 4096 * 4096 + 4096),  # flattened
        ("linear", (240, 16, 16), 240 * 16 + 16),  # each cell its 4 x 4 pixels
        ("light", (4, 32, 32), 4096 * 4097 + (4 * 9 + 1) + (4 + 1)),
        ("dense", (240, 16, 16), 240 * 241 + (240 * 128 * 9 + 128) + (128 * 32 * 9 + 32) + (32 * 9 + 1)),
        ("attention", (240, 16, 16), 4 * 240 * 241 + (240 * 128 * 9 + 128) + (128 * 32 * 9 + 32) + (32 * 9 + 1)),
    ],
)
def test_a_head_has_the_papers_size(name, shape, parameters):
    member = segmenters.load(name)
    with torch.device("meta"):
        model = member.Model(member.Config(), shape, (64, 64))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_the_u_net_is_the_classic_one():
    member = segmenters.load("unet")
    with torch.device("meta"):
        model = member.Model(member.Config(), (3, 64, 64), (64, 64))
    assert 31.0e6 < sum(parameter.numel() for parameter in model.parameters()) < 31.1e6


def test_the_heavy_decoder_goes_down_to_four_by_four(monkeypatch):
    member = segmenters.load("heavy")
    with torch.device("meta"):
        model = member.Model(member.Config(), (4, 32, 32), (64, 64))
        bottom = []
        model.unet.bottom.register_forward_hook(lambda _, given, output: bottom.append(tuple(output.shape)))
        model(torch.zeros(2, 4, 32, 32))
    assert bottom == [(2, 512, 4, 4)]
