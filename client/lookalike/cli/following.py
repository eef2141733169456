"""Shows a rebalance until it ends, and what came of it: for every command that starts one or looks at one."""

from contextlib import closing, nullcontext

import typer
from rich.console import Group
from rich.live import Live

from lookalike.cli import rebalance_table
from lookalike.cli.desk import FAILED, INTERRUPTED, Desk
from lookalike.errors import LookalikeError, Unavailable
from lookalike.rebalance import RebalanceJob, RebalanceState

_AGAIN = "`lookalike rebalance status --watch` shows it again"
_NONE = "there was no rebalance yet; `lookalike rebalance plan` shows what one would do"


def show(desk: Desk, job: RebalanceJob | None) -> None:
    """Show how far a job is, and what to do next."""
    desk.show(job, *(rebalance_table.job(job) if job is not None else (_NONE,)))
    if job is not None and (told := rebalance_table.next_step(job)):
        if job.state is RebalanceState.STOPPED:
            desk.warn(told)
        else:
            desk.hint(told)


def follow(desk: Desk, *, cancelled_is_well: bool = False) -> None:
    """Watch the newest job; exit with 1 unless all of it was done. Ctrl-C ends the watching, not the job."""
    try:
        job = _watched(desk)
    except KeyboardInterrupt:
        desk.warn(f"stopped watching; the job goes on: {_AGAIN}, `lookalike rebalance cancel` ends it")
        raise typer.Exit(INTERRUPTED) from None
    except LookalikeError:
        desk.warn(f"not watched any more; a job goes on by itself: {_AGAIN}")
        raise
    show(desk, job)
    well = (RebalanceState.DONE, RebalanceState.CANCELLED) if cancelled_is_well else (RebalanceState.DONE,)
    if job is not None and job.state not in well:
        raise typer.Exit(FAILED)


def _watched(desk: Desk) -> RebalanceJob | None:
    """Draw the newest job while it runs; return it as it ended, or stopped."""
    hidden = desk.as_json or not desk.err.is_terminal
    live = None if hidden else Live(console=desk.err, transient=True)
    job = None
    with closing(desk.client.rebalance.watch()) as jobs, live or nullcontext():
        for job in jobs:
            if live is not None:
                live.update(Group(*rebalance_table.job(job)))
            if job.state is RebalanceState.STOPPED:
                return job
    if job is not None and job.active:
        raise Unavailable("the server ended the watching before the job was done", reason="STOPPING")
    return job
