"""Training of encoders: the schedule, codes from the cache, measures on dev, resume; on clips of moving squares."""

import numpy as np
import pytest
import torch
from made_clips import square_clips

from mmvid import pretraining
from mmvid.clips.loader import ClipLoader
from mmvid.encoders import videogpt, vqvae
from mmvid.feature_cache import Windows, features_of
from mmvid.metrics.image import psnr
from mmvid.pretraining import CodedLoader, PretrainConfig, code_statistics, fit, rate_factor

VQVAE = vqvae.Config(
    sequence_length=4, resolution=16, stride=(2, 4, 4), codes=16, code_size=8, hidden=16, residual_layers=1
)
VIDEOGPT = videogpt.Config(width=24, heads=2, layers=1, dropout=0.1, resnet_width=4, resnet_size=12)
CONFIG = PretrainConfig(steps=12, checks=3, batch_size=6, learning_rate=3e-3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return square_clips(tmp_path_factory.mktemp("store"))


def train_vqvae(store, config=CONFIG, **kwargs):
    torch.manual_seed(0)
    model = vqvae.Model(VQVAE)
    loader = ClipLoader(store, "train", config.batch_size, frames=4, shuffle=True)
    return model, fit(model, loader, ClipLoader(store, "dev", 3, frames=4), config, progress=False, **kwargs)


@pytest.fixture(scope="module")
def frozen(store):
    return train_vqvae(store)[0].eval()


def coded(store, model, split, home, **kwargs) -> CodedLoader:
    windows = Windows(store, split, frames=4)
    codes = features_of(
        windows, model.encode, home=home, key="k", kind="codes", dtype="uint8", batch_size=5, progress=False
    )
    return CodedLoader(windows, codes, 1, 6, **kwargs)


def test_a_vqvae_learns_and_is_measured_on_dev(store):
    model, fitted = train_vqvae(store)
    names = ("loss", "reconstruction", "commitment", "psnr", "ssim", "perplexity", "usage")
    assert set(fitted.history[0]) == {"train/loss", "train/learning_rate", *(f"dev/{name}" for name in names)}
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]
    best = fitted.history[fitted.best_epoch]
    model.eval()
    clips = torch.cat([batch.clips for batch in ClipLoader(store, "dev", 3, frames=4)])
    with torch.no_grad():
        output = model(clips)
    near = psnr(output.reconstruction.clamp(-0.5, 0.5).transpose(1, 2), clips.transpose(1, 2)).mean()
    assert best["dev/psnr"] == pytest.approx(float(near), abs=1e-3)
    counts = torch.bincount(output.codes.flatten(), minlength=16)
    assert best["dev/perplexity"] == pytest.approx(code_statistics(counts)["perplexity"], rel=1e-4)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_killed_training_resumes_to_the_same_end(store, tmp_path, ema):
    config = CONFIG.model_copy(update={"ema": ema})

    def stop(metrics, check):
        if check == 1:
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        train_vqvae(store, config, checkpoints=tmp_path, report=stop)
    resumed, fitted = train_vqvae(store, config, checkpoints=tmp_path)
    undisturbed, expected = train_vqvae(store, config)
    assert fitted == expected
    for (name, weight), other in zip(resumed.state_dict().items(), undisturbed.state_dict().values(), strict=True):
        assert torch.equal(weight, other), name


def test_cached_codes_are_those_of_the_windows_they_come_with(store, frozen, tmp_path):
    loader = coded(store, frozen, "train", tmp_path, draw=True, seed=3)
    whole = Windows(store, "train", frames=4)
    seen = set()
    for epoch in range(4):
        loader.set_epoch(epoch)
        for batch in loader:
            rows = [int(each.removeprefix("clip")) for each in batch.clips.ids]
            seen |= set(zip(rows, batch.clips.starts.tolist(), strict=True))
            own = [[entry.id for entry in store.entries("train")].index(each) for each in batch.clips.ids]
            clips = whole.loader.batch(own, batch.clips.starts.tolist()).clips
            assert torch.equal(batch.clips.clips, clips[:, :, :1])
            assert torch.equal(batch.codes, frozen.encode(clips))
    assert len(seen) > len(loader.firsts)  # other windows in other epochs


def test_an_epoch_of_codes_follows_from_its_number(store, frozen, tmp_path):
    def epoch(number):
        loader = coded(store, frozen, "train", tmp_path, draw=True)
        loader.set_epoch(number)
        return [name for batch in loader for name in batch.clips.ids]

    assert epoch(0) == epoch(0) != epoch(1)
    assert sorted(epoch(0)) == sorted(epoch(1)) == sorted(entry.id for entry in store.entries("train"))


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_a_videogpt_learns_from_cached_codes_and_leaves_the_vqvae_alone(store, frozen, tmp_path, precision):
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    torch.manual_seed(0)
    model = videogpt.Model(VIDEOGPT, frozen)
    train, dev = coded(store, frozen, "train", tmp_path, draw=True), coded(store, frozen, "dev", tmp_path)
    fitted = fit(model, train, dev, CONFIG.model_copy(update={"precision": precision}), progress=False)
    assert {"dev/loss", "dev/accuracy"} <= set(fitted.history[0])
    assert fitted.history[-1]["dev/loss"] < fitted.history[0]["dev/loss"] < 1.1 * np.log(16)
    for name, value in model.vqvae.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_learning_rate_grows_and_falls_along_a_cosine():
    config = PretrainConfig(steps=100, checks=1, warmup=4)
    found = [rate_factor(step, config) for step in range(100)]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[52] == pytest.approx(0.5) and found[-1] < 0.001
    assert rate_factor(70, config.model_copy(update={"schedule": "constant"})) == 1.0


def test_steps_that_do_not_fall_into_checks_are_refused():
    with pytest.raises(ValueError, match=r"steps must be a multiple of checks \(7\), got 100"):
        PretrainConfig(steps=100, checks=7)


def test_a_loss_that_is_no_number_is_an_error(store, monkeypatch):
    monkeypatch.setattr(pretraining.VqvaePretraining, "loss", lambda *_: torch.tensor(float("inf"), requires_grad=True))
    with pytest.raises(ValueError, match="^the loss became inf in epoch 0, batch 0; try a lower learning_rate$"):
        train_vqvae(store)
