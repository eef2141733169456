"""Draws rebalances: what one would do, how far one is, and what to do next. Knows no server."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lookalike.cli.render import columns
from lookalike.cli.shard_table import age
from lookalike.rebalance import (
    RebalanceJob,
    RebalanceKind,
    RebalanceMove,
    RebalancePlan,
    RebalanceState,
    RebalanceStep,
    StrayRows,
)

_BAR_CELLS = 40
_UNITS = ("B", "KB", "MB", "GB", "TB")
_STYLES = {
    RebalanceState.RUNNING: "green",
    RebalanceState.DONE: "green",
    RebalanceState.STOPPED: "red",
}
# What a step does, for those who do not know its name.
_STEPS = {
    RebalanceStep.COPY: "copy rows",
    RebalanceStep.CATCH_UP: "catch up with writes",
    RebalanceStep.PAUSE: "pause writes, prove equal",
    RebalanceStep.FLIP: "flip the owner",
    RebalanceStep.CLEAN: "clean the source",
    RebalanceStep.UNDO: "undo the copy",
}


def plan(one: RebalancePlan) -> Iterator[RenderableType]:
    """Draw what a rebalance would do."""
    if not one.routes:
        yield "nothing has to move: every shard has its share"
        return
    yield _shares(one)
    yield ""
    routes = columns("from", "to", "slots", "rows", "size", "time", right=("slots", "rows", "size", "time"))
    for route in one.routes:
        figures = f"{route.slots:,}", f"{route.rows:,}", size(route.bytes), age(route.seconds)
        routes.add_row(Text(route.source), Text(route.target), *figures)
    yield routes
    yield (
        f"{one.slots:,} slots ({one.moved_fraction:.1%}), about {one.rows:,} rows and {size(one.bytes)}, "
        f"in {counted(one.batches, 'batch', 'batches')}; about {age(one.seconds)}"
    )


def job(one: RebalanceJob) -> Iterator[RenderableType]:
    """Draw how far a job is."""
    what = f"job {one.number}, {one.kind.value}{f' of {one.shard}' if one.shard else ''}: "
    yield Text.assemble(what, (one.state.value, _STYLES.get(one.state, "yellow")), f", {_time(one)}")
    bars = Table(box=None, show_header=False, pad_edge=False)
    bars.add_row("slots", _bar(one.slots_moved, one.slots), f"{one.slots_moved:,} of {one.slots:,}")
    bars.add_row("rows", _bar(one.rows_moved, one.rows), f"{one.rows_moved:,} of {one.rows:,}{_pace(one)}")
    yield bars
    yield f"{counted(one.batches_done, 'batch', 'batches')} of {one.batches:,}; {_pauses(one)}"
    if one.moves:
        yield _moves(one.moves)


def next_step(one: RebalanceJob) -> str:
    """Say what somebody may want to do about a job; empty where nothing is to be done."""
    match one.state, one.kind:
        case RebalanceState.STOPPED, _:
            return one.message or "`lookalike rebalance resume` has it try again, `lookalike rebalance cancel` ends it"
        case RebalanceState.PAUSED, _:
            return "`lookalike rebalance resume` has it go on, `lookalike rebalance cancel` ends it"
        case ((RebalanceState.RUNNING | RebalanceState.CANCELLING), _):
            return "`lookalike rebalance status --watch` shows how far it is"
        case RebalanceState.CANCELLED, _:
            left = f"{one.message}; " if one.message else ""
            more = "`lookalike rebalance reverse` takes that back" if one.slots_moved else "nothing has moved"
            return f"{left}what has moved stays where it is; {more}" if one.slots_moved else f"{left}{more}"
        case RebalanceState.DONE, RebalanceKind.DRAIN:
            return f"`lookalike shards remove {one.shard}` takes the empty shard out of the map"
    return ""


def strays(found: Sequence[StrayRows]) -> Table:
    """Draw where rows are in wrong places."""
    table = columns("replica", "rows in wrong places", "deleted", right=("rows in wrong places", "deleted"))
    for one in found:
        table.add_row(Text(one.replica), "?" if one.message else f"{one.rows:,}", f"{one.deleted:,}")
    return table


def size(count: float) -> str:
    """Write bytes in the unit that suits them.

    >>> size(999), size(1500), size(2.5e9)
    ('999 B', '1.5 KB', '2.5 GB')
    """
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


def counted(count: int, one: str, many: str) -> str:
    """Write so many of something.

    >>> counted(1, "batch", "batches"), counted(2000, "batch", "batches")
    ('1 batch', '2,000 batches')
    """
    return f"{count:,} {one if count == 1 else many}"


def _shares(one: RebalancePlan) -> Table:
    titles = "shard", "weight", "slots before", "after", "change"
    table = columns(*titles, "", right=titles[1:])
    for share in one.shares:
        change = share.slots_after - share.slots_before
        figures = f"{share.weight:g}", f"{share.slots_before:,}", f"{share.slots_after:,}", f"{change:+,}"
        table.add_row(Text(share.shard), *figures, "draining" if share.draining else "")
    return table


def _moves(moves: Sequence[RebalanceMove]) -> Table:
    table = columns("batch", "from", "to", "slots", "rows", "step", right=("batch", "slots", "rows"))
    for one in moves:
        figures = f"{one.slots:,}", f"{one.rows:,}"
        step = _STEPS.get(one.step, one.step.value)
        table.add_row(f"{one.number}", Text(one.source), Text(one.target), *figures, step)
    return table


def _bar(done: int, total: int) -> ProgressBar:
    # Where there is nothing to do, all of it is done.
    return ProgressBar(total=max(total, 1), completed=done if total else 1, width=_BAR_CELLS)


def _time(one: RebalanceJob) -> str:
    took = age(one.elapsed_s)
    if not one.active:
        return f"took {took}"
    return f"for {took}" + (f", {age(one.eta_s)} left" if one.eta_s is not None else "")


def _pace(one: RebalanceJob) -> str:
    limit = f", at most {one.rows_per_s_limit:,g}/s" if one.rows_per_s_limit else ""
    return (f", {one.rows_per_s:,.0f}/s" if one.rows_per_s else "") + limit


def _pauses(one: RebalanceJob) -> str:
    if not one.pauses:
        return "writes were not paused yet"
    longest = f", for {one.longest_pause_ms:,.0f} ms at most" if one.longest_pause_ms else ""
    return f"writes to a batch paused {counted(one.pauses, 'time', 'times')}{longest}"
