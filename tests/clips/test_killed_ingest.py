"""An ingest of clips that is killed at any moment, and started again, ends with the bytes of an undisturbed one."""

import random
import shutil
import signal
import subprocess
import sys
import time

from mmvid.clips.ingest import ingest

PROGRAM = """
import sys
from mmvid.clips import ingest as module
module._SHARD_PIECES = 2
print("ready", flush=True)
module.ingest(sys.argv[1], sys.argv[2], progress=False)
"""


def test_killed_at_random_moments(writer, tmp_path, monkeypatch):
    data = str(writer.bair({"train": [12] * 12}, steps=12, side=16))
    monkeypatch.setattr("mmvid.clips.ingest._SHARD_PIECES", 2)
    expected = ingest(data, tmp_path / "undisturbed", progress=False)
    folder, draw, kills = tmp_path / "store", random.Random(0), 0

    def started() -> subprocess.Popen:
        words = [sys.executable, "-c", PROGRAM, data, str(folder)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    for _ in range(3):
        process = started()
        time.sleep(draw.uniform(0, 0.3))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "manifest.json").exists():  # it was faster: begin anew, so that every kill hits an ingest
            shutil.rmtree(folder)
    assert kills > 0, "the ingest was always done before it could be killed"
    process = started()
    process.communicate()
    assert process.returncode == 0
    store = ingest(data, folder, progress=False)
    assert store.manifest == expected.manifest
    assert {path.name for path in folder.iterdir()} == {path.name for path in expected.folder.iterdir()}
    store.verify()
