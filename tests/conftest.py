"""Fixtures of all tests: real data beside the checkout, and a home and a tracking store of a test's own."""

from pathlib import Path

import mlflow
import pytest
from postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden files beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder `shared` with real data is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Inputs and outputs of the YouTube-8M starter code."""
    return shared / "golden" / "youtube8m"


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty working folder with its own home and tracking store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMVID_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield tmp_path
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A running PostgreSQL server."""
    server = Postgres()
    server.start()
    yield server
    server.remove()
