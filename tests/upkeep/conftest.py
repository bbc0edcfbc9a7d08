"""A tracking store for each test, copied from one whose tables are made once: that takes seconds."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def workplace(workplace, empty_store) -> Path:
    shutil.copy(empty_store, workplace / "mlflow.db")
    return workplace
