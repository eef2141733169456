"""Bars for long work; they show on a terminal only. Knows no server."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Draw the rate, as measured over the last seconds."""
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


def counted(console: Console, hidden: bool = False) -> Progress:
    """Return a bar for so many of so many, with a rate and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=hidden or not console.is_terminal)


def fraction(console: Console, hidden: bool = False) -> Progress:
    """Return a bar for a part of a whole, with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=hidden or not console.is_terminal)
