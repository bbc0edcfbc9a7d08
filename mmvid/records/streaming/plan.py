"""Which videos each batch of a stream has, and in which order their records are read.

An epoch's order is a function of the seed, the epoch, the numbers of videos of the shards and how many processes there
are: it is computed and never kept, so that a stream can begin at any batch of any epoch without reading those before.

The shards are permuted anew each epoch and laid end to end. Ranks take equal parts of that line, workers parts of their
rank's; a cut may go through a shard. A worker reads its part from front to back, `TOGETHER` shards in turns that are
drawn, and shuffles what it reads: a video at position p leaves at a place drawn between p and p + buffer. It never has
to hold more than `buffer` videos for that, and two neighbours end up some third of the buffer apart.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from mmvid.draws import Draws
from mmvid.permutation import Permutation
from mmvid.ranks import batch_ends, check_batching, equal_length

TOGETHER = 4  # shards that a worker reads in turns
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What decides the order of a stream.

    Attributes:
        counts: videos of each shard.
        batch_size: videos in a batch; the last ones may be smaller.
        buffer: videos that a worker holds to shuffle them; 0 keeps the order of shards and records.
        seed: of the orders of all epochs.
        rank, world_size: this process of a training, and how many there are.
        workers: processes that read for each rank.
    """

    counts: tuple[int, ...]
    batch_size: int
    buffer: int
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    workers: int = 1

    def __post_init__(self):
        check_batching(self.batch_size, self.rank, self.world_size)
        if self.workers < 1 or self.buffer < 0:
            raise ValueError(f"workers must be at least 1 and buffer at least 0, got {self.workers} and {self.buffer}")
        if min(self.counts, default=0) < 0:
            raise ValueError(f"counts must be at least 0, got {min(self.counts)}")

    def __len__(self) -> int:
        """Batches of an epoch, the same number for every rank."""
        return equal_length(sum(self.counts), self.batch_size, self.world_size, "videos")

    def sizes(self, rank: int | None = None) -> list[int]:
        """The videos of each batch of a rank, of this one if none is named."""
        rank = self.rank if rank is None else rank
        own = len(range(rank, sum(self.counts), self.world_size))
        return np.diff(batch_ends(own, len(self), self.batch_size), prepend=0).tolist()

    def part(self, worker: int) -> tuple[int, int]:
        """Where a worker's videos begin and end in the line of an epoch; it makes every `workers`-th batch."""
        start = sum(sum(self.sizes(rank)) for rank in range(self.rank))
        shares = [sum(self.sizes()[each :: self.workers]) for each in range(self.workers)]
        start += sum(shares[:worker])
        return start, start + shares[worker]

    def pieces(self, epoch: int, worker: int) -> list[tuple[int, int, int]]:
        """The shards that a worker reads: the number of each, its first video and the one after its last."""
        order = np.arange(len(self.counts))
        if self.buffer:
            order = Permutation(len(order), self.seed, epoch)(order)
        ends = np.cumsum(np.array(self.counts)[order])
        start, stop = self.part(worker)
        found = []
        for shard, end in zip(order.tolist(), ends.tolist(), strict=True):
            begin = end - self.counts[shard]
            first, last = max(start, begin), min(stop, end)
            if first < last:
                found.append((shard, first - begin, last - begin))
        return found


@dataclasses.dataclass(frozen=True)
class Turn:
    """What a worker reads next, and what leaves its buffer meanwhile; positions count what it reads in an epoch.

    Attributes:
        position, shard, video: of each video to read, in the order of reading, int64 (R,).
        taken: the positions of the videos that leave, in the order of leaving, int64 (L,).
        until: the position up to which must have been read before each leaves, int64 (L,).
    """

    position: np.ndarray
    shard: np.ndarray
    video: np.ndarray
    taken: np.ndarray
    until: np.ndarray


def turns(plan: Plan, epoch: int, worker: int, passed: int = 0) -> Iterator[Turn]:
    """What a worker does in an epoch, some shards at a time.

    Args:
        passed: videos that have left already and are not wanted again: they are not read, but for those of the buffer
            nothing else is either.
    """
    pieces = plan.pieces(epoch, worker)
    kept = np.zeros((4, 0), np.int64)  # position, shard, video and key of what has not left
    begin = 0
    for number, first in enumerate(range(0, len(pieces), TOGETHER)):
        draws = Draws(plan.seed, f"stream of epoch {epoch}, rank {plan.rank} of {plan.world_size}, {worker}", number)
        shard, video = _interleaved(pieces[first : first + TOGETHER], draws if plan.buffer else None)
        position = begin + np.arange(len(shard))
        begin += len(shard)
        late = (draws.raw(len(shard)) >> _HALF).astype(np.int64) * plan.buffer if plan.buffer else 0
        new = np.stack([position, shard, video, (position << 32) + late])
        kept = np.concatenate([kept, new], axis=1)
        last = first + TOGETHER >= len(pieces)
        leaving = kept[:, np.argsort(kept[3], kind="stable")]
        count = leaving.shape[1] if last else int(np.searchsorted(leaving[3], begin << 32))
        kept, leaving = leaving[:, count:], leaving[:, :count]
        if passed > count or (passed == count and not last):
            passed -= count
            continue
        if passed >= 0:  # the first turn of which anything is wanted: what is held by now is read again
            leaving = leaving[:, passed:]
            new = np.concatenate([leaving, kept], axis=1)
            new = new[:, np.argsort(new[0])]
            passed = -1
        until = np.minimum(leaving[3] >> 32, begin - 1)
        yield Turn(new[0], new[1], new[2], leaving[0], until)


def _interleaved(pieces: list[tuple[int, int, int]], draws: Draws | None) -> tuple[np.ndarray, np.ndarray]:
    """The shard and the number in it of each video of some pieces, each piece in order, in turns that are drawn."""
    sizes = [stop - first for _, first, stop in pieces]
    owner = np.repeat(np.arange(len(pieces)), sizes)
    if draws is not None:
        owner = owner[np.argsort(draws.raw(len(owner)), kind="stable")]
    video = np.empty(len(owner), np.int64)
    for number, (_, first, stop) in enumerate(pieces):
        video[owner == number] = np.arange(first, stop)
    return np.array([shard for shard, _, _ in pieces], np.int64)[owner], video
