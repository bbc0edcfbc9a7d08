"""Processes that read the parts of a stream, and the memory through which their batches come.

Each process writes its batches into one of `SLOTS` places of a memory that it shares with this process and that no
folder shows; here they are tensors of that very memory, and the place is free again when they are let go. Whoever keeps
more of them than there are places is given copies.
"""

import collections
import contextlib
import dataclasses
import mmap
import os
import tempfile
import traceback
import weakref
from collections.abc import Iterator
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from mmvid import storage
from mmvid.records.processes import serve, start_method
from mmvid.records.schema import Problem
from mmvid.records.streaming.assembly import Take
from mmvid.records.streaming.part import Made, Part
from mmvid.records.streaming.reading import Place

SLOTS = 3  # batches: the one that is read, the one that waits, the one in training
_ALIGNED = 64


class Slots:
    """Memory for some batches, shared with the process that this object is sent to when that starts."""

    def __init__(self, size: int):
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if hasattr(os, "memfd_create"):
            self._file = os.memfd_create("mmvid-batches")
        else:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        os.ftruncate(self._file, self.size * SLOTS)  # pages are taken as they are first written
        self._map()

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file, self.size * SLOTS)

    def __getstate__(self) -> tuple[Any, int]:
        return reduction.DupFd(self._file), self.size

    def __setstate__(self, state: tuple[Any, int]) -> None:
        file, self.size = state
        self._file = file.detach()
        self._map()

    def close(self) -> None:
        """Gives up the file; arrays that are lent keep the memory."""
        os.close(self._file)

    def array(self, slot: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array in a slot."""
        return np.ndarray(shape, dtype, self._memory, slot * self.size + offset, strides)


class _Slot:
    """The slot that a process writes its next batch to."""

    def __init__(self, slots: Slots, pipe: Connection):
        self.slots, self.pipe = slots, pipe
        self.free = list(range(SLOTS))
        self.number = self.end = 0
        self.begins: dict[str, int] = {}

    def next_part(self) -> Part:
        """Waits for what to read; slots may be given back meanwhile."""
        while isinstance(told := self.pipe.recv(), int):
            self.free.append(told)
        return told

    def next(self) -> Take:
        """Goes on to a slot that is free, or waits for one."""
        while not self.free or self.pipe.poll():
            self.free.append(self.pipe.recv())
        self.number, self.end, self.begins = self.free.pop(0), 0, {}
        return self._take

    def _take(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        kind = np.dtype(dtype)
        strides = kind.itemsize * np.cumprod((1, *shape[:0:-1]))[::-1]
        array = self.slots.array(self.number, self.end, shape, tuple(strides.tolist()), kind.str)
        self.begins[name] = self.end
        self.end += -(-array.nbytes // _ALIGNED) * _ALIGNED
        assert self.end <= self.slots.size, f"{self.end} bytes in a slot of {self.slots.size}"
        return array

    def where(self, arrays: dict[str, np.ndarray]) -> dict[str, tuple]:
        """Where arrays, or the beginnings of such, are that were taken."""
        return {name: (self.begins[name], each.shape, each.strides, each.dtype.str) for name, each in arrays.items()}


@dataclasses.dataclass
class _Told:
    """What a process says of a batch that it has written."""

    slot: int
    ids: list[str]
    places: list[Place]
    skipped: list[Problem]
    arrays: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], str]]


class Readers:
    """Processes that read parts of a stream, epoch after epoch. None outlives this process, nor `close`."""

    def __init__(self, count: int, most_bytes: int, remote: bool):
        """
        Args:
            count: how many.
            most_bytes: the most that the arrays of a batch take.
            remote: whether they read from S3.
        """
        context = start_method([__name__, *(storage.REMOTE_MODULES if remote else ())])
        self._processes, self._pipes, self._slots = [], [], []
        for _ in range(count):
            here, there = context.Pipe()
            slots = Slots(most_bytes)
            process = context.Process(target=_work, args=(slots, there), daemon=True)
            process.start()
            there.close()
            self._processes.append(process)
            self._pipes.append(here)
            self._slots.append(slots)
        self._free: list[collections.deque[int]] = [collections.deque() for _ in range(count)]
        self._lent = [0] * count

    def close(self) -> None:
        """Ends the processes, whatever they are at; batches that are still there stay."""
        for process, pipe, slots in zip(self._processes, self._pipes, self._slots, strict=True):
            process.kill()
            process.join()
            pipe.close()
            slots.close()
        self._processes, self._pipes, self._slots = [], [], []

    def batches(self, parts: list[Part], order: Iterator[int]) -> Iterator[Made]:
        """The batches of some parts, a part for each process; after all of them the next parts can come.

        Args:
            parts: the parts.
            order: the number of the part that each batch is of.

        Raises:
            ChildProcessError: if a process was killed.
            Exception: what a process raised.
        """
        for pipe, part in zip(self._pipes, parts, strict=True):
            with contextlib.suppress(OSError):  # a process that is gone is told of when its batch is waited for
                pipe.send(part)
        for number in order:
            self._return(number)
            told = self._receive(number, parts[number])
            self._lent[number] += 1
            arrays = {name: self._slots[number].array(told.slot, *where) for name, where in told.arrays.items()}
            self._return(number)
            if self._lent[number] == SLOTS:  # else the process would wait for ever
                arrays = {name: array.copy() for name, array in arrays.items()}
                self._free[number].append(told.slot)
            else:
                _when_let_go(arrays, self._free[number], told.slot)
            yield Made(told.ids, told.places, told.skipped, arrays)

    def _return(self, number: int) -> None:
        """Gives a process the slots back that are free again."""
        free = self._free[number]
        while free:
            self._lent[number] -= 1
            with contextlib.suppress(OSError):
                self._pipes[number].send(free.popleft())

    def _receive(self, number: int, part: Part) -> _Told:
        try:
            told = self._pipes[number].recv()
        except (EOFError, ConnectionResetError):
            raise ChildProcessError(
                f"the process of {part} was killed; start again to go on from the last checkpoint"
            ) from None
        if isinstance(told, Exception):
            raise told
        return told


def _when_let_go(arrays: dict[str, np.ndarray], free: collections.deque, slot: int) -> None:
    """Notes the slot as free when none of its arrays is left, nor a tensor that was made of one, nor a view of that."""
    left = [len(arrays)]

    def let_go() -> None:
        left[0] -= 1
        if not left[0]:
            free.append(slot)

    for array in arrays.values():
        weakref.finalize(array, let_go).atexit = False


def _work(slots: Slots, pipe: Connection) -> None:
    serve()
    slot = _Slot(slots, pipe)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the other side is gone
        while True:
            part = slot.next_part()
            try:
                for made in part.batches(slot.next):
                    pipe.send(_Told(slot.number, made.ids, made.places, made.skipped, slot.where(made.arrays)))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                error.add_note(traceback.format_exc())  # a traceback does not travel between processes
                pipe.send(error)
