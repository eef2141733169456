"""Brings one batch to every replica of a shard at once, and says who has it. Knows no store.

A replica that fails or is late is not waited for once another one has the batch: it gets a hint.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lookalike_router.errors import ShardError, ShardFailed, ShardTimedOut
from lookalike_router.group import Group
from lookalike_router.replica import GRACE_S, Away, Replica
from lookalike_router.shard import Head, Row
from lookalike_router.store import Begun

# A write that a replica has not confirmed by now is as good as lost; less than RECHECK_AFTER_S of the store, so that
# one which comes late is found by the recheck. A batch takes half a second on a busy standalone.
WRITE_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Plan:
    """What to write: new rows, and for each product what was taken; its older rows go."""

    rows: Sequence[Row]
    begun: Mapping[str, Begun]
    may_send: Callable[[], bool]
    """Whether this router may still write: it may have slept longer than its lease since it took hold."""


@dataclass
class Applied:
    """What came of one replica."""

    done: bool = False
    sent: bool = False
    """Whether a write was sent to it; if it is not done, it may still happen."""
    error: ShardError | None = None
    gone: dict[str, int] = field(default_factory=dict)
    """Pictures that the product had there, by product."""
    heads: Sequence[Head] = ()
    """The rows of the products that it had."""
    closed: bool = False
    """Whether nobody waits any more: what was not sent by then must not be."""


async def apply(
    group: Group, plan: Plan, in_sync: Collection[str], until: float, patience_s: float
) -> dict[str, Applied]:
    """Write to every replica that can be reached; return what came of each. The late ones end by themselves."""
    loop = asyncio.get_running_loop()
    until = min(until, loop.time() + WRITE_DEADLINE_S)
    outcome = {replica.name: Applied() for replica in group.replicas}
    tasks: dict[asyncio.Task[None], str] = {}
    for replica in group.replicas:
        task = asyncio.ensure_future(_apply(replica, plan, until, outcome[replica.name]))
        task.add_done_callback(_seen)
        tasks[task] = replica.name
    waiting: set[asyncio.Task[None]] = set(tasks)
    ends = until + GRACE_S
    while waiting and loop.time() < ends:
        done, waiting = await asyncio.wait(
            waiting, timeout=max(ends - loop.time(), 0), return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()  # anything but a ShardError, which _apply keeps, is a bug
            if outcome[tasks[task]].done and tasks[task] in in_sync:
                ends = min(ends, loop.time() + patience_s)
    return {name: _closed(name, one) for name, one in outcome.items()}


async def _apply(replica: Replica, plan: Plan, until: float, into: Applied) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(replica.state, Away):
        into.error = replica.state.error
        return
    try:
        heads = await replica.shard.heads(list(plan.begun), until - loop.time())
        into.heads = heads
        gone = _older(replica.name, heads, plan)
        if into.closed or loop.time() >= until or not plan.may_send():
            raise ShardTimedOut(replica.name, "was too late to be written to")
        into.sent = True
        await replica.shard.write(plan.rows, gone, until - loop.time())
        into.gone = {name: pictures_of(heads, one) for name, one in plan.begun.items()}
        into.done = True
    except ShardError as error:
        into.error = error
        replica.report(error)


def pictures_of(heads: Sequence[Head], begun: Begun) -> int:
    """Return how many pictures a product had: those of its newest version that lives."""
    versions = [head.version for head in heads if head.product_id == begun.product_id and head.version > begun.deleted]
    return versions.count(max(versions)) if versions else 0


def _older(name: str, heads: Sequence[Head], plan: Plan) -> list[Head]:
    """Return the rows that the new ones replace."""
    for head in heads:
        if head.version >= plan.begun[head.product_id].version:
            raise ShardFailed(
                name, "holds rows newer than the store's clock; was an old copy of the store brought back?"
            )
    return list(heads)


def _closed(name: str, one: Applied) -> Applied:
    """Close what came of a replica, and return a copy that a late end does not change any more."""
    one.closed = True
    late = None if one.done or one.error else ShardTimedOut(name, "did not confirm the write in time")
    return Applied(one.done, one.sent, one.error or late, dict(one.gone), one.heads, closed=True)


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # of a late one nobody else asks
