"""The tables of the tracking store: made by one process at a time, and of an SQLite file whole or not at all.

MLflow makes them one after the other at the first use, two processes at once break them, and it cannot go on from where
a process was killed meanwhile.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mlflow

from mmvid.durable import exclusively, replacing


@contextlib.contextmanager
def first_use(locks: Path) -> Iterator[None]:
    """Holds a lock while the block uses the tracking store, and makes an SQLite database that is not there yet.

    Args:
        locks: the folder for the lock of a store that is no SQLite file; that of a file lies beside it.
    """
    path = _database()
    with exclusively(locks / "tracking" if path is None else path.with_name(f"{path.name}.lock")):
        if path is not None and not (path.exists() and path.stat().st_size):
            _make(path)
        yield


def _database() -> Path | None:
    """The file of the tracking store where that is a plain one of SQLite."""
    scheme, _, path = mlflow.get_tracking_uri().partition(":///")
    return Path(path) if scheme == "sqlite" and path and not {"?", ":"} & set(path) else None


def _make(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*.part*"):
        leftover.unlink()
    with replacing(path) as temporary:
        mlflow.MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
