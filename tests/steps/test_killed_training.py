"""A training that is killed with -9 within an epoch, by the command: started again, it ends with the same numbers."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from mmvid.records.demo import DemoConfig, make_demo

ROOT = Path(__file__).resolve().parents[2]
KILLING = """
import os, signal, sys
from mmvid.loop import Interim
from steps import train

write = Interim.on_train_batch_end

def killed(self, trainer, *rest):
    write(self, trainer, *rest)
    if trainer.global_step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

Interim.on_train_batch_end = killed
if __name__ == "__main__":
    train.main(sys.argv[2:])
"""


@pytest.mark.kills
@pytest.mark.parametrize("readers", ["", "0", "2"], ids=["store", "stream", "stream of two processes"])
def test_a_killed_training_ends_with_the_same_numbers(workplace, readers):
    make_demo(workplace / "records", DemoConfig(videos=600, frame_videos=600, frames=6, shards=3))
    words = ["dbof", "--data", str(workplace / "records" / "frame"), "--schema", "demo", "--epochs", "3"]
    words += ["--projection", "32", "--hidden", "16", "--sampling", "frames", "--samples", "4", "--batch_size", "32"]
    words += ["--checkpoint_minutes", "0", *(["--stream", "True", "--readers", readers] if readers else [])]
    (workplace / "killing.py").write_text(KILLING)
    found = {}
    for name, kills in (("undisturbed", []), ("killed", ["5", "17"])):
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "MMVID_HOME": str(workplace / name),
            "MLFLOW_TRACKING_URI": f"sqlite:///{workplace}/{name}.db",
        }
        for step in [*kills, "0"]:
            command = [sys.executable, str(workplace / "killing.py"), step, *words]
            status = subprocess.run(command, cwd=workplace, env=environment, timeout=300).returncode
            assert status == (0 if step == "0" else -9)
        client = mlflow.MlflowClient(environment["MLFLOW_TRACKING_URI"])
        runs = client.search_runs(["0"], "tags.`mmvid.entry` = 'train_dbof' and attributes.status = 'FINISHED'")
        assert len(runs) == 1
        keep = ("dev/", "gate/", "validate/", "train/", "best_epoch")
        found[name] = {metric: value for metric, value in runs[0].data.metrics.items() if metric.startswith(keep)}
    assert found["killed"] == found["undisturbed"] and len(found["killed"]) > 10
