"""Starts processes that die with whoever started them, so that a killed test leaves nothing behind."""

import sys
from collections.abc import Sequence

# The kernel kills what comes after this line together with the thread that started it. Not in a preexec_fn, which forks
# a process whose gRPC has threads: now and then the child would end before it has begun.
DIE_TOGETHER = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"


def bound(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` so."""
    return [sys.executable, "-c", DIE_TOGETHER, *command]
