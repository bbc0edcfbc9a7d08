"""Whether the process that a run or a claim belongs to still runs: machine, number and start tell it apart."""

import os
import platform

import psutil


def this_process() -> str:
    """Machine, number and start of this process: numbers alone are used again."""
    return f"{platform.node()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def is_here(process: str) -> bool:
    """Whether a process, as `this_process` tells it, runs or ran on this machine."""
    return process.partition(":")[0] == platform.node()


def is_gone(process: str) -> bool:
    """Whether a process, as `this_process` tells it, ran on this machine and runs no more."""
    if not is_here(process):
        return False
    number, _, started = process.partition(":")[2].partition(":")
    try:
        return f"{psutil.Process(int(number)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True
