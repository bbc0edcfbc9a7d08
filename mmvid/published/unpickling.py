"""Reading PyTorch checkpoints of others, which are pickles, without running code from them.

A pickle names functions and classes to call. Of these only the few that build tensors, plain containers and argument
namespaces are let through; what Lightning, optimisers and numpy left beside the weights becomes a stand-in that does
nothing, and so does an object of an unknown class, such as a callback of whoever trained the model. All else of
Python's library and of torch is refused by its name, and so is a call of what is not known. Neither Lightning nor the
code that trained the model is needed.
"""

import collections
import pickle
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import torch


class UnsafeCheckpoint(ValueError):
    """A checkpoint that names a function or class which could run code."""


class StandIn(dict):
    """Takes the place of an object that is not known; what it was made from is dropped."""

    __hash__ = object.__hash__

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


class Arguments(StandIn):
    """In place of `argparse.Namespace`: a dictionary of its attributes."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)


_ALLOWED = {
    ("argparse", "Namespace"): Arguments,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
} | {
    ("torch", name): getattr(torch, name)
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
}
# Packages whose objects lie beside the weights of a checkpoint, and single names: none is needed, nor imported.
_REPLACED = {"lightning", "lightning_fabric", "lightning_utilities", "pathlib", "pytorch_lightning", "torchmetrics"}
_REPLACED |= {"videogpt"}
_REPLACED_NAMES = {("_codecs", "encode"), ("numpy", "dtype"), ("numpy", "ndarray")}  # bytes, and what numpy makes
_REPLACED_NAMES |= {("collections", name) for name in ("Counter", "defaultdict", "deque")}
_REPLACED_NAMES |= {
    (f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")
}
_PLAIN = "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple"
_REPLACED_NAMES |= {
    (module, name) for module in ("__builtin__", "builtins") for name in (*_PLAIN.split(), "long", "unicode", "xrange")
}
_REFUSED = sys.stdlib_module_names | {"__builtin__", "torch"}


class _Unpickler(pickle._Unpickler):
    """Python's own, in Python: the one in C allocates whatever number a damaged file has where its memo is numbered."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is not None:
            return found
        package = module.split(".")[0]
        if package in _REPLACED or (module, name) in _REPLACED_NAMES or module.startswith("torch.optim."):
            return StandIn
        if package in _REFUSED:
            raise UnsafeCheckpoint(f"{module}.{name}")
        return _unknown(module, name)


def _unknown(module: str, name: str) -> type[StandIn]:
    """A stand-in for what may be a class, or a function: its objects can be made, a call of it is refused."""

    def refuse(self: StandIn, *args: Any, **kwargs: Any) -> None:
        raise UnsafeCheckpoint(f"{module}.{name}")

    return type("Unknown", (StandIn,), {"__init__": refuse})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary that a checkpoint file holds, its tensors on the CPU.

    Raises:
        UnsafeCheckpoint: if the file names a function or class that no such checkpoint needs; the message has it.
        ValueError: if the file is a web page, or is damaged, or holds no dictionary.
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise ValueError(f"{path} must be a checkpoint, but it is empty")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        page = "a web page instead of weights, as a download that was refused leaves (its load key is '<')"
        raise ValueError(f"{path} holds {page}; download the checkpoint again, in a browser if need be")
    _check_kind(path)
    restricted = types.ModuleType("restricted_pickle")
    restricted.Unpickler, restricted.load = _Unpickler, _load
    try:
        checkpoint = torch.load(path, map_location="cpu", pickle_module=restricted, weights_only=False)
    except UnsafeCheckpoint as error:
        refused = f"{path} is refused: it asks for {error}, which could run code and which no model's weights need"
        raise UnsafeCheckpoint(refused) from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        sentence = f"invalid load key {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        sentence = sentence or type(error).__name__
        raise ValueError(f"{path} must be a PyTorch checkpoint, but it cannot be read: {sentence}") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} must hold a dictionary of weights, got {type(checkpoint).__name__}")
    return checkpoint


def _check_kind(path: Path) -> None:
    """Refuses what PyTorch would open by other ways than our unpickler, and changed bytes, over which it reads on."""
    if zipfile.is_zipfile(path):
        damaged = "its list of files"
        try:
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith("constants.pkl") for name in archive.namelist()):
                    raise UnsafeCheckpoint(f"{path} is refused: it is a TorchScript program, not a model's weights")
                for damaged in archive.namelist():
                    with archive.open(damaged) as file:
                        while file.read(1 << 20):
                            pass
        except (UnsafeCheckpoint, OSError):
            raise
        except Exception as error:  # a damaged archive can raise anything
            sentence = f"{path} must be a PyTorch checkpoint, but {damaged} is damaged: {error}"
            raise ValueError(sentence) from error
    elif tarfile.is_tarfile(path):
        raise ValueError(f"{path} must be a PyTorch checkpoint of 2017 or later, got a tar file")


def _load(file: Any, **options: Any) -> Any:
    """`pickle.load` for files that were written before PyTorch's zip format."""
    return _Unpickler(file, **options).load()
