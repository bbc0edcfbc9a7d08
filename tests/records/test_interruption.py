"""An ingest that is killed at any moment, and started again, ends with the bytes of an undisturbed one."""

import multiprocessing
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from mmvid.records.ingest import ingest
from mmvid.records.store import Store

PROGRAM = """
import sys
from mmvid.records.ingest import ingest
from mmvid.records.schema import Schema

if __name__ == "__main__":
    schema = Schema.model_validate_json(sys.argv[1])
    print("ready", flush=True)
    ingest(sys.argv[2], schema, sys.argv[3], workers=int(sys.argv[4]))
"""


def start(program, maker, folder, workers) -> subprocess.Popen:
    words = [maker.schema.model_dump_json(), str(maker.folder), str(folder), str(workers)]
    process = subprocess.Popen([sys.executable, str(program), *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_random_moments(maker, tmp_path, workers):
    maker.whole(frames=True, shards=6, size=400)
    expected = ingest(maker.folder, maker.schema, tmp_path / "undisturbed")
    program, folder = tmp_path / "program.py", tmp_path / "store"
    program.write_text(PROGRAM)
    draw, kills = random.Random(workers), 0
    for _ in range(3):
        process = start(program, maker, folder, workers)
        time.sleep(draw.uniform(0, 0.3 if workers == 1 else 1.5))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills > 0, "the ingest was always done before it could be killed"
    process = start(program, maker, folder, workers)
    process.communicate()
    assert process.returncode == 0
    store = Store.open(folder)
    assert store.digest == expected.digest and store.manifest == expected.manifest
    assert {path.name for path in folder.iterdir()} == {path.name for path in expected.folder.iterdir()}
    store.verify()


def test_shards_that_are_done_are_not_done_again(maker, tmp_path, monkeypatch):
    maker.whole()
    expected = ingest(maker.folder, maker.schema, tmp_path / "undisturbed")
    from mmvid.records import ingest as module

    convert, seen = module.convert, []

    def failing(task):
        seen.append(task.name)
        if len(seen) == 3:
            raise OSError("no space left on device")
        convert(task)

    monkeypatch.setattr(module, "convert", failing)
    with pytest.raises(OSError, match="^no space left on device$"):
        ingest(maker.folder, maker.schema, tmp_path / "store")
    with pytest.raises(ValueError, match="is not a store: it has no manifest.json"):
        Store.open(tmp_path / "store")
    store = ingest(maker.folder, maker.schema, tmp_path / "store")
    assert seen == ["train-00000", "train-00001", "train-00002", "train-00002", "validate-00000", "test-00000"]
    assert store.digest == expected.digest


def test_a_finished_shard_whose_source_changed_is_done_again(maker, tmp_path, monkeypatch):
    maker.whole()
    from mmvid.records import ingest as module

    monkeypatch.setattr(module, "check_distinct", lambda tasks: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ingest(maker.folder, maker.schema, tmp_path / "store")
    monkeypatch.undo()
    maker.write("train/train01.tfrecord", maker.videos("new", 25))
    store = ingest(maker.folder, maker.schema, tmp_path / "store")
    fresh = ingest(maker.folder, maker.schema, tmp_path / "fresh")
    assert store.digest == fresh.digest and store.counts("train") == fresh.counts("train")


def kill_a_child() -> None:
    while not (children := multiprocessing.active_children()):
        time.sleep(0.01)
    children[0].kill()


def test_a_killed_worker_process_is_told(maker, tmp_path):
    maker.whole()
    killer = threading.Thread(target=kill_a_child)
    killer.start()
    with pytest.raises(ChildProcessError, match="^a process of the ingest was killed; run it again to go on$"):
        ingest(maker.folder, maker.schema, tmp_path / "store", workers=2)
    killer.join()
    assert ingest(maker.folder, maker.schema, tmp_path / "store", workers=2).count("validate") == 40
