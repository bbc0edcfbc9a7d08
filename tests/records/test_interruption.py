"""An ingest that is killed at any moment, and started again, ends with the bytes of an undisturbed one."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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
    for _ in range(int(os.environ.get("KILLS", "3"))):  # `make kills` asks for 50
        process = start(program, maker, folder, workers)
        time.sleep(draw.uniform(0, 0.3 if workers == 1 else 1.5))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "manifest.json").exists():  # it was faster: begin anew, so that every kill hits an ingest
            shutil.rmtree(folder)
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
        time.sleep(0.001)
    children[0].kill()


def test_a_killed_worker_process_is_told(maker, tmp_path):
    maker.whole()
    killer = threading.Thread(target=kill_a_child)
    killer.start()
    sentence = "^the process of train/train0[01].tfrecord was killed; start again to "
    with pytest.raises(ChildProcessError, match=sentence):
        ingest(maker.folder, maker.schema, tmp_path / "store", workers=2)
    killer.join()
    assert not multiprocessing.active_children() and not list((tmp_path / "store").rglob("*.part"))
    assert ingest(maker.folder, maker.schema, tmp_path / "store", workers=2).count("validate") == 40


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in Linux's /proc")
def test_no_process_outlives_a_killed_ingest(maker, tmp_path):
    maker.whole(frames=True, shards=6, size=400)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = start(program, maker, tmp_path / "store", 2)
    everyone = {process.pid}
    while len(everyone) < 4:  # itself, a server of forks, its tracker of resources, and a worker
        everyone |= descendants(everyone)
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while alive := [pid for pid in everyone - {process.pid} if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, f"{alive} are still there"
        time.sleep(0.05)


def descendants(parents: set[int]) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = status.read_text().split(" (", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.rsplit(")", 1)[1].split()[1]) in parents:
            found.add(int(pid))
    return found
