"""A tracking store for each test, copied from one whose tables are made once: that takes seconds."""

import shutil
from pathlib import Path

import mlflow
import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def workplace(workplace, empty_store) -> Path:
    shutil.copy(empty_store, workplace / "mlflow.db")
    return workplace
