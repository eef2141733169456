"""What the tests of the command line share: a command as it is typed, and its answer as a program reads it."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from typer.testing import Result

Cli = Callable[..., Result]


def said(result: Result) -> Any:
    """Return what a command printed with --json."""
    return json.loads(result.stdout)


class Typed:
    """A command that runs with a terminal as its stderr."""

    def __init__(self, process: "subprocess.Popen[str]", terminal: int) -> None:
        self.process = process
        self.shown = ""
        self._terminal = terminal

    def wait_for(self, text: str) -> None:
        """Read the terminal until it has shown `text`; the command's end ends this too."""
        while text not in self.shown:
            self.shown += os.read(self._terminal, 4096).decode(errors="replace")


@contextmanager
def typed(*arguments: str) -> Iterator[Typed]:
    """Run a command in a process of its own, and end it."""
    terminal, stderr = pty.openpty()
    command = [sys.executable, "-c", "from lookalike.cli import main; main()", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    ) as process:
        os.close(stderr)
        try:
            yield Typed(process, terminal)
        finally:
            process.kill()
            os.close(terminal)
