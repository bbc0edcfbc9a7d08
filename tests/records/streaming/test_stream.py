"""A stream against the store's loader: the same batches; damage, slowness, memory, processes that die."""

import os
import signal
import time

import pytest
import torch

from mmvid.records.ingest import ingest
from mmvid.records.loader import Loader
from mmvid.records.schema import load_schema
from mmvid.records.streaming import reading
from mmvid.records.streaming.loader import Stream
from mmvid.records.streaming.reading import Watch, scan
from mmvid.storage import find_file


@pytest.fixture(params=[False, True], ids=["video", "frame"])
def framed(request) -> bool:
    return request.param


@pytest.fixture
def store(maker, tmp_path, framed):
    """A data set with a dev of its own, so that train is what its shards hold."""
    maker.whole(frames=framed, shards=5)
    maker.write("dev/dev00.tfrecord", maker.videos("d", 9, frames=framed))
    return ingest(maker.folder, maker.schema, tmp_path / "store")


def shards(maker) -> list:
    files = sorted((maker.folder / "train").iterdir())
    return [scan(find_file(path), f"train/{path.name}") for path in files]


def stream(maker, frames=True, size=16, **options) -> Stream:
    return Stream(maker.schema, shards(maker), size, frames=frames, **({"buffer": 50} | options))


def videos(batches) -> dict[str, dict]:
    """The rows of batches by id, their frames without what is padded."""
    found = {}
    for batch in batches:
        batch = batch.to("cpu")
        for row, id in enumerate(batch.ids):
            length = int(batch.num_frames[row])
            assert all(not frames[row, length:].any() for frames in batch.frames.values())
            assert all(frames.shape[1] == int(batch.num_frames.max()) for frames in batch.frames.values())
            found[id] = {
                "features": {m: each[row].tolist() for m, each in batch.features.items()},
                "frames": {m: each[row, :length].tolist() for m, each in batch.frames.items()},
                "presence": {m: bool(batch.presence[m][row]) for m in batch.features},
                "labels": None if batch.labels is None else batch.labels[row].tolist(),
                "length": length,
            }
    return found


def same(first, second) -> bool:
    """Whether two batches are equal in every bit."""
    first, second = first.to("cpu"), second.to("cpu")
    parts = [(first.features, second.features), (first.frames, second.frames), (first.presence, second.presence)]
    return (
        list(first.ids) == list(second.ids)
        and torch.equal(first.num_frames, second.num_frames)
        and torch.equal(first.labels, second.labels)
        and all(a.keys() == b.keys() and all(torch.equal(a[m], b[m]) for m in a) for a, b in parts)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_a_store(store, maker, framed, workers):
    streamed = stream(maker, framed, workers=workers)
    batches = list(streamed)
    expected = videos(Loader(store, "train", 16, frames=framed))
    assert videos(batches) == expected
    assert [len(batch) for batch in batches] == [16] * 12 + [8] and len(streamed) == 13
    assert all(not batch.frames and bool(batch.quantised) == framed for batch in batches)  # bytes until `to`


def test_in_their_order_batches_are_the_very_ones_of_a_store(store, maker, framed):
    streamed = stream(maker, framed, buffer=0)
    for got, want in zip(streamed, Loader(store, "train", 16, frames=framed), strict=True):
        want.presence = {m: want.presence[m] for m in got.presence}  # a stream knows of no text
        assert same(got, want)


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_modalities_are_read_as_they_are_asked_for(store, maker, framed):
    for modalities in (["audio"], ["audio", "visual"]):
        asked = dict(modalities=modalities, frames=True)
        for got, want in zip(stream(maker, buffer=0, **asked), Loader(store, "train", 16, **asked), strict=True):
            want.presence = {m: want.presence[m] for m in got.presence}
            assert same(got, want) and list(got.to("cpu").frames) == modalities
    video_level = next(iter(stream(maker, frames=False)))
    assert not video_level.frames and not video_level.quantised and video_level.num_frames.unique().tolist() == [1]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("framed", [True], indirect=True)
def test_an_epoch_can_begin_at_any_batch(store, maker, framed, workers):
    streamed = stream(maker, workers=workers, seed=4)
    streamed.set_epoch(3)
    whole = list(streamed)
    assert [batch.ids for batch in streamed] == [batch.ids for batch in whole]
    for first in (1, 6, 12, 13):
        rest = list(stream_at(maker, workers, first))
        assert len(rest) == 13 - first and all(same(*pair) for pair in zip(rest, whole[first:], strict=True))
    streamed.set_epoch(4)
    assert [batch.ids for batch in streamed] != [batch.ids for batch in whole]


def stream_at(maker, workers: int, first: int):
    fresh = stream(maker, workers=workers, seed=4)
    fresh.set_epoch(3)
    return fresh.starting(first)


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_ranks_share_an_epoch_in_equally_many_batches(store, maker, framed):
    parts = [list(stream(maker, rank=rank, world_size=3)) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    ids = [id for part in parts for batch in part for id in batch.ids]
    assert sorted(ids) == sorted(videos(Loader(store, "train", 16, frames=True)))


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_no_more_videos_are_held_than_stated(store, maker, framed, monkeypatch):
    taken = most = left = 0
    read = reading.Reader.read

    def counted(self, shard, video):
        nonlocal taken
        taken += 1
        return read(self, shard, video)

    monkeypatch.setattr(reading.Reader, "read", counted)
    part = stream(maker, buffer=50)._part(0, 0)
    for _, batch, _ in part.batches():
        left += len(batch)
        most = max(most, taken - left)
    assert 10 < most <= 50 and taken == left == 200


@pytest.mark.parametrize("framed", [True], indirect=True)
@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_named_or_counted(store, maker, framed, workers, capfd):
    sound = shards(maker)
    path = maker.folder / "train" / "train02.tfrecord"
    content = bytearray(path.read_bytes())
    offset = int(sound[2].offsets[11])
    content[offset + 40] ^= 1
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the disk's doing, not somebody's
    options = dict(frames=True, buffer=50, workers=workers)
    with pytest.raises(ValueError, match=f"train02.tfrecord: record at byte {offset}: payload checksum is "):
        list(Stream(maker.schema, sound, 16, **options))
    capfd.readouterr()
    skipping = Stream(maker.schema, sound, 16, on_error="skip", **options)
    batches = list(skipping)
    assert sum(map(len, batches)) == 199 and len(batches) == 13 and skipping.skipped == {"payload checksum": 1}
    assert f"skipped: {path}: record at byte {offset}: payload checksum is" in capfd.readouterr().err
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="train02.tfrecord: the file changed while it was read"):
        list(Stream(maker.schema, sound, 16, on_error="skip", **options))


def test_a_batch_of_which_nothing_is_left_is_an_error(maker):
    maker.whole(frames=True, shards=1)
    sound = shards(maker)[0]
    path = maker.folder / "train" / "train00.tfrecord"
    content, status = bytearray(path.read_bytes()), path.stat()
    for offset in sound.offsets[:4].tolist():
        content[offset + 30] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    stream = Stream(maker.schema, [sound], 4, buffer=0, on_error="skip", kinds={"visual": "uint8", "audio": "uint8"})
    with pytest.raises(ValueError, match="^all 4 videos of a batch are damaged; they are in train/train00.tfrecord$"):
        next(iter(stream))


def test_a_read_that_stalls_is_named_while_it_does(maker, monkeypatch, capfd):
    maker.whole(frames=True, shards=1)
    streamed = stream(maker, stall_seconds=0.05)
    read, slow = reading.RecordFile.read, int(streamed.shards[0].offsets[5])

    def sometimes(self, offset):
        if offset == slow:
            deadline = time.monotonic() + 10
            while "byte" not in (told := capfd.readouterr().err) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert f"train00.tfrecord: reading the record at byte {slow} takes 0 s by now" in told
        return read(self, offset)

    monkeypatch.setattr(reading.RecordFile, "read", sometimes)
    assert sum(map(len, streamed)) == 40
    assert not capfd.readouterr().err


def test_the_watch_counts_each_stall_once():
    with Watch(0.02) as watch:
        for _ in range(2):
            watch.begin("some.tfrecord", 7)
            time.sleep(0.1)
            watch.end()
    assert watch.stalls == 2


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_a_worker_that_is_killed_is_noticed_and_none_outlives_its_stream(store, maker, framed):
    import multiprocessing

    before = set(multiprocessing.active_children())
    batches = iter(stream(maker, size=2, workers=2))
    next(batches)
    started = sorted(set(multiprocessing.active_children()) - before, key=lambda process: process.pid)
    assert len(started) == 2
    os.kill(started[0].pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="^the process of reader 0 of 2 was killed; start again"):
        list(batches)
    assert not any(process.is_alive() for process in started)
    stopped = iter(stream(maker, size=2, workers=1))
    next(stopped)
    stopped.close()
    assert not set(multiprocessing.active_children()) - before


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_batches_that_are_kept_stay_as_they_are(store, maker, framed):
    """More of them than a worker has places for: they must neither wait nor be written over."""
    kept = list(stream(maker, size=5, workers=1))
    fresh = stream(maker, size=5, workers=1)
    for batch, again in zip(kept, fresh, strict=True):
        assert same(batch, again)
        del again


def test_real_frames_come_as_from_the_store(shared, tmp_path):
    """AudioSet's validate, read by two processes."""
    folder = shared / "data" / "audioset"
    store = ingest(folder, "audioset", tmp_path / "store", text="none")
    files = [scan(find_file(path)) for path in sorted((folder / "validate").glob("*.tfrecord"))]
    streamed = Stream(load_schema("audioset"), files, 100, workers=2, buffer=500)
    assert videos(streamed) == videos(Loader(store, "validate", 100, frames=True))
    assert streamed.count == store.count("validate") == 2257
