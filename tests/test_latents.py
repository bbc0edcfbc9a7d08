"""Latents of single frames: each reading against the encoder itself, draws that belong to a picture, the cache."""

import dataclasses

import numpy as np
import pytest
import torch

from mmvid import latents
from mmvid.clips.batches import as_pixels
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import videogpt, vqvae
from mmvid.latents import LatentConfig, readings

KINDS = ("resnet", "codes_sampled", "codes_still", "codes_teacher", "hidden", "noise_frames", "noise")
IDS = [f"clip{number}@0" for number in range(5)]


def package_of(conditioned_frames: int = 1, attention: str = "full", categories: int = 0) -> EncoderPackage:
    """A small VideoGPT whose predictions are far from even: 4 x 16 x 16 pixels, 2 x 8 x 8 codes."""
    torch.manual_seed(0)
    source = vqvae.Config(
        sequence_length=4, resolution=16, stride=(2, 2, 2), codes=12, code_size=6, hidden=8, residual_layers=1
    )
    config = videogpt.Config(
        conditioned_frames=conditioned_frames,
        categories=categories,
        width=24,
        heads=2,
        layers=2,
        attention=attention,
        resnet_width=4,
        resnet_size=12,
    )
    model = videogpt.Model(config, vqvae.Model(source))
    torch.nn.init.normal_(model.output.weight)
    torch.nn.init.normal_(model.input.weight, std=2.0)
    model.eval()
    with torch.no_grad():  # codes that occur
        found = model.vqvae.latents(torch.rand(8, 3, 4, 16, 16) - 0.5).movedim(1, -1).flatten(0, -2)
        model.vqvae.codebook.embeddings.copy_(found[torch.randperm(len(found))[:12]])
    return EncoderPackage(model, key="a key", origin="made for a test")


@pytest.fixture(scope="module")
def package() -> EncoderPackage:
    return package_of()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def clips(frames) -> torch.Tensor:
    return as_pixels(frames[:, None])[:, :, 0]


def still(clips: torch.Tensor) -> torch.Tensor:
    return torch.stack([clips] * 4, dim=2)


def given(package: EncoderPackage, kind: str, clips: torch.Tensor, ids=IDS, **options) -> torch.Tensor:
    return latents.encode(package, LatentConfig(latent=kind, **options), clips, ids)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_rows(package, frames, kind, tmp_path):
    config = LatentConfig(latent=kind)
    found = latents.compute(package, config, frames, IDS, cache=tmp_path, progress=False, batch_size=2)
    assert found.shape == (5, *latents.shape(package, config))
    assert found.dtype == (np.float16 if kind == "hidden" else np.float32) and np.isfinite(found).all()
    direct = given(package, kind, as_pixels(frames[:, None])[:, :, 0])
    np.testing.assert_allclose(found, direct.detach(), atol=1e-2 if kind == "hidden" else 1e-5)


def test_shapes_at_bairs_size():
    with torch.device("meta"):
        model = videogpt.Model(videogpt.Config(), vqvae.Model(vqvae.Config()))
    package = EncoderPackage(model, "a key", "nowhere")
    wanted = {"resnet": (240, 16, 16), "hidden": (576, 32, 32), "noise": (240, 16, 16)}
    for kind in KINDS[:-2]:
        assert latents.shape(package, LatentConfig(latent=kind)) == wanted.get(kind, (4, 32, 32))
    assert latents.shape(package, LatentConfig(latent="noise", noise_like="codes_sampled")) == (4, 32, 32)


def test_the_resnets_output_with_gradients(package, clips):
    found = given(package, "resnet", clips)
    torch.testing.assert_close(found, package.model.features(clips)[:, 0].permute(0, 3, 1, 2))
    found.sum().backward()
    assert package.model.resnet.stem.weight.grad.abs().sum() > 0
    package.model.zero_grad(set_to_none=True)


def test_codes_of_the_still_frame(package, clips):
    found = given(package, "codes_still", clips)
    torch.testing.assert_close(found, package.model.vqvae.encode(still(clips)).float())
    assert len(found.unique()) > 3


def test_one_forced_pass_is_the_likeliest_code_after_each(package, clips):
    """Held against the decoder, which goes one code at a time."""
    model = package.model
    codes = model.vqvae.encode(still(clips)).flatten(1)
    decoder = model.decoder(5, model.conditioning(clips), None)
    wanted, previous = [], None
    for index in range(codes.shape[1]):
        wanted.append(decoder.step(previous).argmax(-1))
        previous = codes[:, index]
    found = given(package, "codes_teacher", clips)
    torch.testing.assert_close(found.flatten(1).long(), torch.stack(wanted, dim=1))
    assert len(found.unique()) > 1


def test_hidden_states_are_those_that_give_the_logits(package, clips):
    model = package.model
    logits = model.logits(model.vqvae.encode(still(clips)), model.conditioning(clips))
    found = given(package, "hidden", clips)
    torch.testing.assert_close(model.output(found.movedim(1, -1)), logits[:, -1])


@pytest.mark.parametrize("attention", ["full", "sparse"])
def test_the_likeliest_samples_are_the_models_own(clips, attention):
    package = package_of(attention=attention)
    wanted = package.model.sample_codes(frames=clips, temperature=0)
    found = given(package, "codes_sampled", clips, latent_temperature=0)
    torch.testing.assert_close(found, wanted.float())


def test_a_sample_is_drawn_by_its_own_numbers(package, clips):
    """Held against whole passes of the transformer, and the probabilities summed up in a loop."""
    model = package.model
    uniform = readings.uniforms(2 * 8 * 8, IDS[:1], 3, "sampled codes")[0].tolist()
    codes = torch.zeros(1, 2, 8, 8, dtype=torch.long)
    condition = model.conditioning(clips[:1])
    for index in range(40):
        chances = model.logits(codes, condition).flatten(1, 3)[0, index].double().div(0.7).softmax(0).tolist()
        summed, code = 0.0, -1
        while summed <= uniform[index]:
            code += 1
            summed += chances[code]
        codes.view(-1)[index] = code
    found = given(package, "codes_sampled", clips, latent_seed=3, latent_temperature=0.7)
    assert found[0].flatten()[:40].tolist() == codes.flatten()[:40].tolist()


def test_samples_follow_the_models_probabilities(package, clips):
    many = 600
    config = LatentConfig(latent="codes_sampled")
    model = package.model
    decoder = model.decoder(1, model.conditioning(clips[:1]), None)
    wanted = decoder.step(None).softmax(-1)[0]
    drawn = latents.readings.uniforms(128, [str(number) for number in range(many)], config.latent_seed, "sampled codes")
    first = latents.sampling.sample_codes(
        model, model.conditioning(clips[:1]).expand(many, -1, -1), drawn, config.latent_temperature
    )
    shares = torch.bincount(first[:, 0, 0, 0], minlength=12) / many
    assert (shares - wanted).abs().max() < 4 * (0.25 / many) ** 0.5


@pytest.mark.parametrize("kind", ["codes_sampled", "noise", "noise_frames"])
def test_draws_belong_to_a_picture(package, clips, kind):
    together = given(package, kind, clips)
    for row in (0, 3):
        torch.testing.assert_close(given(package, kind, clips[[row]], [IDS[row]])[0], together[row])
    assert not torch.equal(given(package, kind, clips, latent_seed=1), together)
    assert not torch.equal(given(package, kind, clips, [f"{id}x" for id in IDS]), together)


def test_noise_is_uniform_and_looks_at_nothing(package, clips):
    found = given(package, "noise", clips, noise_like="codes_still")
    assert found.shape == (5, 2, 8, 8) and 0 <= found.min() and found.max() < 1
    assert abs(found.mean() - 0.5) < 4 * (1 / 12 / found.numel()) ** 0.5
    torch.testing.assert_close(given(package, "noise_frames", clips), given(package, "noise_frames", clips * 0))
    pixels = readings.noise((3, 16, 16), IDS, 0) - 0.5
    torch.testing.assert_close(given(package, "noise_frames", clips), given(package, "resnet", pixels))


def test_pixels_from_0_to_1(package, clips):
    torch.testing.assert_close(
        given(package, "resnet", clips, pixel_range="unit"), given(package, "resnet", clips + 0.5)
    )


def test_two_conditioning_frames_are_both_the_still_one(clips):
    package = package_of(conditioned_frames=2)
    model = package.model
    assert given(package, "resnet", clips).shape == (5, 12, 4, 4)
    logits = model.logits(model.vqvae.encode(still(clips)), model.conditioning(still(clips)))
    torch.testing.assert_close(given(package, "codes_teacher", clips), logits.argmax(-1).float())
    assert given(package, "codes_sampled", clips[:1], IDS[:1]).shape == (1, 2, 8, 8)


def test_frames_of_another_size_are_resized(package, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 32, 3), np.uint8)
    found = latents.compute(package, LatentConfig(), frames, IDS[:2], cache=tmp_path, progress=False)
    assert found.shape == (2, 12, 4, 4)


def test_latents_are_computed_once(package, frames, tmp_path, monkeypatch):
    first = latents.compute(package, LatentConfig(), frames, IDS, cache=tmp_path, progress=False)
    monkeypatch.setattr(latents, "_encoded", None)
    again = latents.compute(package, LatentConfig(latent_temperature=0.5), frames, IDS, cache=tmp_path, progress=False)
    np.testing.assert_array_equal(first, again)  # a temperature that decides nothing
    for changed in (
        {"package": dataclasses.replace(package, key="another")},
        {"config": LatentConfig(pixel_range="unit")},
        {"frames": 255 - frames},
        {"ids": IDS[::-1]},
    ):
        words = {"package": package, "config": LatentConfig(), "frames": frames, "ids": IDS} | changed
        with pytest.raises(TypeError):  # it wants to compute
            latents.compute(**words, cache=tmp_path, progress=False)


def test_sampling_states_its_time_and_goes_on_after_a_kill(package, frames, tmp_path, monkeypatch, capsys):
    config, encoded, seen = LatentConfig(latent="codes_sampled"), latents._encoded, []

    def failing(model, config, part, told):
        if len(seen) == 2:
            raise RuntimeError("the power went")
        seen.append(part.ids)
        return encoded(model, config, part, told)

    monkeypatch.setattr(latents, "_encoded", failing)
    with pytest.raises(RuntimeError, match="the power went"):
        latents.compute(package, config, frames, IDS, cache=tmp_path, batch_size=2)
    assert "codes_sampled: 2 x 8 x 8 codes for each of 5 pictures, 2 at once" in capsys.readouterr().err
    rest = []
    monkeypatch.setattr(latents, "_encoded", lambda *words: (rest.append(words[2].ids), encoded(*words))[1])
    found = latents.compute(package, config, frames, IDS, cache=tmp_path, batch_size=2)
    assert rest == [IDS[4:]]
    np.testing.assert_allclose(found, given(package, "codes_sampled", as_pixels(frames[:, None])[:, :, 0]))
    assert "about" in capsys.readouterr().err
    latents.compute(package, config, frames, IDS, cache=tmp_path, batch_size=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["resnet", "codes_sampled", "codes_teacher"])
def test_an_estimate_is_of_the_right_size(package, kind):
    one, ten = (latents.estimate(package, LatentConfig(latent=kind), count, batch_size=1) for count in (1, 10))
    assert 0 < one < 60 and 0 < ten < 600


def test_published_weights_give_the_originals_features(shared, tmp_path):
    """`resnet_features` of the golden file are the original program's of the clip's first frame."""
    from mmvid.published.videogpt import import_checkpoint

    folder = shared / "golden" / "videogpt"
    package = EncoderPackage(import_checkpoint(folder / "small_full.gpt.ckpt").eval(), "golden", "random weights")
    with np.load(folder / "small_full.npz") as arrays:
        video, wanted = torch.from_numpy(arrays["video"]), torch.from_numpy(arrays["resnet_features"])
    found = latents.encode(package, LatentConfig(), video[:, :, 0])
    torch.testing.assert_close(found, wanted.reshape(len(video), *wanted.shape[-3:]).movedim(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("model", "kind", "sentence"),
    [
        ({"conditioned_frames": 0}, "resnet", "latent resnet needs a VideoGPT that is conditioned on frames"),
        ({"categories": 3}, "hidden", "latent hidden needs a VideoGPT without categories"),
    ],
)
def test_latents_that_an_encoder_does_not_have(model, kind, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        latents.shape(package_of(**model), LatentConfig(latent=kind))


def test_what_has_no_latents(package, frames, tmp_path):
    source = dataclasses.replace(package, model=package.model.vqvae)
    with pytest.raises(ValueError, match="^latent resnet is a VideoGPT's, the encoder is a vqvae$"):
        latents.compute(source, LatentConfig(), frames, IDS, cache=tmp_path)
    for wrong, ids, sentence in (
        (frames[0], IDS, "frames must be uint8"),
        (frames / 255, IDS, "frames must be uint8"),
        (frames, IDS[:4], "ids must be 5, one a frame and unique, got 4"),
        (frames, ["a"] * 5, "ids must be 5, one a frame and unique, got 5, 1 of them"),
        (frames[:0], [], "resnet need something that they are computed of, labelled frames has nothing"),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            latents.compute(package, LatentConfig(), wrong, ids, cache=tmp_path, progress=False)
    with pytest.raises(ValueError, match="^pictures must be of 3x16x16 channels and pixels, got 3x8x8$"):
        latents.encode(package, LatentConfig(), torch.zeros(1, 3, 8, 8))
