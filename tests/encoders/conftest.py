"""Small encoders, and what the original VideoGPT gave for the same weights."""

import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvid.published.videogpt import import_checkpoint


@pytest.fixture(scope="session")
def videogpt_golden(shared: Path) -> Path:
    """Inputs, outputs and checkpoints of the original VideoGPT, run with random weights."""
    return shared / "golden" / "videogpt"


@pytest.fixture(scope="session")
def case(videogpt_golden):
    """By name: `model` imported from the checkpoint, its `vqvae`, the file's `path` and every array as a tensor."""

    def read(name: str) -> types.SimpleNamespace:
        kind = "vqvae" if name.startswith("vq_") else "gpt"
        path = videogpt_golden / f"{name}.{kind}.ckpt"
        model = import_checkpoint(path)
        with np.load(videogpt_golden / f"{name}.npz") as arrays:
            tensors = {key: torch.from_numpy(arrays[key]) for key in arrays if arrays[key].dtype.kind in "fi"}
        vqvae = model if kind == "vqvae" else model.vqvae
        return types.SimpleNamespace(model=model, vqvae=vqvae, path=path, **tensors)

    return read
