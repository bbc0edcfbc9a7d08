"""What one process reads of a stream: its videos in the order in which they leave its buffer, by batches."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from mmvid.records.manifest import OnError
from mmvid.records.schema import Problem, Schema
from mmvid.records.streaming.assembly import most_bytes
from mmvid.records.streaming.plan import Plan, turns
from mmvid.records.streaming.reading import Reader, Shard, Watch
from mmvid.records.video import Video

Place = tuple[int, int]
"""A shard, and the number of a video among those that are wanted of it."""


class Read(NamedTuple):
    """The videos of a batch.

    Attributes:
        places: where each of them is.
        videos: the videos.
        skipped: what was wrong with those that were left out since the batch before.
    """

    places: list[Place]
    videos: list[Video]
    skipped: list[Problem]


@dataclasses.dataclass(frozen=True)
class Part:
    """One process's share of an epoch.

    Attributes:
        plan, epoch, worker: what decides which videos these are, and in which order.
        first: the batch of the rank that the epoch begins with; those before are not wanted.
        schema, shards: what is read.
        modalities, kinds, frames: see `assembly.assemble`.
        on_error: whether a damaged record stops the stream, or is counted and left out.
        stall_seconds: a read that takes longer is told of.
    """

    plan: Plan
    epoch: int
    worker: int
    first: int
    schema: Schema
    shards: tuple[Shard, ...]
    modalities: tuple[str, ...]
    kinds: dict[str, str]
    frames: bool
    on_error: OnError
    stall_seconds: float

    def __str__(self) -> str:
        return f"reader {self.worker} of {self.plan.workers}"

    @property
    def most_bytes(self) -> int:
        """The most that the arrays of a batch take."""
        return most_bytes(self.schema, list(self.modalities), self.plan.batch_size)

    def batches(self) -> Iterator[Read]:
        """What is read for each of its batches, fewer videos where some are damaged.

        Raises:
            ValueError: also if all videos of a batch are damaged.
        """
        sizes = self.plan.sizes()
        numbers = range(self.worker, len(sizes), self.plan.workers)
        passed = sum(sizes[number] for number in numbers if number < self.first)
        with (
            Watch(self.stall_seconds) as watch,
            Reader(self.schema, list(self.shards), self.kinds, self.on_error, watch) as reader,
        ):
            videos = self._videos(reader, passed)
            for number in numbers:
                if number < self.first:
                    continue
                found = [next(videos) for _ in range(sizes[number])]
                kept = [(place, video) for place, video in found if video is not None]
                if not kept:
                    names = ", ".join(sorted({self.shards[shard].name for (shard, _), _ in found}))
                    raise ValueError(f"all {len(found)} videos of a batch are damaged; they are in {names}")
                yield Read([place for place, _ in kept], [video for _, video in kept], reader.skipped)
                reader.skipped = []

    def _videos(self, reader: Reader, passed: int) -> Iterator[tuple[Place, Video | None]]:
        held: dict[int, tuple[Place, Video | None]] = {}
        waiting: collections.deque[tuple[int, int, int]] = collections.deque()
        for turn in turns(self.plan, self.epoch, self.worker, passed):
            columns = (turn.position, turn.shard, turn.video)
            waiting.extend(zip(*(column.tolist() for column in columns), strict=True))
            for position, until in zip(turn.taken.tolist(), turn.until.tolist(), strict=True):
                while waiting and waiting[0][0] <= until:
                    at, shard, video = waiting.popleft()
                    held[at] = (shard, video), reader.read(shard, video)
                yield held.pop(position)
