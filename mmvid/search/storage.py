"""Where a study lives: a journal file or SQLite on one machine, PostgreSQL for many.

Passwords come from the environment (PGPASSWORD, ~/.pgpass, or the whole address in MMVID_STUDY_STORAGE) and are shown
nowhere.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL

from mmvid.durable import exclusively

VARIABLE = "MMVID_STUDY_STORAGE"
PATIENCE = 300  # seconds that a database may be away
RETRY = 0.5  # seconds between two attempts
GRACE = 3  # heartbeats that a process may miss before its trial is another's
_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


@dataclasses.dataclass(frozen=True)
class Place:
    """A storage's address: a database's URL, or the path of a journal file."""

    url: URL | None
    path: Path | None

    @property
    def shared(self) -> bool:
        """Whether processes of other machines may use it: only heartbeats tell there who is alive."""
        return self.url is not None and self.url.get_backend_name() != "sqlite"

    def __str__(self) -> str:
        """The address without its password."""
        return str(self.path) if self.url is None else self.url.render_as_string(hide_password=True)

    def dashboard(self) -> str:
        """The command that shows the study in a browser; it takes a password from PGPASSWORD."""
        address = str(self.path) if self.url is None else self.url.set(password=None).render_as_string()
        return f"optuna-dashboard '{address}'"

    def lock_name(self) -> str:
        return hashlib.blake2b(str(self).encode(), digest_size=8).hexdigest()


def locate(said: str, otherwise: Path) -> Place:
    """The address that a command was given.

    Args:
        said: `sqlite:///file`, `postgresql://user@host/database` or a journal file's path; the empty word takes
            $MMVID_STUDY_STORAGE.
        otherwise: the journal file where nothing is said at all.

    Raises:
        ValueError: if there is a password in `said` (MLflow logs a command's words), or the database is of another
            kind.
    """
    address = said or os.environ.get(VARIABLE, "")
    if "://" not in address:
        return Place(None, Path(address).resolve() if address else otherwise)
    try:
        url = sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the message would show the address
        raise ValueError("storage must be a journal file, sqlite:///file or postgresql://user@host/database") from None
    scheme = _SCHEMES.get(url.get_backend_name())
    if scheme is None:
        raise ValueError(f"storage must be a journal file, SQLite or PostgreSQL, got {url.get_backend_name()}")
    if scheme.endswith("psycopg") and importlib.util.find_spec("psycopg") is None:
        raise ValueError("storage on PostgreSQL needs psycopg: pip install 'mmvid[postgres]'")
    if said and (url.password or "password" in url.query):
        raise ValueError(f"storage must hold no password: put it in PGPASSWORD, or the whole address in {VARIABLE}")
    if "password" in url.query:  # only a URL's own password is hidden where it is shown
        url = url.set(password=str(url.query["password"])).difference_update_query(["password"])
    if scheme == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("storage must be an SQLite file: other processes cannot see one in memory")
        url = url.set(database=str(Path(url.database).resolve()))
    # `postgresql://` is psycopg2 to one SQLAlchemy and psycopg to the next.
    return Place(url if "+" in url.drivername else url.set(drivername=scheme), None)


@contextlib.contextmanager
def initialising(place: Place, locks: Path) -> Iterator[None]:
    """Lets one process at a time make tables, studies and parent runs, or count the trials and begin one more.

    Raises:
        Away: if the study's database cannot be reached.
    """
    if not place.shared:
        with exclusively(locks / f"study-{place.lock_name()}"):
            yield
        return
    engine = sqlalchemy.create_engine(place.url, poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(hashtext('mmvid.search'))"))
            yield  # the lock goes with the connection, however this process ends
    except sqlalchemy.exc.OperationalError as error:
        raise Away(f"storage {place}: {_first_line(error)}") from None
    finally:
        engine.dispose()


class Away(OSError):
    """The study's database cannot be reached."""


def open_storage(place: Place, heartbeat: int) -> BaseStorage:
    """Opens a storage, which is made where it is not there; call it inside `initialising`.

    Args:
        place: its address.
        heartbeat: seconds between signs of life of a trial, where machines share the storage.

    Raises:
        ValueError: if the database holds MLflow's tables.
        OSError: if the database cannot be reached.
    """
    if place.path is not None:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        lock = _KernelLock(place.path)
        _mend(place.path, lock)
        return JournalStorage(JournalFileBackend(str(place.path), lock_obj=lock))
    if not place.shared:
        Path(place.url.database).parent.mkdir(parents=True, exist_ok=True)
    _check_tables(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats
        return RDBStorage(
            place.url.render_as_string(hide_password=False),
            engine_kwargs={"pool_pre_ping": True} if place.shared else {"connect_args": {"timeout": 60}},
            heartbeat_interval=heartbeat if place.shared else None,
            grace_period=GRACE * heartbeat if place.shared else None,
        )


def close_storage(storage: BaseStorage) -> None:
    """Closes a database's connections."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


class Patience:
    """Calls a storage, again and again while its database is away."""

    def __init__(self, place: Place, seconds: float = PATIENCE):
        self.place, self.seconds = place, seconds

    def __call__(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What `call` returns; its own errors are passed on.

        Raises:
            OSError: if the database stays away.
        """
        since = None
        while True:
            try:
                return call(*arguments, **named)
            except (StorageInternalError, Away) as error:
                if since is None:
                    since = time.monotonic()
                    sys.stderr.write(f"storage {self.place} does not answer; waiting for it\n")
                if time.monotonic() - since > self.seconds:
                    raise OSError(f"storage {self.place} has not answered for {self.seconds:g} s") from error
                time.sleep(RETRY)


def _check_tables(place: Place) -> None:
    """Refuses MLflow's database: both number their tables' version in a table `alembic_version`."""
    engine = sqlalchemy.create_engine(place.url, poolclass=sqlalchemy.NullPool)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    except sqlalchemy.exc.OperationalError as error:
        raise OSError(f"storage {place}: {_first_line(error)}") from None
    finally:
        engine.dispose()
    if {"experiments", "runs"} <= tables:
        raise ValueError(f"storage {place} holds MLflow's tables; the study needs a database of its own beside it")


def _mend(path: Path, lock: "_KernelLock") -> None:
    """Cuts off a last line that a machine's crash left unfinished: with the next line behind it, all would be lost."""
    lock.acquire()
    try:
        with open(path, "a+b") as file:
            file.seek(0)
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()


class _KernelLock:
    """A journal's lock that the kernel gives up when its holder is killed; Optuna's own would block for 30 s."""

    def __init__(self, path: Path):
        self.path = path.with_name(f"{path.name}.lock")
        self.file = None

    def acquire(self) -> bool:
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        self.file.close()


def _first_line(error: Exception) -> str:
    return str(error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error).strip().splitlines()[0]
