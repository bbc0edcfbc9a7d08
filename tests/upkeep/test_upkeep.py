"""What is said of runs, and what is removed: runs of tiny tasks, with a real tracking store and real processes."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Metric

from mmvid import runs
from mmvid.durable import exclusively
from mmvid.runs import Command, Task, home
from mmvid.upkeep import cleaning, states
from steps import clean, status

ROOT = Path(__file__).resolve().parents[2]


def task(number: int) -> Task:
    return Task("train_toy", {"number": number}, {"data": "d"}, ("mmvid.config",), name=f"toy {number}")


def compute(run: runs.Run) -> None:
    run.text("result.txt", "x" * 1000)


@pytest.fixture
def command(workplace):
    with Command() as command:
        yield command


@pytest.fixture
def client(command) -> mlflow.MlflowClient:
    return mlflow.MlflowClient()


def fail(run: runs.Run) -> None:
    raise RuntimeError("it failed")


def by_run() -> dict[str, str]:
    return {standing.run.id: standing.state for standing in states.standings()}


def zombie(client, number: int, process: str) -> str:
    """A RUNNING run of a task that some process left."""
    run = client.create_run("0", tags=runs._tags(task(number)) | {"mmvid.process": process})
    return run.info.run_id


def test_every_run_is_what_became_of_it(command, client):
    done = command.find_or_run(task(1), compute)
    old = command.find_or_run(task(2), compute)
    new = command.find_or_run(task(2), compute, force=True)
    stale = command.find_or_run(task(3), compute)
    client.set_tag(stale.id, "mmvid.sources", "those of yesterday")
    with pytest.raises(RuntimeError):
        command.find_or_run(task(4), fail)
    with pytest.raises(RuntimeError):
        command.find_or_run(task(5), fail)
    command.find_or_run(task(5), compute)
    found = states.standings()
    said = {(each.name, each.state) for each in found}
    assert said == {
        ("toy 1", "done"),
        ("toy 2", "done"),
        ("toy 2", "superseded"),
        ("toy 3", "stale"),
        ("toy 4", "failed"),
        ("toy 5", "superseded"),
        ("toy 5", "done"),
    }
    assert (by_run()[done.id], by_run()[old.id], by_run()[new.id]) == ("done", "superseded", "done")

    asked = states.of_tasks([task(1), task(3), task(4), task(6)])
    assert [each.state for each in asked] == ["done", "stale", "failed", "missing"]


def test_runs_of_processes_that_are_gone_are_ended_and_those_of_others_are_left(command, client, capsys):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    process = runs.this_process().split(":")
    gone = zombie(client, 1, f"{process[0]}:{killed.pid}:1")
    killed.wait()
    ours, far = zombie(client, 2, runs.this_process()), zombie(client, 3, "elsewhere:1:1")
    silent = client.create_run("0", start_time=1, tags=runs._tags(task(4)) | {"mmvid.process": "elsewhere:1:1"})
    assert states.end_zombies() == [gone]
    assert client.get_run(gone).info.status == "KILLED" and client.get_run(ours).info.status == "RUNNING"
    assert "its process is gone: KILLED" in capsys.readouterr().err
    assert by_run() == {ours: "running", far: "running", silent.info.run_id: "silent"}


def test_a_run_of_another_machine_is_waited_for_while_it_gives_signs_of_life(command, client, monkeypatch, capsys):
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.1)
    far = zombie(client, 1, "elsewhere:1:1")
    now = int(time.time() * 1000)
    client.log_batch(far, metrics=[Metric("system/cpu_utilization_percentage", 1.0, now, 0)])
    ender = threading.Timer(1.0, lambda: mlflow.MlflowClient().set_terminated(far, "FINISHED"))
    ender.start()
    found = command.find_or_run(task(1), fail)
    ender.join()
    assert found.id == far
    assert f"run {far} on elsewhere computes the same; waiting for it" in capsys.readouterr().err


def test_a_run_of_another_machine_that_is_silent_is_not_waited_for(command, client):
    tags = runs._tags(task(1)) | {"mmvid.process": "elsewhere:1:1"}
    silent = client.create_run("0", start_time=int((time.time() - 2 * runs.SILENT_SECONDS) * 1000), tags=tags)
    assert command.find_or_run(task(1), compute).id != silent.info.run_id


SLOW = """
import sys, time
from mmvid.runs import Command, Task
with Command() as command:
    def compute(run):
        print("computing", flush=True)
        time.sleep(2)
    found = command.find_or_run(Task("train_toy", {"number": 1}, {}, ("mmvid.config",)), compute)
    print(found.id, flush=True)
"""


@pytest.mark.slow
def test_of_two_processes_that_need_a_key_one_computes_and_the_other_is_told_and_waits(workplace, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first, second = (
        subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    said = [process.communicate(timeout=600) for process in (first, second)]
    assert "".join(out for out, _ in said).count("computing") == 1, said
    assert len({out.split()[-1] for out, _ in said}) == 1  # both have the same run
    told = [err for _, err in said if "train_toy: another process computes the same; waiting for it" in err]
    assert len(told) <= 1 and any("has the same key; nothing to compute" in err for _, err in said), said


def test_clean_removes_what_is_superseded_and_never_what_a_version_refers_to(command, client, capsys):
    kept = command.find_or_run(task(1), compute)
    command.find_or_run(task(1), compute, force=True)
    client.create_registered_model("net")
    client.create_model_version("net", kept.run.info.artifact_uri, kept.id)
    old = command.find_or_run(task(2), compute)
    new = command.find_or_run(task(2), compute, force=True)
    (rubbish,) = [each for each in cleaning.plan() if each.kind == "run"]
    assert rubbish.what.startswith(old.id) and rubbish.bytes == 1000 and new.id in rubbish.why

    clean.main(["--dry_run", "True"])
    assert "would be removed" in capsys.readouterr().out
    assert client.get_run(old.id).info.lifecycle_stage == "active"
    with pytest.raises(ValueError, match="^yes must be True to remove 3 things, 1,000 bytes where nobody can be asked"):
        clean.main([])
    clean.main(["--yes", "True"])
    assert "removed 3 things, 1,000 bytes" in capsys.readouterr().out
    assert client.get_run(old.id).info.lifecycle_stage == "deleted"
    assert not Path(old.run.info.artifact_uri.removeprefix("file://")).exists()
    for run in (kept, new):
        assert client.get_run(run.id).info.lifecycle_stage == "active"
        assert client.list_artifacts(run.id)
    clean.main(["--yes", "True"])
    assert "there is nothing to remove" in capsys.readouterr().out


def test_clean_removes_stores_checkpoints_and_locks_that_no_run_needs(command, client):
    for name in ("used", "unused"):
        (home() / "stores" / name).mkdir(parents=True)
        (home() / "stores" / name / "file").write_text("12345")
    command.find_or_run(task(1), lambda run: run.tags({"mmvid.data.store": home() / "stores" / "used"}))
    with pytest.raises(RuntimeError):
        command.find_or_run(task(2), fail)  # goes on from its checkpoint when it is called again
    for number in (1, 2):
        (home() / "checkpoints" / task(number).key).mkdir(parents=True)
    with exclusively(home() / "locks" / "held"):
        found = {(each.kind, Path(each.what).name): each for each in cleaning.plan()}
        assert found.keys() == {
            ("store", "unused"),
            ("checkpoint", task(1).key),
            ("lock", task(1).key),
            ("lock", task(2).key),
        }
        assert found["store", "unused"].bytes == 5
        for each in found.values():
            each.remove()
        assert (home() / "locks" / "held").exists() and (home() / "stores" / "used" / "file").exists()
        assert (home() / "checkpoints" / task(2).key).exists()
    assert not (home() / "stores" / "unused").exists() and not (home() / "checkpoints" / task(1).key).exists()


def test_status_shows_runs_models_and_what_is_missing(command, client, capsys):
    done = command.find_or_run(task(1), compute)
    client.create_registered_model("net")
    status.main([])
    out = capsys.readouterr().out
    assert done.id in out and "| missing |" in out and "net@champion" in out and "there is no champion" in out
    client.create_model_version("net", done.run.info.artifact_uri, done.id)
    client.set_registered_model_alias("net", "champion", "1")
    status.main(["--registered", "net"])
    assert "| done  | train_toy   | net@champion, version 1 |" in capsys.readouterr().out
    status.main(["--table", "main"])
    assert "its data set is not there" in capsys.readouterr().out
