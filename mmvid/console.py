"""How a command ends: one sentence for a mistake of its user, an exit status for the shell."""

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

_shields: list[bool] = []  # one for each `shielded` block that is open
_waiting: list[int] = []  # signals that came meanwhile


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No KeyboardInterrupt: the trainer would take that for itself and exit with status 1."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Makes SIGINT and SIGTERM raise `Stopped` inside the block, so that what is open is closed."""

    def stop(number: int, frame: Any) -> None:
        if _shields:
            _waiting.append(number)
        else:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Lets the block end before a signal that comes meanwhile raises `Stopped`: a database write is not cut in two."""
    _shields.append(True)
    try:
        yield
    finally:
        _shields.pop()
        if not _shields and _waiting:
            number = _waiting[0]
            _waiting.clear()
            raise Stopped(number)


class MissingExtra(ImportError):
    """A package is not installed that only some commands need."""


def check_extra(extra: str, what: str, modules: tuple[str, ...]) -> None:
    """Raises MissingExtra if a module of an extra is missing; a command that imports it ends with that sentence.

    Args:
        extra: the extra in pyproject.toml.
        what: what needs it, such as `a search`.
        modules: the modules that must be there.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        sys.excepthook = _tell
        raise MissingExtra(f"{what} needs {' and '.join(missing)}: pip install 'mmvid[{extra}]'")


def _tell(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, MissingExtra):
        sys.stderr.write(f"error: {error}\n")
    else:
        sys.__excepthook__(kind, error, trace)


def run_command(main: Callable[[list[str]], None]) -> None:
    """Runs `main` on the words of the command line and exits.

    A ValueError or an OSError is bad input: it is shown as one sentence, status 1 (with the traceback, where
    MMVID_TRACEBACK is set). Any other exception is our own mistake and shows its traceback.
    """
    try:
        main(sys.argv[1:])
    except BrokenPipeError:  # whoever read our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain when it ends
    except (ValueError, OSError) as error:
        if os.environ.get("MMVID_TRACEBACK"):
            raise
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except Stopped as stopped:
        sys.stderr.write(f"stopped by {stopped}\n")
        raise SystemExit(128 + stopped.number) from None
