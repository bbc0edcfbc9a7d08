"""A command that serves HTTP, as long as a test needs it."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path, patience: float = 120, **more) -> Iterator[str]:
    """The address of a server that a command starts on a free port, given as its last word.

    Args:
        command: the words before the port.
        ready: the path that answers when the server is up.
        log: the file that has what it prints.
        patience: seconds to wait for that.
        more: as `subprocess.Popen` takes it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (
        log.open("wb") as out,
        subprocess.Popen([*command, str(port)], stdout=out, stderr=out, start_new_session=True, **more) as process,
    ):
        try:
            _wait(f"{address}{ready}", process, log, time.monotonic() + patience)
            yield address
        finally:
            os.killpg(process.pid, 15)


def _wait(address: str, process: subprocess.Popen, log: Path, limit: float) -> None:
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
