"""Published checkpoints: names and shapes, sizes from the file, the way back, and files that are refused."""

import argparse
import collections
import functools
import json
import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
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


def words_of_somebody():
    """A function of a module that this project does not know."""
    Path("PWNED").touch()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "call, named",
    [
        (Call(os.system, "touch PWNED"), "posix.system"),
        (Call(eval, "open('PWNED', 'w')"), "builtin.*eval"),
        (Call(getattr, "a", "upper"), "builtin.*getattr"),
        (Call(functools.partial, print), "functools.partial"),
        (Call(np.load, "PWNED"), "numpy.load"),
        (Call(json.loads, "{}"), "json.loads"),
        (Call(words_of_somebody), "test_published.words_of_somebody"),
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


class Callback:
    """An object of whoever trained the model, which is pickled without a call."""

    def __init__(self):
        self.best = 1

    def __setstate__(self, state):
        Path("PWNED").touch()


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_unknown_classes_and_of_numpy_are_left_aside(tmp_path, monkeypatch, videogpt_golden, zipped):
    monkeypatch.chdir(tmp_path)
    content = read_checkpoint(videogpt_golden / "vq_444.vqvae.ckpt")
    strange = {"own": Callback(), "kind": Callback, "seen": {1, 2}, "type": int, "raw": b"a", "where": Path("a")}
    strange |= {"scalar": np.float64(3), "array": np.arange(3), "lists": collections.defaultdict(list, {"a": [1]})}
    arguments = argparse.Namespace(**content["hyper_parameters"]["args"], **strange)
    kept = {"state_dict": content["state_dict"], "callbacks": {Callback: {"best": np.float64(1)}}}
    path = tmp_path / "a.ckpt"
    torch.save(kept | {"hyper_parameters": {"args": arguments}}, path, _use_new_zipfile_serialization=zipped)
    assert import_checkpoint(path).config.stride == (4, 4, 4)
    assert not Path("PWNED").exists()


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


def test_changed_bytes_are_found(tmp_path, videogpt_golden):
    """PyTorch itself reads no checksum: a few changed bytes were other weights, told to nobody."""
    path, whole = tmp_path / "changed.ckpt", bytearray((videogpt_golden / "vq_444.vqvae.ckpt").read_bytes())
    with zipfile.ZipFile(videogpt_golden / "vq_444.vqvae.ckpt") as archive:
        [first] = [entry for entry in archive.infolist() if entry.filename.endswith("/data/0")]
        whole[whole.index(archive.read(first), first.header_offset) + 1] ^= 0x40
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=f"^{path} must be a PyTorch checkpoint, but .*/data/0 is damaged"):
        import_checkpoint(path)
    path.write_bytes(whole[: first.header_offset] + b"PK" + whole[-400:])
    with pytest.raises(ValueError, match=f"^{path} must be a PyTorch checkpoint"):
        import_checkpoint(path)


def test_a_large_number_in_a_damaged_file_takes_no_memory(tmp_path):
    path = tmp_path / "memo.ckpt"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")  # an object that is to be the 2147483647th of the memo
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"^{path} must be a PyTorch checkpoint"):
        import_checkpoint(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1 << 20  # KiB; a table of so many has 32 GiB


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
    assert "args.resolution must be a whole number, got (16, 16)" in attempt(
        lambda _, arguments: arguments.update(resolution=(16, 16))
    )
    assert "fc_in.weight must have 2 axes" in attempt(lambda state, _: state.update({"fc_in.weight": torch.zeros(())}))
    assert "weights of a model" in attempt(lambda state, _: state.update({5: torch.zeros(1)}))
    content = read_checkpoint(videogpt_golden / "vq_444.vqvae.ckpt")
    assert "downsample must be three numbers, got 4" in attempt(lambda _, arguments: arguments.update(downsample=4))


def test_a_model_that_the_original_does_not_know_is_not_exported(tmp_path):
    sizes = {"sequence_length": 4, "resolution": 8, "codes": 8, "code_size": 3, "hidden": 4, "residual_layers": 0}
    options = {"width": 12, "layers": 1, "resnet_width": 2, "resnet_size": 12, "aligned_condition": True}
    model = videogpt.Model(videogpt.Config(**options), vqvae.Model(vqvae.Config(**sizes)))
    with pytest.raises(ValueError, match="^the published format has no aligned_condition"):
        export_checkpoint(model, tmp_path)
    assert not list(tmp_path.iterdir())
