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
from typing import Any, NamedTuple

import numpy as np

from mmvid import storage
from mmvid.records.processes import serve, start_method
from mmvid.records.schema import Problem
from mmvid.records.streaming.assembly import assemble
from mmvid.records.streaming.part import Part, Place, Read

SLOTS = 3  # batches: the one that is read, the one that waits, the one in training
_ALIGNED = 64


class Made(NamedTuple):
    """A batch as it comes from a reader.

    Attributes:
        ids: its videos' ids, empty where they are hidden.
        places: where they are.
        skipped: what was wrong with those that were left out on the way.
        arrays: see `assembly.assemble`.
    """

    ids: list[str]
    places: list[Place]
    skipped: list[Problem]
    arrays: dict[str, np.ndarray]


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
        memory = mmap.mmap(self._file, self.size * SLOTS)
        self._bytes = np.frombuffer(memory, np.uint8)

    def __getstate__(self) -> tuple[Any, int]:
        return reduction.DupFd(self._file), self.size

    def __setstate__(self, state: tuple[Any, int]) -> None:
        file, self.size = state
        self._file = file.detach()
        self._map()

    def close(self) -> None:
        """Gives up the file; arrays that are lent keep the memory."""
        os.close(self._file)

    def array(self, slot: int, offset: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array in a slot."""
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start = slot * self.size + offset
        assert offset + count <= self.size, f"{offset + count} bytes in a slot of {self.size}"
        return self._bytes[start : start + count].view(dtype).reshape(shape)


@dataclasses.dataclass
class _Told:
    """What a process says of a batch that it has written."""

    slot: int
    ids: list[str]
    places: list[Place]
    skipped: list[Problem]
    arrays: dict[str, tuple[int, tuple[int, ...], str]]


class Readers:
    """The processes of some parts; a context manager. None outlives this process, nor this object's block."""

    def __init__(self, parts: list[Part]):
        self.parts = parts

    def __enter__(self) -> "Readers":
        remote = any(storage.is_remote(shard.file) for shard in self.parts[0].shards)
        context = start_method([__name__, *(storage.REMOTE_MODULES if remote else ())])
        self._processes, self._pipes, self._slots, self._free = [], [], [], []
        for part in self.parts:
            here, there = context.Pipe()
            slots = Slots(part.most_bytes)
            process = context.Process(target=_work, args=(part, slots, there), daemon=True)
            process.start()
            there.close()
            self._processes.append(process)
            self._pipes.append(here)
            self._slots.append(slots)
            self._free.append(collections.deque())
        return self

    def __exit__(self, *_) -> None:
        for process, pipe, slots in zip(self._processes, self._pipes, self._slots, strict=True):
            process.kill()
            process.join()
            pipe.close()
            slots.close()

    def batches(self, order: Iterator[int]) -> Iterator[Made]:
        """The next batch of each part whose number comes.

        Raises:
            ChildProcessError: if a process was killed.
            Exception: what a process raised.
        """
        lent = [0] * len(self.parts)
        for number in order:
            pipe, free = self._pipes[number], self._free[number]
            lent[number] -= self._return(pipe, free)
            told = self._receive(number)
            lent[number] += 1
            arrays = {name: self._slots[number].array(told.slot, *where) for name, where in told.arrays.items()}
            lent[number] -= self._return(pipe, free)
            if lent[number] == SLOTS:  # else the process would wait for ever
                arrays = {name: array.copy() for name, array in arrays.items()}
                free.append(told.slot)
            else:
                _when_let_go(arrays, free, told.slot)
            yield Made(told.ids, told.places, told.skipped, arrays)

    def _return(self, pipe: Connection, free: collections.deque) -> int:
        """Gives slots back that are free again; how many."""
        count = 0
        while free:
            with contextlib.suppress(OSError):  # a process that is gone is told of when its batch is waited for
                pipe.send(free.popleft())
            count += 1
        return count

    def _receive(self, number: int) -> _Told:
        try:
            told = self._pipes[number].recv()
        except (EOFError, ConnectionResetError):
            raise ChildProcessError(
                f"the process of {self.parts[number]} was killed; start again to go on from the last checkpoint"
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


def _work(part: Part, slots: Slots, pipe: Connection) -> None:
    serve()
    try:
        free = list(range(SLOTS))
        for read in part.batches():
            while not free or pipe.poll():
                free.append(pipe.recv())
            pipe.send(_write(part, slots, free.pop(0), read))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the other side is gone
    except Exception as error:
        error.add_note(traceback.format_exc())  # a traceback does not travel between processes
        pipe.send(error)
    with contextlib.suppress(EOFError, ConnectionResetError):  # what was sent is lost if this process ends first
        while True:
            pipe.recv()


def _write(part: Part, slots: Slots, slot: int, read: Read) -> _Told:
    where, end = {}, 0

    def take(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        nonlocal end
        begin, kind = end, np.dtype(dtype).str
        array = slots.array(slot, begin, shape, kind)
        end += -(-array.nbytes // _ALIGNED) * _ALIGNED
        where[name] = begin, shape, kind
        return array

    assemble(part.schema, read.videos, list(part.modalities), part.kinds, part.frames, take)
    return _Told(slot, [video.id for video in read.videos], read.places, read.skipped, where)
