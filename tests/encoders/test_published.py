"""Published checkpoints: names and shapes, sizes from the file, the way back, and files that are refused."""

import argparse
import functools
import json
import os
import pickle

import pytest
import torch

from mmvid.encoders import videogpt, vqvae
from mmvid.published.unpickling import UnsafeCheckpoint, read_checkpoint
from mmvid.published.videogpt import export_checkpoint, import_checkpoint, published_names, published_state

FILES = ["small_full.gpt", "small_class.gpt", "small_full.vqvae", "small_class.vqvae", "vq_444.vqvae"]


def test_names_and_shapes_of_the_configuration_for_bair(videogpt_golden):
    keys = json.loads((videogpt_golden / "bair.keys.json").read_text())
    theirs = {name: shape for name, shape in keys.items() if not name.endswith("attn.attn.mask")}
    assert len(keys) - len(theirs) == 8
    with torch.device("meta"):
        model = videogpt.Model(videogpt.Config(), vqvae.Model(vqvae.Config()))
    state = model.state_dict()
    assert {name: list(state[ours].shape) for ours, name in published_names(model).items()} == theirs


@pytest.mark.parametrize("name", FILES)
def test_import_reads_every_size_and_tensor(videogpt_golden, name):
    path = videogpt_golden / f"{name}.ckpt"
    model = import_checkpoint(path)
    assert not model.training
    source = model.vqvae if name.endswith("gpt") else model
    assert bool(source.codebook.initialised)
    assert (source.config.codes, source.config.code_size, source.config.hidden) == (32, 12, 16)
    assert source.config.stride == ((4, 4, 4) if "444" in name else (4, 2, 2))
    theirs, ours = read_checkpoint(path)["state_dict"], published_state(model)
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)


def test_a_conditioned_model_s_config_comes_from_the_file(videogpt_golden):
    config = import_checkpoint(videogpt_golden / "small_full.gpt.ckpt").config
    assert (config.conditioned_frames, config.resnet_width, config.resnet_size) == (1, 4, 24)
    config = import_checkpoint(videogpt_golden / "small_class.gpt.ckpt").config
    assert (config.conditioned_frames, config.categories, config.heads, config.layers) == (0, 5, 4, 2)


@pytest.mark.parametrize("attention", ["full", "sparse"])
@pytest.mark.parametrize("frames, categories", [(1, 0), (2, 3), (0, 0)])
def test_export_and_import_give_the_same_model(tmp_path, attention, frames, categories):
    options = {"width": 24, "layers": 2, "resnet_width": 4, "resnet_size": 24, "attention": attention}
    source = vqvae.Model(
        vqvae.Config(sequence_length=8, resolution=16, codes=32, code_size=12, hidden=16, residual_layers=1)
    )
    model = videogpt.Model(videogpt.Config(conditioned_frames=frames, categories=categories, **options), source).eval()
    paths = export_checkpoint(model, tmp_path)
    assert [path.name for path in paths] == ["vqvae.ckpt", "gpt.ckpt"]
    again = import_checkpoint(paths[1])
    assert again.vqvae.config == source.config
    kept = {"conditioned_frames", "categories", "width", "heads", "layers", "attention", "dropout"}
    assert again.config.model_dump(include=kept) == model.config.model_dump(include=kept)
    ours, theirs = model.state_dict(), again.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if not key.endswith("initialised"))
    assert import_checkpoint(paths[0]).config == source.config


class Call:
    """Pickled, it is a call that unpickling makes."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "call, named",
    [
        (Call(os.system, "touch PWNED"), "posix.system"),
        (Call(eval, "open('PWNED', 'w')"), "builtin.*eval"),
        (Call(getattr, "a", "upper"), "builtin.*getattr"),
        (Call(functools.partial, print), "functools.partial"),
    ],
)
def test_a_file_that_tries_to_run_code_is_refused(tmp_path, monkeypatch, call, named, zipped):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    content = {"state_dict": {"a": torch.zeros(2)}, "hyper_parameters": {"args": call}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint, match=f"^{path} is refused: it asks for .*{named}"):
        import_checkpoint(path)
    path.write_bytes(pickle.dumps(call))
    with pytest.raises(UnsafeCheckpoint, match=named):
        import_checkpoint(path)
    assert not (tmp_path / "PWNED").exists()


def test_what_lies_beside_the_weights_is_not_needed(tmp_path, videogpt_golden):
    content = read_checkpoint(videogpt_golden / "vq_444.vqvae.ckpt")
    arguments = argparse.Namespace(**content["hyper_parameters"]["args"], gpus=torch.device("cpu"))
    kept = {"state_dict": content["state_dict"], "hyper_parameters": {"args": arguments}}
    torch.save(kept | {"optimizer_states": [torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()]},
               tmp_path / "a.ckpt")  # fmt: skip
    assert import_checkpoint(tmp_path / "a.ckpt").config.stride == (4, 4, 4)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"<!DOCTYPE html><html>quota exceeded</html>", "holds a web page instead of weights"),
        (b"\n <html>", "holds a web page"),
        (b"", "is empty"),
        (b"no pickle at all" * 40, "must be a PyTorch checkpoint"),
        (pickle.dumps([1, 2]), "must"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, sentence):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} .*{sentence}"):
        import_checkpoint(path)


def test_half_a_file(tmp_path, videogpt_golden):
    path, whole = tmp_path / "half.ckpt", (videogpt_golden / "vq_444.vqvae.ckpt").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"^{path} must be a PyTorch checkpoint"):
        import_checkpoint(path)


def test_weights_that_are_missing_unknown_or_of_another_model_are_named(tmp_path, videogpt_golden):
    path = tmp_path / "changed.ckpt"
    content = read_checkpoint(videogpt_golden / "small_full.gpt.ckpt")

    def attempt(change) -> str:
        state = dict(content["state_dict"])
        arguments = dict(content["hyper_parameters"]["args"])
        change(state, arguments)
        torch.save({"state_dict": state, "hyper_parameters": {"args": argparse.Namespace(**arguments)}}, path)
        with pytest.raises(ValueError, match=f"^{path}") as caught:
            import_checkpoint(path)
        return str(caught.value)

    assert "lacks fc_out.weight" in attempt(lambda state, _: state.pop("fc_out.weight"))
    assert "unknown extra" in attempt(lambda state, _: state.update(extra=torch.zeros(1)))
    assert "args.heads" in attempt(lambda _, arguments: arguments.pop("heads"))
    assert "multiple of heads" in attempt(lambda _, arguments: arguments.update(heads=5))
    assert "it has no" in attempt(lambda state, _: state.clear())


def test_a_model_that_the_original_does_not_know_is_not_exported(tmp_path):
    sizes = {"sequence_length": 4, "resolution": 8, "codes": 8, "code_size": 3, "hidden": 4, "residual_layers": 0}
    options = {"width": 12, "layers": 1, "resnet_width": 2, "resnet_size": 12, "aligned_condition": True}
    model = videogpt.Model(videogpt.Config(**options), vqvae.Model(vqvae.Config(**sizes)))
    with pytest.raises(ValueError, match="^the published format has no aligned_condition"):
        export_checkpoint(model, tmp_path)
    assert not list(tmp_path.iterdir())
