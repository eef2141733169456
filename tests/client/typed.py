"""What the tests of the command line share: a command as it is typed, and its answer as a program reads it."""

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

Cli = Callable[..., Result]


def said(result: Result) -> Any:
    """Return what a command printed with --json."""
    return json.loads(result.stdout)
