"""A lock that works across machines: a registered model of a name that only one process can make.

MLflow's registry has one operation of which exactly one of many callers succeeds, on SQLite, PostgreSQL and behind a
server alike: making a registered model, whose name is a primary key. A claim on `mmvid-moe` is the registered model
`mmvid-moe.claim`, there for as long as aliases are moved (a second), with a token and its holder as tags.

A holder that was killed leaves its claim. It is taken over at once where the holder ran on this machine and is gone,
and elsewhere when the same token was seen for `LEASE` seconds by the clock of the one that waits, so that clocks need
not agree. To take over is again to make a name, that of the token: of many that wait one succeeds.

What is guaranteed: of processes that run, one at a time holds a claim. A holder that was stopped for longer than LEASE
and then goes on finds by `check`, which is asked before each move, that it holds nothing any more; between that
question and the move, a few milliseconds, it must not be stopped again. MLflow cannot make a move depend on a token.
"""

import contextlib
import secrets
import sys
import time
from collections.abc import Iterator

from mlflow import MlflowClient, MlflowException

from mmvid.liveness import is_gone, this_process

LEASE = 60.0  # seconds; a move of aliases takes less than one
_POLL = 0.2
SUFFIXES = (".claim", ".takeover-")


class Claim:
    """A claim that is held; `check` asks whether it still is."""

    def __init__(self, client: MlflowClient, name: str, token: str):
        self.client, self.name, self.token = client, name, token

    def check(self) -> None:
        """Asks the registry.

        Raises:
            OSError: if another process took the claim over.
        """
        if _token(self.client, self.name) != self.token:
            raise OSError(f"{self.name}: this process stood still for so long that another took over; call again")


@contextlib.contextmanager
def claimed(client: MlflowClient, name: str, lease: float = LEASE) -> Iterator[Claim]:
    """Holds the claim on a registered model while the block runs; waits for it where another process has it."""
    token, lock = secrets.token_hex(8), f"{name}{SUFFIXES[0]}"
    seen, since = None, 0.0
    while not _make(client, lock, token):
        other = _token(client, name)
        if other is None:  # given back meanwhile
            continue
        if other != seen:
            seen, since = other, time.monotonic()
        if time.monotonic() - since > lease or is_gone(_tags(client, lock).get("mmvid.process", "")):
            _take_over(client, name, other)
            continue
        time.sleep(_POLL)
    try:
        yield Claim(client, name, token)
    finally:
        if _token(client, name) == token:
            _remove(client, lock)


def is_claim(name: str) -> bool:
    """Whether a registered model is a claim and no model."""
    return name.endswith(SUFFIXES[0]) or SUFFIXES[1] in name


def _take_over(client: MlflowClient, name: str, token: str) -> None:
    """Removes the claim with a token, unless another process is at it or the claim has changed."""
    right = f"{name}{SUFFIXES[1]}{token}"
    if not _make(client, right, secrets.token_hex(8)):
        if is_gone(_tags(client, right).get("mmvid.process", "")):  # killed in the middle of this
            _remove(client, right)
        time.sleep(_POLL)
        return
    try:
        if _token(client, name) == token:
            sys.stderr.write(f"{name}: the process that was moving its aliases is gone; its claim is taken over\n")
            _remove(client, f"{name}{SUFFIXES[0]}")
    finally:
        _remove(client, right)


def _make(client: MlflowClient, lock: str, token: str) -> bool:
    try:
        about = "Held while aliases are moved; no model. It goes away by itself."
        client.create_registered_model(lock, {"mmvid.token": token, "mmvid.process": this_process()}, about)
        return True
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise
        # Ours, where a request that succeeded was sent again because its answer was lost.
        return _tags(client, lock).get("mmvid.token") == token


def _token(client: MlflowClient, name: str) -> str | None:
    return _tags(client, f"{name}{SUFFIXES[0]}").get("mmvid.token")


def _tags(client: MlflowClient, lock: str) -> dict[str, str]:
    try:
        return client.get_registered_model(lock).tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def _remove(client: MlflowClient, lock: str) -> None:
    try:
        client.delete_registered_model(lock)
    except MlflowException:
        if _tags(client, lock):  # it is still there: the registry itself fails
            raise
