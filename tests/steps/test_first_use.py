"""Several commands at once on a database that is not there yet, and a tracking server that is not there at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def command(folder: Path, *words: str, tracking: str = "") -> subprocess.Popen:
    environment = os.environ | {
        "MMVID_HOME": str(folder / "data"),
        "MLFLOW_TRACKING_URI": tracking or f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    environment.pop("MLFLOW_RUN_ID", None)
    words = (sys.executable, "-m", *words)
    return subprocess.Popen(words, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_first_use_of_a_database_by_three_commands_at_once(tmp_path):
    started = [command(tmp_path, "steps.demo_data", "--videos", "60", "--seed", str(seed)) for seed in range(3)]
    for process in started:
        _, error = process.communicate(timeout=600)
        assert process.returncode == 0, error


KILLED = """
import os, signal
from alembic.ddl.impl import DefaultImpl
from mmvid.runs import Command

made, create = [], DefaultImpl.create_table

def create_some(*arguments, **words):
    create(*arguments, **words)
    made.append(arguments)
    if len(made) == 5:
        os.kill(os.getpid(), signal.SIGKILL)

DefaultImpl.create_table = create_some
Command().__enter__()
"""


@pytest.mark.slow
def test_the_first_use_of_a_database_that_was_killed_is_made_up_for(tmp_path):
    for code, wanted in ((KILLED, -9), ("from mmvid.runs import Command\nwith Command(): pass", 0)):
        environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == wanted, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


@pytest.mark.slow
def test_a_tracking_server_that_is_not_there_is_one_sentence(tmp_path):
    process = command(tmp_path, "steps.demo_data", "--videos", "60", tracking="http://127.0.0.1:9")
    _, error = process.communicate(timeout=600)
    assert process.returncode == 1
    assert error.startswith("error: MLflow at http://127.0.0.1:9: ") and error.count("\n") == 1
