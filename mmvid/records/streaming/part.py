"""What one process reads of a stream: its batches, made of the videos in the order in which they leave its buffer."""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mmvid.records.manifest import OnError
from mmvid.records.schema import Problem
from mmvid.records.streaming.assembly import Assembly, Take, Wanted
from mmvid.records.streaming.plan import Plan, turns
from mmvid.records.streaming.reading import Expected, Place, Reader, Shard, Watch
from mmvid.records.video import Video


class Made(NamedTuple):
    """A batch as it comes from a reader.

    Attributes:
        ids: its videos' ids, empty where they are hidden.
        places: where they are.
        skipped: what was wrong with those that were left out since the batch before.
        arrays: see `assembly.Assembly.finish`.
    """

    ids: list[str]
    places: list[Place]
    skipped: list[Problem]
    arrays: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Part:
    """One process's share of an epoch.

    Attributes:
        plan, epoch, worker: what decides which videos these are, and in which order.
        first: the batch of the rank that the epoch begins with; those before are not wanted.
        shards, wanted: what is read.
        on_error: whether a damaged record stops the stream, or is counted and left out.
        stall_seconds: a read that takes longer is told of.
    """

    plan: Plan
    epoch: int
    worker: int
    first: int
    shards: tuple[Shard, ...]
    wanted: Wanted
    on_error: OnError
    stall_seconds: float

    def __str__(self) -> str:
        return f"reader {self.worker} of {self.plan.workers}"

    def batches(self, memory: Callable[[], Take]) -> Iterator[Made]:
        """Its batches, with fewer videos where some are damaged.

        Args:
            memory: called before each batch, for what gives its arrays.

        Raises:
            ValueError: also if all videos of a batch are damaged.
        """
        sizes = self.plan.sizes()
        numbers = range(self.worker, len(sizes), self.plan.workers)
        passed = sum(sizes[number] for number in numbers if number < self.first)
        with (
            Watch(self.stall_seconds) as watch,
            Reader(self.wanted, self.shards, self.on_error, watch) as reader,
        ):
            videos = self._videos(reader, passed)
            for number in numbers:
                if number >= self.first:
                    yield self._batch(reader, videos, sizes[number], memory())

    def _batch(self, reader: Reader, videos: Iterator[tuple[Place, Video | None]], size: int, take: Take) -> Made:
        assembly = Assembly(self.wanted, size, take)
        ids, places, shards = [], [], set()
        for _ in range(size):
            place, video = next(videos)
            shards.add(place[0])
            if video is not None:
                assembly.add(video)
                ids.append(video.id)
                places.append(place)
        if not ids:
            names = ", ".join(sorted(self.shards[shard].name for shard in shards))
            raise ValueError(f"all {size} videos of a batch are damaged; they are in {names}")
        skipped, reader.skipped = reader.skipped, []
        return Made(ids, places, skipped, assembly.finish())

    def _videos(self, reader: Reader, passed: int) -> Iterator[tuple[Place, Video | None]]:
        held: dict[int, Expected] = {}
        waiting: collections.deque[tuple[int, int, int]] = collections.deque()
        for turn in turns(self.plan, self.epoch, self.worker, passed):
            columns = (turn.position, turn.shard, turn.video)
            waiting.extend(zip(*(column.tolist() for column in columns), strict=True))
            for position, until in zip(turn.taken.tolist(), turn.until.tolist(), strict=True):
                while waiting and waiting[0][0] <= until:
                    at, *place = waiting.popleft()
                    held[at] = reader.expect(*place)
                yield reader.take(held.pop(position))
