"""The order of a stream: every video once, equal numbers of batches, a bounded buffer, and any batch to begin with."""

import itertools

import numpy as np
import pytest

from mmvid.records.streaming.plan import Plan, turns

COUNTS = (7, 0, 31, 12, 1, 40, 5, 23, 18)


def left(plan: Plan, epoch: int, worker: int, passed: int = 0) -> tuple[list[tuple[int, int]], int, int]:
    """The videos that leave a worker's buffer, in order, the most that were held, and how many were read."""
    held, reads, found, most, count = {}, [], [], 0, 0
    for turn in turns(plan, epoch, worker, passed):
        reads += zip(turn.position.tolist(), turn.shard.tolist(), turn.video.tolist(), strict=True)
        for position, until in zip(turn.taken.tolist(), turn.until.tolist(), strict=True):
            while reads and reads[0][0] <= until:
                at, *place = reads.pop(0)
                held[at] = tuple(place)
                count += 1
            most = max(most, len(held))
            found.append(held.pop(position))
    assert not held and not reads
    return found, most, count


@pytest.mark.parametrize("buffer", [0, 1, 10, 1000])
@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_every_video_comes_once_in_equally_many_batches(buffer, ranks, workers):
    everything = sorted((shard, video) for shard, count in enumerate(COUNTS) for video in range(count))
    for epoch in range(3):
        found = []
        plans = [Plan(COUNTS, 8, buffer, 3, rank, ranks, workers) for rank in range(ranks)]
        assert len({len(plan) for plan in plans}) == 1
        for plan in plans:
            assert len(plan.sizes()) == len(plan) and max(plan.sizes()) <= 8 and min(plan.sizes()) >= 1
            for worker in range(workers):
                own, most, _ = left(plan, epoch, worker)
                assert len(own) == sum(plan.sizes()[worker::workers])
                assert most <= max(1, buffer)
                found += own
        assert sorted(found) == everything


def test_an_order_is_of_its_seed_epoch_and_worker():
    orders = [
        left(Plan(COUNTS, 8, 30, seed, workers=2), epoch, worker)[0]
        for seed, epoch, worker in itertools.product(range(2), range(2), range(2))
    ]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert left(Plan(COUNTS, 8, 30, 1, workers=2), 1, 0)[0] == orders[6]


def test_without_a_buffer_the_order_is_that_of_the_files():
    plan = Plan(COUNTS, 8, 0)
    whole = [(shard, video) for shard, count in enumerate(COUNTS) for video in range(count)]
    assert plan.pieces(5, 0) == [(shard, 0, count) for shard, count in enumerate(COUNTS) if count]
    for turn in turns(plan, 5, 0):
        assert turn.position.tolist() == sorted(turn.position.tolist())
    assert left(plan, 5, 0)[0] == whole


@pytest.mark.parametrize("buffer", [0, 1, 9, 60, 1000])
def test_an_epoch_can_begin_at_any_video_and_reads_little_that_has_left(buffer):
    plan = Plan(COUNTS, 8, buffer)
    whole, _, _ = left(plan, 2, 0)
    for passed in range(0, len(whole) + 1, 5):
        rest, most, count = left(plan, 2, 0, passed)
        assert rest == whole[passed:] and count == len(rest) and most <= max(1, buffer)


def test_shuffling_mixes_shards_and_spreads_neighbours():
    """Shards of one class each would teach nothing in their order: a batch has videos of many."""
    counts = (100,) * 40
    order = left(Plan(counts, 50, 800), 0, 0)[0]
    batches = [order[n : n + 50] for n in range(0, len(order), 50)]
    assert np.mean([len({shard for shard, _ in batch}) for batch in batches]) > 8
    place = {video: n for n, video in enumerate(order)}
    apart = [abs(place[shard, n] - place[shard, n + 1]) for shard in range(40) for n in range(99)]
    assert 150 < np.mean(apart) < 400


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="^batch_size must be at least 1, got 0$"):
        Plan(COUNTS, 0, 10)
    with pytest.raises(ValueError, match="^workers must be at least 1 and buffer at least 0, got 0 and 10$"):
        Plan(COUNTS, 8, 10, workers=0)
    with pytest.raises(ValueError, match="cannot be given to 200 ranks"):
        len(Plan(COUNTS, 8, 10, world_size=200))
