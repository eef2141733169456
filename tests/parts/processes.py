"""Finds the processes that a process has started, and waits until processes stand still."""

import time
from collections.abc import Iterable

import psutil

STOPS_S = 10.0


def descendants(pid: int) -> list[psutil.Process]:
    """Return a process's children and theirs.

    psutil's own `children` compares times of day, and leaves out a young child once the clock was set back a little.
    """
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process)
    found: list[psutil.Process] = []
    pids = [pid]
    while pids:
        few = children.get(pids.pop(), [])
        found += few
        pids += [one.pid for one in few]
    return found


def await_stop(processes: Iterable[psutil.Process]) -> None:
    """Return once processes that were sent SIGSTOP stand still: on another core they run on for a little while."""
    until = time.monotonic() + STOPS_S
    for process in processes:
        while process.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until, f"process {process.pid} runs on after SIGSTOP"
            time.sleep(0.001)
