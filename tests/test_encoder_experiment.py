"""One training of an encoder from clips to measures, its package, and what it answers when it is served."""

import base64
import dataclasses
import io
import json

import av
import numpy as np
import pytest
import torch
from made_clips import square_clips
from PIL import Image

from mmvid import encoder_experiment, encoder_package
from mmvid.animation import gif, side_by_side, strip, write_mp4
from mmvid.clip_evaluation import copied, first_clips, measure_predictions, measure_reconstructions
from mmvid.clips.loader import ClipLoader
from mmvid.encoder_experiment import MeasureConfig, Setup, WindowConfig
from mmvid.encoder_presets import VIDEOGPT, VQVAE
from mmvid.encoder_serving import Service
from mmvid.encoders import videogpt, vqvae
from mmvid.metrics.image import psnr
from mmvid.presets import settle, unset
from mmvid.pretraining import PretrainConfig
from mmvid.requests import BadRequest

TRAIN = PretrainConfig(steps=4, checks=2, batch_size=6, learning_rate=3e-3)
SIZES = vqvae.Config(
    sequence_length=4, resolution=16, stride=(2, 4, 4), codes=16, code_size=8, hidden=16, residual_layers=1
)
TRAINED = {name for kind in (PretrainConfig, WindowConfig, MeasureConfig) for name in kind.model_fields}
GPT = videogpt.Config(width=24, heads=2, layers=1, dropout=0.1, resnet_width=4, resnet_size=12)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return square_clips(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def frozen(store, tmp_path_factory):
    setup = Setup("vqvae", SIZES, TRAIN, WindowConfig(), MeasureConfig())
    return encoder_experiment.run(setup, store, key="k", caches=tmp_path_factory.mktemp("caches"), progress=False)


@pytest.fixture(scope="module")
def trained(store, frozen, tmp_path_factory):
    caches, told = tmp_path_factory.mktemp("caches"), []
    setup = Setup("videogpt", GPT, TRAIN, WindowConfig(), MeasureConfig(samples=2), frozen.package)
    outcome = encoder_experiment.run(
        setup,
        store,
        key="k2",
        caches=caches,
        progress=False,
        show=lambda clips, check: told.append((check, {name: each.shape for name, each in clips.items()})),
    )
    return outcome, told, caches


def test_a_vqvae_is_trained_and_its_reconstructions_measured(frozen, store):
    metrics, curves = frozen.metrics(), frozen.curves()
    assert set(metrics) == {"validate/psnr", "validate/ssim"} and curves["validate/psnr_by_step"].shape == (4,)
    assert metrics["validate/psnr"] == pytest.approx(curves["validate/psnr_by_step"].mean())
    clips = torch.cat([batch.clips for batch in ClipLoader(store, "validate", 3, frames=4, windows="first")])
    model = frozen.package.model
    with torch.no_grad():
        made = model(clips).reconstruction.clamp(-0.5, 0.5)
    assert metrics["validate/psnr"] == pytest.approx(float(psnr(made.transpose(1, 2), clips.transpose(1, 2)).mean()))
    assert frozen.shown["reconstruction"].shape == frozen.shown["clip"].shape == (4, 4, 16, 16, 3)


def test_a_videogpt_is_measured_beside_the_copy_and_the_reconstruction(trained, store):
    outcome, told, _ = trained
    metrics = outcome.metrics()
    names = {
        f"validate/{part}{name}" for part in ("", "best_", "copy_", "reconstruction_") for name in ("psnr", "ssim")
    }
    assert set(metrics) == names
    assert metrics["validate/best_psnr"] >= metrics["validate/psnr"]
    assert outcome.curves()["validate/copy_psnr_by_step"][0] == pytest.approx(100.0)
    clips = torch.cat([batch.clips for batch in ClipLoader(store, "validate", 3, frames=4, windows="first")])
    still = clips[:, :, :1].expand_as(clips)
    by_hand = psnr(still.transpose(1, 2), clips.transpose(1, 2))[:, 1:].mean()
    assert metrics["validate/copy_psnr"] == pytest.approx(float(by_hand))
    assert [check for check, _ in told] == [0, 1]
    assert set(told[0][1]) == {"clip", "prediction", "copy"} and told[0][1]["prediction"] == (4, 4, 16, 16, 3)


def test_codes_are_computed_once_for_all_runs(trained, frozen, store, monkeypatch):
    _, _, caches = trained
    assert len(list(caches.glob("codes-*"))) == 2  # train and dev
    setup = Setup("videogpt", GPT, TRAIN, WindowConfig(), MeasureConfig(), frozen.package)
    model = encoder_experiment.build(setup)
    monkeypatch.setattr(model.vqvae, "encode", lambda clips, precision: pytest.fail("the codes are there"))
    loader = encoder_experiment.coded(setup, store, model, "train", caches, False)
    assert len(next(iter(loader))) == 6


def test_a_videogpt_of_classes_without_given_frames_is_trained(frozen, tmp_path):
    labelled = square_clips(tmp_path / "store", labelled=True)
    config = GPT.model_copy(update={"conditioned_frames": 0, "categories": len(labelled.classes)})
    setup = Setup("videogpt", config, TRAIN, WindowConfig(), MeasureConfig(measured_clips=2), frozen.package)
    found = encoder_experiment.run(setup, labelled, key="k4", caches=tmp_path, progress=False)
    assert labelled.classes == ("down", "right") and found.measured.samples.given == 0
    assert found.shown["prediction"].shape == (4, 4, 16, 16, 3)


def test_codes_in_bfloat16_are_a_setup_of_their_own_and_the_changed_ones_are_counted(frozen, store, tmp_path):
    setup = Setup("videogpt", GPT, TRAIN, WindowConfig(), MeasureConfig(measured_clips=3), frozen.package)
    half = dataclasses.replace(setup, code_precision="bf16-mixed")
    assert half.task(store).key != setup.task(store).key
    found = encoder_experiment.run(half, store, key="k3", caches=tmp_path, progress=False)
    assert len(list(tmp_path.glob("codes-bf16-*"))) == 2 and 0 <= found.changed < 0.5
    model = frozen.package.model
    [batch] = first_clips(encoder_experiment.whole(setup, store, model, "dev", 8), 3)
    codes = model.encode(batch.clips).numpy()
    codes[0, 0, 0, 0] += 1
    assert encoder_experiment.changed_codes([batch], model, codes) == 1 / codes.size


def test_measuring_does_not_depend_on_batches_and_stops_where_it_should(trained, frozen, store):
    def loader(size):
        return ClipLoader(store, "train", size, frames=4, windows="first")

    model = frozen.package.model
    several, single = (measure_reconstructions(model, loader(size), 5) for size in (3, 1))
    assert several.clips == single.clips == 5
    np.testing.assert_allclose(several.psnr, single.psnr, rtol=1e-5)
    assert [len(batch) for batch in first_clips(loader(3), 5)] == [3, 2]
    predicted = measure_predictions(trained[0].package.model, loader(3), 4, temperature=0, samples=2)
    np.testing.assert_allclose(predicted.samples.psnr, predicted.best.psnr, rtol=1e-6)  # greedy: both are the same


def test_a_copy_keeps_what_was_given_and_repeats_the_last():
    clips = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(1, 3, 5, 2, 2)
    assert copied(clips, 2)[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1]
    assert copied(clips, 0)[0, 0, :, 0, 0].tolist() == [0, 0, 0, 0, 0]


def test_a_package_gives_the_same_model_again(trained, tmp_path):
    package = trained[0].package
    encoder_package.save(package, tmp_path)
    again = encoder_package.load(tmp_path)
    assert (again.name, again.key, again.origin, again.frame_stride) == ("videogpt", "k2", "squares", 1)
    frame = torch.rand(1, 3, 16, 16) - 0.5
    assert torch.equal(again.model.sample(1, frame, temperature=0), package.model.sample(1, frame, temperature=0))


@pytest.mark.parametrize("change", ["format", "config", "weights", "missing"])
def test_a_damaged_package_is_refused_with_the_files_name(trained, tmp_path, change):
    encoder_package.save(trained[0].package, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if change == "format":
        config["format"] = 9
    elif change == "config":
        config["config"]["width"] = 25
    elif change == "weights":
        config["config"]["width"] = 48
    else:
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = "config.json" if change in ("format", "config") else "model.safetensors"
    with pytest.raises(ValueError, match=f"^{tmp_path}/{name}"):
        encoder_package.load(tmp_path)


def picture(size=(20, 16), kind="PNG") -> str:
    row = np.random.default_rng(0).integers(0, 255, (1, size[1], 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(np.repeat(row, size[0], axis=0)).save(content, format=kind)
    return base64.b64encode(content.getvalue()).decode()


def test_a_frame_is_answered_with_a_clip_or_features(trained):
    service = Service(trained[0].package)
    clip, same, other, features = service.answer(
        [
            {"id": "a", "frames": [picture()]},
            {"id": "b", "frames": picture(), "options": {"seed": 0}},
            {"id": "c", "frames": [picture(kind="JPEG")], "options": {"seed": 1, "top_k": 3}},
            {"id": "d", "frames": [picture()], "options": {"answer": "features"}},
        ]
    )
    assert (clip["frames"], clip["height"], clip["width"]) == (4, 16, 16) and clip["gif"] == same["gif"] != other["gif"]
    moving = Image.open(io.BytesIO(base64.b64decode(clip["gif"])))
    assert moving.format == "GIF" and moving.size == (16, 16)
    assert features["shape"] == [1, 4, 4, 12] == list(np.shape(features["features"]))


def test_a_vqvae_answers_features_only(frozen):
    service = Service(frozen.package)
    assert service.answer([{"frames": [picture()]}])[0]["shape"] == [2, 4, 4, 8]
    with pytest.raises(BadRequest, match="^record 0: answer must be features: a vqvae predicts no clips$"):
        service.answer([{"frames": [picture()], "options": {"answer": "clip"}}])


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({}, "record 0: frames must be pictures as base64, 1 of them, got None"),
        ({"frames": []}, "record 0: frames must be pictures as base64, 1 of them, got 0"),
        ({"frames": [3]}, "record 0: frame 0 must be a picture as base64 text, got int"),
        ({"frames": ["$$"]}, "record 0: frame 0 must be base64: "),
        ({"frames": ["aGVsbG8="]}, "record 0: frame 0 must be a PNG or JPEG picture: "),
        ({"frames": [picture()[:80]]}, "record 0: frame 0 must be "),
        ({"frames": [picture((4001, 4000))]}, "record 0: frame 0 must have at most 16000000 pixels, it is 4000 x 4001"),
        ({"frames": [picture()], "frame": 1}, "record 0: unknown key 'frame'; there are id, frames, category, options"),
        ({"frames": [picture()], "category": 1}, "record 0: category must not be given"),
        ({"frames": [picture()], "options": 3}, "record 0: options must be an object, got 3"),
        ({"frames": [picture()], "options": {"temperature": -1}}, "record 0: temperature must be at least 0.0, got -1"),
        ({"frames": [picture()], "options": {"kind": 1}}, "record 0: kind must not be given: there is no such option"),
    ],
)
def test_a_bad_request_is_told_in_a_sentence(trained, record, sentence):
    with pytest.raises(BadRequest) as told:
        Service(trained[0].package).answer([record])
    assert told.value.sentence.startswith(sentence)


def test_what_is_given_beats_the_preset():
    given = unset(vqvae.Config)(codes="64", stride="2,2,2")
    assert settle(vqvae.Config, given, VQVAE["bair"]) == vqvae.Config(codes=64, stride=(2, 2, 2))
    assert settle(vqvae.Config, unset(vqvae.Config)(codes=""), VQVAE["paper"]).codes == 1024
    with pytest.raises(ValueError, match="codes"):
        unset(vqvae.Config)(codes="1")
    with pytest.raises(ValueError, match="^stride must divide the clip's 16x64x64 frames and pixels, got 4,2,128$"):
        settle(vqvae.Config, unset(vqvae.Config)(stride="4,2,128"), VQVAE["bair"])


@pytest.mark.parametrize("name", VQVAE)
def test_every_preset_of_a_vqvae_is_whole(name):
    settle(vqvae.Config, unset(vqvae.Config)(), VQVAE[name])
    settle(PretrainConfig, unset(PretrainConfig)(), VQVAE[name])
    assert VQVAE[name].keys() <= vqvae.Config.model_fields.keys() | TRAINED


@pytest.mark.parametrize("name", VIDEOGPT)
def test_every_preset_of_a_videogpt_is_whole_and_has_a_vqvae(name):
    settle(videogpt.Config, unset(videogpt.Config)(), VIDEOGPT[name])
    settle(PretrainConfig, unset(PretrainConfig)(), VIDEOGPT[name])
    assert VIDEOGPT[name].keys() <= videogpt.Config.model_fields.keys() | TRAINED
    assert name in VQVAE


def test_pictures_show_every_frame(tmp_path):
    clips = {name: np.full((5, 8, 9, 3), value, np.uint8) for name, value in (("one", 10), ("two", 200))}
    strips, moving = strip(clips, scale=2), side_by_side(clips, scale=2)
    assert strips.shape == (2 * (12 + 16), 5 * 18 + 4 * 2, 3) and moving.shape == (5, 12 + 16, 2 * 18 + 2, 3)
    assert strip(clips | {"short": clips["one"][:1]}).shape == (3 * (12 + 16), 5 * 18 + 4 * 2, 3)
    assert strips[20, 5].tolist() == [10] * 3 and moving[4, 20, 25].tolist() == [200] * 3
    animated = Image.open(io.BytesIO(gif(np.random.default_rng(0).integers(0, 255, (5, 8, 9, 3), np.uint8))))
    assert animated.n_frames == 5
    write_mp4(tmp_path / "clip.mp4", moving)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
