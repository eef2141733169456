"""`lookalike doctor`: whether the shop is well, and what to do where it is not."""

import typer
from rich.text import Text

from lookalike.cli.desk import DEFAULT_SERVER, FAILED, JsonOption, ServerOption, opened
from lookalike.cli.doctor import Check, State, examine

_MARKS = {
    State.OK: ("ok", "green"),
    State.WARNING: ("warning", "yellow"),
    State.FAILED: ("FAILED", "red"),
    State.SKIPPED: ("skipped", "yellow"),
}


def doctor(server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Check the shop from end to end, and say what to do about what is wrong.

    Is the server there, does it serve, which models has it, does every replica answer and have all it should, and does
    a stored picture find itself? Exits with 1 if a check fails; a warning is about what mends itself, or costs nothing
    yet.
    """
    with opened(server, json) as desk:
        checks = []
        for check in examine(desk.client):
            checks.append(check)
            if not json:
                desk.show(None, _line(check))
        if json:
            desk.show({"checks": checks, "ok": not _failed(checks)})
        if _failed(checks):
            raise typer.Exit(FAILED)


def _failed(checks: list[Check]) -> bool:
    return any(check.state is State.FAILED for check in checks)


def _line(check: Check) -> Text:
    mark, style = _MARKS[check.state]
    advice = f"; {check.advice}" if check.advice else ""
    return Text.assemble((f"{mark:<8}", style), f"{check.name:<18}{check.seen}{advice}")
