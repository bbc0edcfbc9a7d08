"""Memory for the tensors of batches, used again as soon as a batch is let go.

A batch of 1024 videos takes megabytes. Memory fresh from the system comes page by page, each cleared as it is first
written to, which takes longer than filling it with rows; and whether an allocator keeps such blocks depends on what
else the process does.
"""

import weakref

import numpy as np
import torch
from torch import Tensor

_IDLE = 3  # batches: the one in training, the one before it, and the next


class Buffers:
    """Tensors of some rows of one width. A tensor's memory is lent again when neither it nor a view of it is left."""

    def __init__(self, width: int, dtype: type):
        self.width, self.dtype = width, dtype
        self.idle: list[np.ndarray] = []

    def take(self, rows: int) -> Tensor:
        """A tensor ``(rows, width)`` of any values."""
        array = self.idle.pop() if self.idle else None
        if array is None or len(array) < rows:
            array = np.empty((rows, self.width), self.dtype)
        lent = array[:rows]
        # The tensor's storage, which all of its views share, holds `lent`, and nothing else does.
        weakref.finalize(lent, self._give_back, array).atexit = False
        return torch.from_numpy(lent)

    def _give_back(self, array: np.ndarray) -> None:
        if len(self.idle) < _IDLE:
            self.idle.append(array)
