"""A function over many tasks, each in a process of its own, a few at a time.

A process that is killed is noticed and named with its task, and no process outlives the one that started it. The
executors of the standard library can wait for ever where a process is killed while others are being started.
"""

import collections
import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")


def run_in_processes(
    function: Callable[[T], None], tasks: Iterable[T], processes: int, modules: Iterable[str] = ()
) -> Iterator[T]:
    """Calls `function(task)` for each task; yields the tasks as they are done.

    Args:
        function: a module's function; its module is imported once, not in every process.
        tasks: what can be pickled.
        processes: how many run at once.
        modules: further modules that are imported once, not in every process.

    Raises:
        ChildProcessError: if a process was killed.
        Exception: what the function raised. The other processes are killed then.
    """
    context = start_method([function.__module__, *modules])
    waiting = collections.deque(tasks)
    running: dict[Connection, tuple[BaseProcess, T]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(function, waiting[0], sender), daemon=True)
                process.start()
                sender.close()  # so that the receiver ends when the process does
                running[receiver] = process, waiting.popleft()
            for receiver in wait(list(running)):
                process, task = running.pop(receiver)
                _raise_failure(receiver, process, task)
                yield task
    finally:
        for receiver, (process, _) in running.items():
            process.kill()
            process.join()
            receiver.close()


def start_method(modules: Iterable[str]) -> BaseContext:
    """How processes are started here; `modules` are imported once, not in every one of them."""
    # Forking a process that has threads, as torch and MLflow start them, may lock it up.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["__main__", *modules])
    return context


def serve() -> None:
    """Begins a process that works for another: it leaves Ctrl-C to that one, and ends when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent sees to its children
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(function: Callable[[T], None], task: T, sender: Connection) -> None:
    serve()
    try:
        function(task)
    except Exception as error:
        error.add_note(traceback.format_exc())  # a traceback does not travel between processes
        sender.send(error)
    else:
        sender.send(None)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _raise_failure(receiver: Connection, process: BaseProcess, task: object) -> None:
    """Waits for a process that has answered or ended; raises what it raised."""
    failure: Exception | None = None
    with contextlib.closing(receiver):
        try:
            failure = receiver.recv()
        except EOFError:
            failure = ChildProcessError(f"the process of {task} was killed; start again to go on from there")
    process.join()
    if failure is not None:
        raise failure
