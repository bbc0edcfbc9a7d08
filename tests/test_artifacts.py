"""Artifacts of runs as files: themselves where the store is a folder, else copies that go with the process."""

import os
import subprocess
import sys

import http_server
import mlflow
import pytest

from mmvid.runs import Finished

READ = """
import sys
from mmvid.runs import load_run
print(load_run(sys.argv[1]).fetch("notes").joinpath("a.txt").read_text())
"""


def logged() -> Finished:
    with mlflow.start_run() as run:
        mlflow.log_text("kept", "notes/a.txt")
    return Finished(mlflow.get_run(run.info.run_id))


def read_by_another_process(run: Finished, scratch) -> str:
    """What a process of its own, whose temporary files lie in `scratch`, reads of the artifact."""
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    return subprocess.run(
        [sys.executable, "-c", READ, run.id], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_a_local_artifact_is_read_where_it_lies(workplace):
    run = logged()
    assert run.fetch("notes/a.txt") == workplace / "mlruns" / "0" / run.id / "artifacts" / "notes" / "a.txt"
    assert read_by_another_process(run, workplace / "scratch") == "kept\n"
    assert not list((workplace / "scratch").iterdir())


def test_an_artifact_that_is_not_there_is_named(workplace):
    run = logged()
    with pytest.raises(ValueError, match=f"run {run.id} must have the artifact predictions"):
        run.fetch("predictions")


@pytest.mark.slow
def test_copies_of_what_a_server_holds_go_with_the_process(workplace):
    store = ["--backend-store-uri", mlflow.get_tracking_uri(), "--artifacts-destination", str(workplace / "held")]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--workers", "1", "--port"]
    with http_server.running(command, "/health", workplace / "server.log") as address:
        mlflow.set_tracking_uri(address)
        mlflow.set_experiment("held by the server")
        run = logged()
        assert (workplace / "held").is_dir() and run.fetch("notes/a.txt").read_text() == "kept"
        assert read_by_another_process(run, workplace / "scratch") == "kept\n"
        assert not list((workplace / "scratch").iterdir())
