"""Files that are there whole or not at all, whenever a process stops, and work that one process does at a time."""

import contextlib
import fcntl
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_SUFFIX = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`.

    What the block writes there is synced to disk and takes the place of `path` when the block ends; if the
    block raises, `path` stays as it was and nothing else is left.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)  # the new name is on disk only with its folder
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left of `replacing` in a folder."""
    for leftover in folder.glob(f".*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusively(lock: Path, waiting: str = "") -> Iterator[None]:
    """Holds a lock file while the block runs; other processes that want it wait.

    The kernel gives the lock up when its holder ends, however it ends.

    Args:
        lock: the file, made with its folder where it is not there; it stays.
        waiting: one sentence for standard error, said where there is another holder.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(lock, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    sys.stderr.write(f"{waiting}\n")
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, lock):  # `remove_lock` came between: others lock a new file by now
                continue
            yield
            return


@contextlib.contextmanager
def claimed(folder: Path, marks: tuple[str, str], content: str, task: str) -> Iterator[None]:
    """Makes a folder that one process at a time fills, and refuses one that holds something else.

    Others wait, and then find the folder filled.

    Args:
        folder: what is filled.
        marks: the file that says that it is whole, and what says that it is being filled; where a folder holds
            anything, one of them must be there.
        content: what it must hold if it is not empty, such as `a store`.
        task: what a process does to it, such as `ingests into`.

    Raises:
        ValueError: if the folder is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a folder for the store, {folder} is a file")
    folder.mkdir(parents=True, exist_ok=True)
    others = [path.name for path in folder.iterdir() if path.name not in (*marks, ".lock")]
    if others and not any((folder / mark).exists() for mark in marks):
        raise ValueError(f"folder must be empty or {content}, {folder} holds {min(others)!r} and no {marks[0]}")
    with exclusively(folder / ".lock", f"another process {task} {folder}; waiting for it"):
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock file."""
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def remove_lock(lock: Path) -> bool:
    """Removes a lock file that nobody holds; False where somebody does, or it is gone."""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, lock):
                lock.unlink()
                return True
    except (BlockingIOError, FileNotFoundError):
        pass
    return False


def _is_at(file: IO, path: Path) -> bool:
    """Whether an open file is still the one that a path names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
