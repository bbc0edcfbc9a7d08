"""The streaming meter: the functions' numbers, however the videos come."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmvid.metrics import ranking
from mmvid.metrics.meters import RankingMeter

ROOT = Path(__file__).resolve().parents[2]

# Two processes: each takes its rows of the same videos in batches; the second then has none, and then goes on.
WORKER = """
import json, sys
import torch
from mmvid.metrics.meters import RankingMeter

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
videos = torch.load(f"{folder}/videos.pt", weights_only=True)
scores, labels = videos["scores"], videos["labels"]
found = []
for over in ("top_k", "all"):
    shared, lonely = RankingMeter(k=5, over=over), RankingMeter(k=5, over=over)
    for part in ([slice(0, 11), slice(11, 30)], [slice(30, 40)])[rank]:
        shared.update(scores[part], labels[part])
    found.append(shared.compute())
    if rank == 0:
        lonely.update(scores[:30], labels[:30])
    found.append(lonely.compute())
    if rank == 1:
        lonely.update(scores[30:], labels[30:])
    lonely._computed = None  # process 0 saw nothing new and would answer alone, from its cache
    found.append(lonely.compute())
print(json.dumps(found))
torch.distributed.destroy_process_group()
"""


def random_videos(n, c, levels=None, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, c, generator=random, dtype=dtype)
    if levels:
        scores = (scores * levels).floor() / levels
    return scores, torch.rand(n, c, generator=random) < 0.2


def functions(scores, labels, k=20, **options):
    return {
        "gap": ranking.gap(scores, labels, k),
        "map": ranking.mean_average_precision(scores, labels, k, **options),
        "hit_at_1": ranking.hit_at_1(scores, labels),
        "perr": ranking.perr(scores, labels),
    }


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.sampled_from([{}, {"empty_classes": "zero"}, {"over": "all"}]),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, 3, 20]),
)
def test_batches_change_no_bit(sizes, options, dtype, k):
    scores, labels = random_videos(sum(sizes), 15, levels=9, dtype=dtype)
    meter = RankingMeter(k, **options)
    for part in zip(scores.split(sizes), labels.split(sizes), strict=True):
        meter.update(*part)
    np.testing.assert_equal(meter.compute(), functions(scores, labels, k, **options))


def test_reset_begins_anew():
    meter = RankingMeter(num_classes=15)
    meter.update(*random_videos(8, 15, seed=1))
    meter.compute()
    meter.reset()
    videos = random_videos(9, 15, seed=2)
    meter.update(*videos)
    assert meter.compute() == functions(*videos)


def test_forward_gives_the_batch_and_keeps_the_whole():
    first, second = random_videos(8, 15, seed=1), random_videos(9, 15, seed=2)
    meter = RankingMeter()
    assert meter(*first) == functions(*first)
    assert meter(*second) == functions(*second)
    together = [torch.cat(both) for both in zip(first, second, strict=True)]
    assert meter.compute() == functions(*together)


def test_keeps_six_bytes_of_a_pair():
    meter = RankingMeter(k=20)
    meter.update(*random_videos(100, 500))
    kept = sum(part.nbytes for name in ("hit", "miss") for part in getattr(meter, f"{name}_scores"))
    kept += sum(part.nbytes for name in ("hit", "miss") for part in getattr(meter, f"{name}_classes"))
    assert kept == 100 * 20 * 6


def test_more_classes_than_two_bytes_tell():
    scores, labels = random_videos(3, 40_000)
    meter = RankingMeter()
    meter.update(scores, labels)
    assert meter.compute() == functions(scores, labels)


def test_two_processes_give_the_numbers_of_one(tmp_path):
    scores, labels = random_videos(40, 15, levels=9)
    torch.save({"scores": scores, "labels": labels}, tmp_path / "videos.pt")
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for rank in (0, 1)
    ]
    found = [json.loads(worker.communicate(timeout=600)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    wanted = []
    for over in ("top_k", "all"):
        whole, part = (
            functions(scores, labels, 5, over=over),
            functions(scores[:30], labels[:30], 5, over=over),
        )
        wanted += [whole, part, whole]
    assert found == [wanted, wanted]


def test_refuses_other_classes_and_types():
    meter = RankingMeter()
    meter.update(*random_videos(4, 15))
    with pytest.raises(ValueError, match="^scores must have 15 classes as before, got 14$"):
        meter.update(*random_videos(4, 14))
    with pytest.raises(ValueError, match="^scores must be float32 as in the first batch, got float64$"):
        meter.update(*random_videos(4, 15, dtype=torch.float64))
    with pytest.raises(ValueError, match="^scores must have 9 classes as before, got 14$"):
        RankingMeter(num_classes=9).update(*random_videos(4, 14))


def test_refuses_bad_parameters_and_no_videos():
    with pytest.raises(ValueError, match="^k must be at least 1, got 0$"):
        RankingMeter(k=0)
    with pytest.raises(ValueError, match="^over must be"):
        RankingMeter(over="some")
    meter = RankingMeter()
    with pytest.raises(ValueError, match="^scores must hold at least one video"):
        meter.update(torch.zeros(0, 5), torch.zeros(0, 5))
    meter.reset()
    with (
        pytest.warns(UserWarning, match="compute.*before the ``update``"),
        pytest.raises(ValueError, match="^the ranking metrics need at least one video, got none$"),
    ):
        meter.compute()
