"""Memory that is lent for tensors: used again when it is free, and only then."""

import numpy as np
import pytest
import torch

from mmvid.records.buffers import Buffers


def test_memory_serves_again():
    buffers = Buffers(3, np.float32)
    first = buffers.take(4)
    place = first.data_ptr()
    assert first.shape == (4, 3) and first.dtype == torch.float32
    del first
    short = buffers.take(2)
    assert short.data_ptr() == place and short.shape == (2, 3)
    del short
    assert buffers.take(4).data_ptr() == place
    assert buffers.take(5).shape == (5, 3)


VIEWS = {
    "rows": lambda tensor: tensor[1:],
    "dtype": lambda tensor: tensor.view(torch.uint8),
    "detached": lambda tensor: tensor.detach(),
    "storage": lambda tensor: tensor.untyped_storage(),
    "numpy": lambda tensor: tensor.numpy(),
    "rows of numpy": lambda tensor: tensor.numpy()[::2],
    "dlpack": lambda tensor: np.from_dlpack(tensor.view(torch.uint8)),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_keeps_memory_from_being_lent(kind):
    buffers = Buffers(3, np.bool_)
    tensor = buffers.take(4)
    place = tensor.data_ptr()
    view = VIEWS[kind](tensor)
    del tensor
    assert not buffers.idle and buffers.take(4).data_ptr() != place
    buffers.idle.clear()
    del view
    assert buffers.take(4).data_ptr() == place


def test_idle_memory_is_bounded():
    buffers = Buffers(3, np.float32)
    held = [buffers.take(4) for _ in range(20)]
    assert len({tensor.data_ptr() for tensor in held}) == 20
    del held
    assert len(buffers.idle) == 3
