"""Heads on a VideoGPT's latents: frozen and cached, computed on the way, fine-tuned; the package serves alone."""

import copy

import numpy as np
import pytest
import torch

from mmvid import latents, segmenters
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import videogpt, vqvae
from mmvid.latents import LatentConfig
from mmvid.segmentation import experiment, package
from mmvid.segmentation.experiment import EncoderUse, Setup
from mmvid.segmentation.training import SegmentConfig

CONFIG = SegmentConfig(epochs=15, batch_size=6, learning_rate=5e-3, patience=0)
SMALL = {
    "attention": {"heads": 4, "tail": (16,), "residual": True},
    "dense": {"cells": "per_cell", "tail": (16,)},
    "heavy": {"widths": (4, 8)},
}


@pytest.fixture(scope="module")
def encoder() -> EncoderPackage:
    """Untrained: of little use while it is frozen. It reads 32 x 32 pixels, the frames have 16."""
    torch.manual_seed(0)
    source = vqvae.Config(
        sequence_length=4, resolution=32, stride=(2, 4, 4), codes=12, code_size=6, hidden=8, residual_layers=1
    )
    config = videogpt.Config(width=24, heads=2, layers=1, resnet_width=8, resnet_size=24)
    return EncoderPackage(videogpt.Model(config, vqvae.Model(source)).eval(), key="encoder", origin="made for a test")


def setup_of(encoder: EncoderPackage, head: str = "dense", kind: str = "resnet", train=CONFIG, **use) -> Setup:
    fresh = EncoderPackage(copy.deepcopy(encoder.model), encoder.key, encoder.origin)
    options = segmenters.load(head).Config(**SMALL.get(head, {}))
    return Setup(head, options, train, fresh, LatentConfig(latent=kind), EncoderUse(**use))


def run(setup: Setup, labelled, home) -> experiment.Outcome:
    return experiment.run(setup, labelled, key="key", caches=home, progress=False)


@pytest.fixture(scope="module")
def frozen(encoder, labelled, tmp_path_factory):
    return run(setup_of(encoder), labelled, tmp_path_factory.mktemp("caches"))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


def test_a_frozen_encoder_stays_as_it_is(frozen, encoder):
    losses = [epoch["train/loss"] for epoch in frozen.fitted.history]
    assert losses[-1] < 0.9 * losses[0]
    assert same(frozen.package.encoder.model, encoder.model) and frozen.package.encoder.key == "encoder"


def test_a_package_serves_alone(frozen, labelled, tmp_path):
    package.save(frozen.package, tmp_path / "package")
    loaded = package.load(tmp_path / "package")
    frames = labelled.frames[labelled.rows("validate")]
    np.testing.assert_allclose(loaded.scores(frames), frozen.predictions["validate"].scores, atol=1e-4)
    assert loaded.title == "dense on resnet of videogpt" and loaded.latent == LatentConfig()
    assert {path.name for path in (tmp_path / "package").iterdir()} == {"config.json", "encoder", "model.safetensors"}
    assert "encoder" not in "".join(loaded.model.state_dict())  # the encoder's weights are in its own package only


def test_a_fine_tuned_encoder_is_in_the_package(encoder, labelled, tmp_path):
    outcome = run(setup_of(encoder, finetune=True, encoder_learning_rate=3e-3), labelled, tmp_path)
    found = outcome.metrics()
    assert found["validate/iou"] > max(found["validate/mean_mask/iou"], found["validate/constant_mask/iou"]) + 0.3
    tuned, plain = outcome.package.encoder.model, encoder.model
    assert not same(tuned.resnet, plain.resnet)
    assert same(tuned.vqvae, plain.vqvae) and same(tuned.transformer, plain.transformer)
    assert outcome.package.encoder.key == "key.encoder" and not list(tmp_path.iterdir())  # nothing to be cached
    package.save(outcome.package, tmp_path / "package")
    frames = labelled.frames[labelled.rows("validate")]
    found = package.load(tmp_path / "package").scores(frames)
    np.testing.assert_allclose(found, outcome.predictions["validate"].scores, atol=1e-5)


def test_computed_on_the_way_it_is_the_same_training(encoder, labelled, frozen, tmp_path):
    """A crop so slight that it moves nothing makes the latents be computed at each step instead of once."""
    on_the_way = CONFIG.model_copy(update={"crop": 1 - 1e-9})
    outcome = run(setup_of(encoder, train=on_the_way), labelled, tmp_path)
    assert outcome.metrics()["validate/iou"] == pytest.approx(frozen.metrics()["validate/iou"], abs=0.05)
    assert not list(tmp_path.iterdir()) and same(outcome.package.encoder.model, encoder.model)


@pytest.mark.parametrize("head", [name for name in segmenters.head_names() if name != "dense"])
@pytest.mark.parametrize("kind", ["resnet", "codes_still", "noise"])
def test_every_head_trains_on_latents(encoder, labelled, head, kind, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 1})
    outcome = run(setup_of(encoder, head, kind, config), labelled, tmp_path)
    assert 0 <= outcome.metrics()["validate/iou"] <= 1
    inputs = outcome.package.model.head.shape
    assert inputs == latents.shape(encoder, LatentConfig(latent=kind))


def test_latents_are_standardised_over_train_unless_told_not_to(encoder, labelled, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 1})
    scaled = run(setup_of(encoder, "linear", "noise", config), labelled, tmp_path).package.model
    plain = run(setup_of(encoder, "linear", "noise", config, standardise=False), labelled, tmp_path).package.model
    assert scaled.scale.max() < 0.4 and torch.equal(plain.scale, torch.ones_like(plain.scale))


@pytest.mark.parametrize(
    ("kind", "changes", "use", "sentence"),
    [
        ("codes_still", {}, {"finetune": True}, "^finetune must be left out for latent=codes_still"),
        ("noise", {"flip": True}, {}, "^flip, colour and crop must be left out for latent=noise"),
        ("hidden", {"crop": 0.5}, {}, "^flip, colour and crop must be left out for latent=hidden"),
    ],
)
def test_what_no_gradient_or_cache_allows_is_refused(encoder, kind, changes, use, sentence):
    with pytest.raises(ValueError, match=sentence):
        setup_of(encoder, "linear", kind, CONFIG.model_copy(update=changes), **use)


def test_a_key_tells_what_decides(encoder, labelled):
    def key(**changes) -> str:
        use = {name: changes.pop(name) for name in list(changes) if name in EncoderUse.model_fields}
        return setup_of(encoder, train=CONFIG.model_copy(update=changes), **use).task(labelled).key

    assert key() == key() == key(encoder_learning_rate=0.5)  # nothing is trained with it
    assert len({key(), key(seed=1), key(finetune=True), key(finetune=True, encoder_learning_rate=0.5)}) == 4


def test_frames_that_are_no_squares_are_refused(encoder, labelled, tmp_path):
    wide = copy.copy(labelled)
    object.__setattr__(wide, "frames", labelled.frames[:, :12])
    object.__setattr__(wide, "masks", labelled.masks[:, :, :12])
    with pytest.raises(ValueError, match="^frames must be square for an encoder, discs .* has 12 x 16; clip"):
        run(setup_of(encoder), wide, tmp_path)
