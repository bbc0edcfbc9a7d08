"""The contract of every encoder: a new file in the folder is covered on arrival."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmvid import encoders
from mmvid.clips.batches import ClipBatch

NAMES = encoders.names()
SMALL = {"sequence_length": 8, "resolution": 16, "codes": 32, "code_size": 12, "hidden": 16, "residual_layers": 1}
OPTIONS = {
    "vqvae": SMALL,
    "videogpt": {"width": 24, "layers": 2, "resnet_width": 4, "resnet_size": 24, "attention_dropout": 0.0},
}


def make(name: str, seed: int = 0) -> encoders.Encoder:
    """A small one, in training mode; one that is built on a VQ-VAE gets a small one."""
    torch.manual_seed(seed)
    description = {"encoder": name, "config": OPTIONS.get(name, {})}
    if name != "vqvae":
        description["parts"] = {"vqvae": {"encoder": "vqvae", "config": SMALL}}
    return encoders.build(description)


def make_batch(clips: int = 3, seed: int = 1) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(clips, 3, 8, 16, 16, generator=generator) - 0.5
    ids = [str(number) for number in range(clips)]
    return ClipBatch(ids=ids, clips=pixels, trajectory=ids)


@pytest.mark.parametrize("name", NAMES)
def test_features_have_places_and_channels(name):
    model, clips = make(name).eval(), make_batch().clips
    still, same = model.features(clips[:, :, 0]), model.features(clips[:, :, :1])
    assert still.ndim == 5 and len(still) == 3
    assert torch.equal(still, same)


@pytest.mark.parametrize("name", NAMES)
def test_company_in_the_batch_never_changes_a_feature(name):
    model, clips = make(name).eval(), make_batch().clips[:, :, 0]
    torch.testing.assert_close(model.features(clips[:1]), model.features(clips)[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_of_its_own(name):
    model, batch = make(name), make_batch()
    adam = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    for _ in range(2):  # an output that starts at zero passes no gradient at the first step
        adam.zero_grad()
        loss, measures = model.loss(batch)
        loss.backward()
        adam.step()
    assert all(value.ndim == 0 and not value.requires_grad for value in measures.values())
    frozen = {id(parameter) for part in model.parts.values() for parameter in part.parameters()}
    for key, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached != (id(parameter) in frozen), key


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_batch_is_learnt(name):
    model, batch = make(name), make_batch(1)
    adam = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    start = model.loss(batch)[0].item()
    for _ in range(40):
        adam.zero_grad()
        loss, _ = model.loss(batch)
        loss.backward()
        adam.step()
    assert loss.item() < 0.7 * start


@pytest.mark.parametrize("name", NAMES)
def test_parts_stay_as_they_are_in_training(name):
    model, batch = make(name), make_batch()
    before = [{key: value.clone() for key, value in part.state_dict().items()} for part in model.parts.values()]
    model.train().loss(batch)[0].backward()
    for part, state in zip(model.parts.values(), before, strict=True):
        assert not part.training
        assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_gives_the_same_outputs(name, tmp_path):
    model, batch = make(name), make_batch()
    model.loss(batch)
    model.eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    again = encoders.build(json.loads(json.dumps(encoders.describe(model))))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    again.eval()
    assert again.config == model.config
    assert torch.equal(again.features(batch.clips[:, :, 0]), model.features(batch.clips[:, :, 0]))
    assert torch.equal(again.loss(batch)[0], model.loss(batch)[0])


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights(name):
    first, second, other = (make(name, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", NAMES)
def test_clips_of_another_size_are_refused(name):
    with pytest.raises(ValueError, match="^clips must be of 3x8x16x16 .* got 3x8x16x20"):
        make(name).loss(ClipBatch(ids=["a"], clips=torch.zeros(1, 3, 8, 16, 20), trajectory=["a"]))
