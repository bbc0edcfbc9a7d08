"""Registries of a test's own, and processes that work on them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request, tmp_path_factory, empty_store) -> str:
    """A tracking URI, on SQLite and on PostgreSQL. Its tables take seconds to make: all tests share them."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").database()
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    shutil.copy(empty_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def registry(database, workplace, monkeypatch) -> MlflowClient:
    """The registry of that database, as the one in use; tests name their models differently."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    mlflow.set_tracking_uri(database)
    return MlflowClient()


@pytest.fixture
def start(workplace, monkeypatch):
    """Starts a Python program of a few lines in a process of its own, in the test's folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    running = []

    def run(program: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-c", program, *words]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=workplace
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
