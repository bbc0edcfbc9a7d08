"""The batches of epochs: where one begins, cut anew into rounds of steps, and taken up where they were left."""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol


class EpochBatches(Protocol):
    """Batches whose order is drawn anew each epoch, from the epoch's number alone."""

    def __iter__(self): ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


class Rounds:
    """Epochs joined into one stream, which is cut anew into rounds of `steps` batches.

    A round takes the place of an epoch for the loop: dev metrics, checkpoint and report come at its end, wherever
    in an epoch that is.
    """

    def __init__(self, batches: EpochBatches, steps: int):
        if steps < 1 or len(batches) == 0:
            raise ValueError(f"a round must have at least one batch, got {steps} of {len(batches)} batches")
        self.batches, self.steps = batches, steps
        self.round = 0
        self._stream: Iterator[Any] = iter(())
        self._next = -1  # the step that the stream stands at

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        self.round = epoch

    def __iter__(self) -> Iterator[Any]:
        return self.starting(0)

    def starting(self, batch: int) -> Iterator[Any]:
        """The round from its batch of this number on."""
        first = self.round * self.steps + batch
        if self._next != first:  # the very first round, or a resume
            self._stream, self._next = self._from(first), first
        for _ in range(self.steps - batch):
            taken = next(self._stream)
            self._next += 1
            yield taken

    def _from(self, step: int) -> Iterator[Any]:
        epoch, passed = divmod(step, len(self.batches))
        for number in itertools.count(epoch):
            self.batches.set_epoch(number)
            yield from starting(self.batches, passed)
            passed = 0


def starting(batches: EpochBatches, batch: int) -> Iterator[Any]:
    """An epoch from its batch of this number on: batches that can start there do, of others the first are passed over.

    What can start says so by a method `starting`.
    """
    start = getattr(batches, "starting", None)
    return iter(start(batch)) if start is not None else itertools.islice(batches, batch, None)


class Resumable:
    """Epochs that know how many batches have been taken of them, and go on from there: their state is two numbers."""

    def __init__(self, batches: EpochBatches):
        self.batches = batches
        self.epoch = self.taken = 0

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.taken = epoch, 0

    def __iter__(self) -> Iterator[Any]:
        self.batches.set_epoch(self.epoch)
        for batch in starting(self.batches, self.taken):
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "taken": self.taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.taken = state["epoch"], state["taken"]
