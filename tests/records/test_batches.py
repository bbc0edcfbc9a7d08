"""The loader against a slow and plain reference, and its orders."""

import functools
import itertools
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvid.permutation import Permutation
from mmvid.records.ingest import ingest
from mmvid.records.loader import Loader
from mmvid.records.manifest import Manifest, Source, add_counts
from mmvid.records.shards import ShardWriter
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT


@pytest.fixture(params=[False, True], ids=["video", "frame"])
def store(request, maker, tmp_path, monkeypatch) -> Store:
    """Many small record batches, some videos without a modality, text for some."""
    maker.whole(frames=request.param)
    lines = [f'{{"id": "t0-{n:04d}", "title": "a title"}}\n' for n in range(0, 40, 3)]
    (maker.folder / "text.jsonl").write_text("".join(lines))
    monkeypatch.setattr("mmvid.records.shards.BATCH_BYTES", 3000)
    return ingest(maker.folder, maker.schema, tmp_path / "store")


def reference(store: Store, split: str, frames: bool) -> dict[str, dict]:
    """Every video of a split as a batch of its own must have it, by plain loops over Python values."""
    videos = {}
    for row in store.table(split).to_pylist():
        features, padded, presence = {}, {}, {}
        for modality, size in store.shapes.features.items():
            given = row[f"features.{modality}"]
            features[modality] = [0.0] * size if given is None else given
            presence[modality] = given is not None
        for modality in store.shapes.frames if frames else ():
            given = row[f"frames.{modality}"] or []
            scale, bias = np.float32(4 / 255), np.float32(4 / 512 - 2)
            padded[modality] = [[np.float32(q) * scale + bias for q in values] for values in given]
            presence[modality] = row[f"frames.{modality}"] is not None
        presence["title"] = row["title"] is not None
        presence["keywords"] = row["keywords"] is not None
        labels = None if row["labels"] is None else [c in row["labels"] for c in range(store.shapes.classes)]
        length = row["num_frames"] if frames else 1
        videos[row["id"]] = dict(features=features, frames=padded, presence=presence, labels=labels, length=length)
    return videos


def check(batch, videos: dict[str, dict]) -> None:
    longest = int(batch.num_frames.max())
    for row, id in enumerate(batch.ids):
        video = videos[id]
        assert {m: values[row].tolist() for m, values in batch.features.items()} == video["features"]
        assert {m: bool(values[row]) for m, values in batch.presence.items()} == video["presence"]
        assert (None if batch.labels is None else batch.labels[row].tolist()) == video["labels"]
        assert int(batch.num_frames[row]) == video["length"]
        assert batch.frames.keys() == video["frames"].keys()
        for modality, values in batch.frames.items():
            given = video["frames"][modality]
            padding = [[0.0] * values.shape[2]] * (longest - len(given))
            assert torch.equal(values[row], torch.tensor(np.array([*given, *padding], np.float32)))


@pytest.mark.parametrize("split", ["train", "dev", "validate", "test"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_are_the_reference(store, split, shuffle, size):
    for frames in [False, True] if store.shapes.frames else [False]:
        videos = reference(store, split, frames)
        loader = Loader(store, split, size, shuffle=shuffle, frames=frames)
        batches = list(loader)
        ids = [id for batch in batches for id in batch.ids]
        assert sorted(ids) == sorted(videos) and (ids == list(videos)) == (not shuffle)
        assert [len(batch) for batch in batches[:-1]] == [size] * (len(loader) - 1)
        assert len(batches) == len(loader) == -(-len(videos) // size)
        for batch in batches:
            check(batch, videos)


def ids_of(loader: Loader) -> list[str]:
    return [id for batch in loader for id in batch.ids]


def test_orders_follow_from_seed_and_epoch(store):
    loader = Loader(store, "train", 10, shuffle=True, seed=3)
    first, again = ids_of(loader), ids_of(loader)
    loader.set_epoch(1)
    second = ids_of(loader)
    other = Loader(store, "train", 25, shuffle=True, seed=3)
    other.set_epoch(1)
    assert first == again and first != second and ids_of(other) == second
    assert ids_of(Loader(store, "train", 10, shuffle=True, seed=4)) != first


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("size", [2, 5, 16])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_share_an_epoch(store, world_size, size, shuffle):
    ranks = [
        Loader(store, "train", size, shuffle=shuffle, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    batches = [[batch.ids for batch in loader] for loader in ranks]
    assert {len(each) for each in batches} == {len(ranks[0])}
    assert all(batch for each in batches for batch in each)
    single = ids_of(Loader(store, "train", size, shuffle=shuffle))
    assert sorted(itertools.chain(*itertools.chain(*batches))) == sorted(single)
    together = [set(itertools.chain(*parts)) for parts in zip(*batches, strict=True)]
    step = size * world_size
    for number, ids in enumerate(together[:-2]):
        assert ids == set(single[number * step : (number + 1) * step])


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 20, 21])
def test_every_count_is_shared_without_loss(maker, tmp_path, count):
    maker.write("train.tfrecord", maker.videos("t", count))
    store = ingest(maker.folder, maker.schema, tmp_path / "store", dev_share=1e-9)
    for size, world in itertools.product([1, 2, 5], [2, 3]):
        most = math.ceil(count / world)  # of a rank
        if count // world < math.ceil(most / size):
            with pytest.raises(ValueError, match=f"^{count} videos cannot be given to {world} ranks in equally many"):
                Loader(store, "train", size, world_size=world)
            continue
        ranks = [list(Loader(store, "train", size, rank=rank, world_size=world)) for rank in range(world)]
        assert len({len(each) for each in ranks}) == 1
        assert all(1 <= len(batch) <= size for each in ranks for batch in each)
        assert sorted(id for each in ranks for batch in each for id in batch.ids) == [v["id"] for v in rows(store)]


def rows(store: Store) -> list[dict]:
    return store.table("train").to_pylist()


def test_modalities_are_chosen_in_order(store):
    batch = next(iter(Loader(store, "train", 4, modalities=["audio"])))
    assert list(batch.features) == ["audio"] and set(batch.presence) == {"audio", "title", "keywords"}
    assert list(next(iter(Loader(store, "train", 4, modalities=["audio", "visual"]))).features) == ["audio", "visual"]
    with pytest.raises(ValueError, match="^modalities must be among visual, audio, got 'text'$"):
        Loader(store, "train", 4, modalities=["text"])


def test_frames_where_there_are_none(store):
    if not store.shapes.frames:
        with pytest.raises(ValueError, match="^frames must be in the store to be read, .* video-level features only$"):
            Loader(store, "train", 4, frames=True)


def test_labels_are_all_there_or_dropped(maker, tmp_path):
    maker.write("train.tfrecord", [*maker.videos("t", 8), *maker.videos("u", 2, labels=False)])
    store = ingest(maker.folder, maker.schema, tmp_path / "store", dev_share=1e-9)
    with pytest.raises(ValueError, match="^2 of the 10 videos in train have no labels; label all or none"):
        Loader(store, "train", 4)
    assert next(iter(Loader(store, "train", 4, drop_labels=True))).labels is None


def test_a_split_without_videos_gives_no_batches(maker, tmp_path):
    maker.write("train.tfrecord", maker.videos("t", 8))
    store = ingest(maker.folder, maker.schema, tmp_path / "store")
    assert list(Loader(store, "validate", 4)) == [] and len(Loader(store, "validate", 4)) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "^batch_size must be at least 1, got 0$"),
        ({"rank": 2, "world_size": 2}, "^rank must be at least 0 and below world_size 2, got 2$"),
        ({"split": "all"}, "^split must be among train, dev, gate, validate, test, got 'all'$"),
    ],
)
def test_options_that_do_not_fit(store, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Loader(store, **({"split": "train", "batch_size": 4} | options))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 97, 1000, 65537])
def test_a_permutation_is_one(n):
    order = Permutation(n, 5, 6)(np.arange(n))
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(Permutation(n, 5, 6)(np.arange(n)[::-1]), order[::-1])


def test_permutations_are_uniform():
    """Where each number goes, and which pairs come first, by chi-squared: 5 standard deviations are allowed."""
    n, draws = 40, 4000
    places, pairs = np.zeros((n, n)), np.zeros((n, n))
    for seed in range(draws):
        order = Permutation(n, seed)(np.arange(n))
        places[np.arange(n), order] += 1
        pairs[order[0], order[1]] += 1
    different = pairs[~np.eye(n, dtype=bool)]
    for counts, freedom in ((places, (n - 1) ** 2), (different, different.size - 1)):
        expected = counts.mean()
        assert abs(((counts - expected) ** 2 / expected).sum() - freedom) < 5 * np.sqrt(2 * freedom)


def test_permutations_are_pinned():
    assert Permutation(1_000_000, 1, 2)(np.arange(5)).tolist() == [175235, 176220, 252835, 70931, 902187]


MEASURE = """
import sys
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT

loader = Loader(Store.open(sys.argv[1]), "train", 1024, shuffle=True)
count = sum(len(batch) for batch in loader)
with open("/proc/self/status") as file:
    anonymous = next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
print(count, anonymous / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is read from Linux's /proc")
def test_anonymous_memory_does_not_grow_with_the_store(maker, tmp_path):
    """10,000 and 1,000,000 videos; the large store is one file under many names."""
    used = {}
    for files in (5, 500):
        folder = tmp_path / str(files)
        folder.mkdir()
        writer = ShardWriter(folder / "train-00000.arrow", "train", maker.schema, {})
        video = maker.video("v")
        with writer:
            for number in range(2000):
                writer.add(f"v{number}", video, NO_TEXT)
        entries = [writer.entry.model_copy(update={"name": f"train-{n:05d}.arrow"}) for n in range(files)]
        for entry in entries[1:]:
            (folder / entry.name).hardlink_to(writer.path)
        manifest = Manifest(
            digest="",
            schema=maker.schema,
            features={"visual": 12, "audio": 5},
            frames={},
            names=[],
            splits={"train": functools.reduce(add_counts, [writer.counts] * files)},
            files=entries,
            source=Source(folder="", request="", has_dev=True, dev_share=0.2, seed=0, on_error="stop"),
        )
        manifest.write(folder)
        words = [sys.executable, "-c", MEASURE, str(folder)]
        count, anonymous = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert int(count) == 2000 * files
        used[files] = float(anonymous)
    assert used[500] - used[5] < 8, f"MiB of anonymous memory: {used}"


def test_ids_that_are_not_ascii(maker, tmp_path):
    names = ["é", "日本", "plain", "🐈" * 3, "x"]
    maker.write("train.tfrecord", [maker.video(name) for name in names])
    store = ingest(maker.folder, maker.schema, tmp_path / "store", dev_share=1e-9)
    assert ids_of(Loader(store, "train", 2)) == names


def test_ids_behave_as_a_list(store):
    batch = next(iter(Loader(store, "train", 5)))
    ids = list(batch.ids)
    assert len(batch.ids) == 5 and batch.ids == ids and batch.ids != ids[:4] and batch.ids == batch.ids
    assert (batch.ids[0], batch.ids[-1], batch.ids[1:3]) == (ids[0], ids[4], ids[1:3])
    assert ids[2] in batch.ids and batch.ids.index(ids[2]) == 2 and repr(batch.ids) == repr(ids)
    assert pickle.loads(pickle.dumps(batch.ids)) == ids


def test_a_batch_that_is_held_is_not_overwritten(store):
    """Also where only a view of it is left, and where it was made without autograd."""
    loader = Loader(store, "train", 4, shuffle=True)
    with torch.inference_mode():
        held = [(batch.features["visual"][1:], batch.labels.numpy().T) for batch in loader]
    copies = [(visual.clone(), labels.copy()) for visual, labels in held]
    loader.set_epoch(1)
    for batch in loader:
        for values in (*batch.features.values(), batch.labels):
            values.fill_(1)
    for (visual, labels), (visual_then, labels_then) in zip(held, copies, strict=True):
        assert torch.equal(visual, visual_then) and np.array_equal(labels, labels_then)
