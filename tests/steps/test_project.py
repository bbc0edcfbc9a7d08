"""`mlflow run` on the project: parameters arrive, mistakes fail, a SIGTERM ends the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(job) -> dict[str, str]:
    binaries = os.path.dirname(sys.executable)
    return os.environ | {
        "MLFLOW_TRACKING_URI": job.tracking,
        "MMVID_HOME": str(job.folder / "data"),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def mlflow_run(environment, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def newest(job):
    mlflow.set_tracking_uri(job.tracking)
    return mlflow.MlflowClient().search_runs(["0"], order_by=["attributes.start_time DESC"], max_results=1)[0]


@pytest.mark.slow
def test_a_project_run_trains_into_the_run_that_mlflow_made(job, environment):
    done = mlflow_run(environment, "-e", "train_moe", "-P", "experts=3", "-P", "epochs=1", "-P", "modalities=visual")
    assert done.returncode == 0, done.stderr
    run = newest(job)
    assert run.info.status == "FINISHED" and run.data.tags["mmvid.entry"] == "train_moe"
    assert run.data.params["experts"] == "3" and "validate/gap" in run.data.metrics
    assert run.data.tags["mlflow.project.entryPoint"] == "train_moe"

    # The same again: nothing is computed, and the new run shows the finished one.
    again = mlflow_run(environment, "-e", "train_moe", "-P", "experts=3", "-P", "epochs=1", "-P", "modalities=visual")
    assert again.returncode == 0, again.stderr
    pointer = newest(job)
    assert pointer.data.tags["mmvid.same_as"] == run.info.run_id and pointer.info.status == "FINISHED"
    assert pointer.data.metrics["validate/gap"] == run.data.metrics["validate/gap"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["expert=8"], "error: unknown option --expert; did you mean --experts?"),
        (["experts=0"], "error: experts must be at least 1, got 0"),
        (
            ["data=/nowhere"],
            "error: data must be `demo`, a store, or a folder, pattern or list of TFRecords; nothing is at /nowhere",
        ),
    ],
)
def test_a_mistake_fails_the_run_with_one_sentence(job, environment, words, sentence):
    done = mlflow_run(environment, "-e", "train_moe", *(part for word in words for part in ("-P", word)))
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [sentence]
    assert newest(job).info.status == "FAILED"


@pytest.mark.slow
def test_sigterm_ends_the_run_as_killed(job, environment):
    command = [sys.executable, "-m", "steps.train", "moe", "--epochs", "1000", "--patience", "0", "--seed", "9"]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not process.stderr.readline().startswith("epoch 3/"):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert newest(job).info.status == "KILLED"


@pytest.mark.slow
def test_a_training_killed_with_9_goes_on_by_the_same_command(job, environment):
    words = [sys.executable, "-m", "steps.train", "moe", "--epochs", "12", "--patience", "0", "--seed", "11"]
    with subprocess.Popen(words, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not process.stderr.readline().startswith("epoch 5/"):
            assert process.poll() is None
        time.sleep(0.05)
        process.kill()
        process.stderr.read()
    resumed = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 3/12" not in resumed.stderr and "epoch 12/12" in resumed.stderr
    assert "its process is gone; it ends as KILLED" in resumed.stderr
    assert not job.running()
    run = newest(job)
    undisturbed = subprocess.run(
        [*words, "--force", "True"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert "epoch 1/12" in undisturbed.stderr
    whole = newest(job)
    compared = ("train/loss", "dev/gap", "gate/gap", "validate/gap", "validate/map", "best_epoch")
    assert {name: run.data.metrics[name] for name in compared} == {name: whole.data.metrics[name] for name in compared}
    client = mlflow.MlflowClient()
    for name in ("train/loss", "dev/gap"):
        histories = [client.get_metric_history(each.info.run_id, name) for each in (run, whole)]
        assert [p.value for p in histories[0]] == [p.value for p in histories[1]]
