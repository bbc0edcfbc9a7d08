"""I3D: its published size and shapes, one layer by hand, and files that must be refused."""

import os
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from mmvid.metrics.i3d import I3D, load_i3d


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return I3D().eval()


def test_it_has_the_size_and_the_names_of_the_published_network(model):
    assert sum(weight.numel() for weight in model.parameters()) == 12_697_264
    names = model.state_dict().keys()
    assert {"Conv3d_1a_7x7.conv3d.weight", "Mixed_4f.b2b.bn.running_var", "logits.conv3d.bias"} <= names


def test_clips_of_any_size_become_400_numbers(model):
    with torch.no_grad():
        found = model(torch.rand(1, 3, 9, 32, 32) - 0.5)
    assert found.shape == (1, 400) and torch.isfinite(found).all()
    with pytest.raises(ValueError, match=r"^clips must be .* with 9 frames or more, got \(1, 3, 8, 32, 32\)$"):
        model(torch.zeros(1, 3, 8, 32, 32))


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_are_read_as_tensors_only(model, tmp_path, ending):
    path = tmp_path / f"i3d.{ending}"
    save_file(model.state_dict(), path) if ending == "safetensors" else torch.save(model.state_dict(), path)
    again = load_i3d(path)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_program_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="evil.pt must hold the weights of I3D as tensors: .* more than tensors$"):
        load_i3d(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt must hold the weights of I3D as tensors: "):
        load_i3d(tmp_path / "other.pt")


@pytest.mark.parametrize("end", [400, -30, 0])
def test_a_damaged_file_is_told(tmp_path, end):
    """Half a file, an archive whose list of files is cut, nothing."""
    path = tmp_path / "i3d.pt"
    torch.save({"a": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:end] + (b"PK\5\6" + b"\1" * 18 if end == -30 else b""))
    with pytest.raises(ValueError, match="i3d.pt must hold the weights of I3D as tensors: "):
        load_i3d(path)


def test_a_torchscript_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "i3d_torchscript.pt", "w") as archive:
        archive.writestr("i3d/code/__torch__.py", "def forward(self): ...")
        archive.writestr("i3d/data.pkl", b"")
    with pytest.raises(ValueError, match="tensors: it is a TorchScript program, which is not run; give its weights"):
        load_i3d(tmp_path / "i3d_torchscript.pt")
