"""Finds the processes that a process has started."""

import psutil


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
