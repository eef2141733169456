"""Plans rebalances and starts them, and looks for rows in wrong places, as operators ask. Moves nothing itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.answer import RebalancePlan, Route, ShardShare, Strays
from lookalike_router.balance import Batch, Pin, balanced, batches
from lookalike_router.columns import document
from lookalike_router.core import Core
from lookalike_router.errors import LeaseLost, MapConflict, ShardError, ShardUnreachable
from lookalike_router.group import Group
from lookalike_router.jobs import DUTY, LATE_S, Job, JobKind, pace, removable
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import DIM
from lookalike_router.slots import SLOTS, SlotRange, ranges
from lookalike_router.store import Sync
from lookalike_router.windows import Width

# A batch of so many rows is proven in a fraction of a second; what it costs beside copying is the same for any size.
BATCH_ROWS = 4_000
# ... and of so many slots, where there are few rows: each batch pauses writes to its slots once.
BATCH_SLOTS_MAX = 1_024
# Where nothing was moved yet: two cores shared with four standalone servers.
RATE_UNKNOWN = 3_000.0
# Rows whose attributes are weighed for an estimate, and what a row needs beside them and its vector.
SAMPLE_ROWS = 200
ROW_BYTES = 200
CALL_DEADLINE_S = 10.0
EVERYWHERE = SlotRange(0, SLOTS - 1)


@dataclass(frozen=True)
class Goal:
    """What a rebalance is to bring about: every shard has its share, or `drain` owns nothing."""

    drain: str = ""
    pins: tuple[Pin, ...] = ()
    batch_slots: int = 0
    """Slots that move together; 0: as many as hold a few thousand rows."""


@dataclass(frozen=True)
class _Source:
    """What is known of a shard that gives slots."""

    rows_per_slot: float
    row_bytes: float


async def planned(
    core: Core, goal: Goal, rows_per_s: float, until: float
) -> tuple[RebalancePlan, list[tuple[Batch, int]]]:
    """Return what a rebalance would do, for people and for the store. Raises MapConflict, ShardError, StoreFailed."""
    await core.atlas.refresh()
    view = core.atlas.view
    if goal.drain and goal.drain not in view.groups:
        raise MapConflict(f"there is no shard {goal.drain}; there are {', '.join(sorted(view.groups))}")
    draining = view.map.draining | ({goal.drain} if goal.drain else set())
    weights = {shard: weight for shard, weight in view.placement.weights.items() if shard not in draining}
    owners = view.placement.owners
    wanted = balanced(owners, weights, goal.pins)
    giving = {source for source, target in zip(owners, wanted, strict=True) if source != target}
    sources = {shard: await _source(view.groups[shard], until) for shard in sorted(giving)}
    last = await core.store.job()
    rate = rows_per_s or (pace(last) if last is not None else 0.0) or RATE_UNKNOWN
    moves = [
        (batch, round(len(batch) * sources[batch.source].rows_per_slot))
        for batch in batches(owners, wanted, goal.batch_slots or _batch_slots(sources))
    ]
    shares = tuple(
        ShardShare(shard, view.placement.weights[shard], shard in draining, owners.count(shard), wanted.count(shard))
        for shard in sorted(view.groups)
    )
    return RebalancePlan(view.epoch, _routes(moves, sources, rate), shares, len(moves)), moves


def backwards(last: Job | None) -> list[tuple[Batch, int]]:
    """Return the moves that take back what a job has moved, the last one first. Raises MapConflict."""
    if last is None or last.state.active:
        raise MapConflict("no rebalance has ended that could be taken back; cancel an active one first")
    moves = [
        (Batch(move.batch.target, move.batch.source, move.batch.slots), move.rows)
        for move in reversed(last.moves)
        if move.step.flipped
    ]
    if not moves:
        raise MapConflict(f"job {last.number} has moved nothing that could be taken back")
    return moves


async def start(core: Core, goal: Goal, rows_per_s: float, until: float) -> Job | None:
    """Start a rebalance; return None where nothing has to move. Raises JobActive, and as `planned`."""
    _, moves = await planned(core, goal, rows_per_s, until)
    if not moves:
        if goal.drain:
            await core.store.set_draining(goal.drain, True)
        return None
    kind = JobKind.DRAIN if goal.drain else JobKind.BALANCE
    return await core.store.start_job(kind, moves, shard=goal.drain, rows_per_s=rows_per_s)


async def reverse(core: Core, rows_per_s: float) -> Job:
    """Start a job that takes the last one back; what it drained is to own slots again."""
    last = await core.store.job()
    moves = backwards(last)
    job = await core.store.start_job(JobKind.REVERSE, moves, rows_per_s=rows_per_s)
    if last is not None and last.shard:
        await core.store.set_draining(last.shard, False)
    return job


async def strays(core: Core, *, delete: bool) -> AsyncIterator[Strays]:
    """Look on every replica for rows in slots that its shard does not own, and delete them where that is asked for.

    Raises MapConflict while a rebalance is active: its copies are such rows.
    """
    await _alone(core)
    for name in sorted(core.atlas.view.groups):
        for replica in core.atlas.view.groups[name].replicas:
            try:
                yield await _strays(core, name, replica, delete=delete)
            except ShardError as error:
                replica.report(error)
                if delete:
                    # What was told to it may come late, and must not meet rows that a rebalance brought meanwhile.
                    await core.store.take_duty(DUTY, core.router, LATE_S)
                yield Strays(replica.name, 0, 0, error.reason)


async def emptied(core: Core, name: str, until: float) -> None:
    """Return if no replica of a shard holds a row; raise MapConflict if one does, or does not say."""
    for replica in core.atlas.view.groups[name].replicas:
        try:
            rows = await _rows(replica, (EVERYWHERE,), until)
        except ShardError as error:
            raise MapConflict(
                f"{error}; nobody knows whether it is empty: bring it back, or use --force if it is gone for good"
            ) from error
        if rows:
            raise MapConflict(
                f"{replica.name} still holds {rows:,} rows that no one reads; "
                "`lookalike rebalance verify --repair` deletes them"
            )


async def remove(core: Core, name: str, until: float, *, force: bool) -> None:
    """Take a shard out of the map; see Router.remove_shard."""
    await core.atlas.refresh()
    view = core.atlas.view
    removable(name, view.groups, view.placement.owners, await core.store.job())
    if not force:
        await emptied(core, name, until)
    await core.store.remove_shard(name)
    await core.lease.seen_by_all((await core.store.look()).epoch, until)


async def _alone(core: Core) -> None:
    job = await core.store.job()
    if job is not None and job.state.active:
        raise MapConflict(f"job {job.number} is {job.state.value}; rows in wrong places are counted when it has ended")
    await core.atlas.refresh()


async def _strays(core: Core, shard: str, replica: Replica, *, delete: bool) -> Strays:
    group = core.atlas.view.groups[shard]
    until = asyncio.get_running_loop().time() + CALL_DEADLINE_S
    everywhere = await _rows(replica, (EVERYWHERE,), until)
    found = everywhere - (await _rows(replica, group.ranges, until) if group.ranges else 0)
    if found <= 0 or not delete:
        return Strays(replica.name, max(found, 0), 0, "")
    width = Width()
    width.learn(EVERYWHERE, everywhere)
    deleted = 0
    for run in ranges(slot for slot, owner in enumerate(core.atlas.view.placement.owners) if owner != shard):
        left: SlotRange | None = run
        while left is not None:
            window = width.cut(left)
            deleted += await _deleted(core, shard, replica, window)
            left = SlotRange(window.last + 1, left.last) if window.last < left.last else None
    return Strays(replica.name, found, deleted, "")


async def _deleted(core: Core, shard: str, replica: Replica, window: SlotRange) -> int:
    """Delete the rows of some slots on a replica whose shard does not own them; return how many there were."""
    heads = await replica.shard.heads_in((window,), CALL_DEADLINE_S)
    if not heads:
        return 0
    # While this router is on duty no other moves slots.
    if not await core.store.take_duty(DUTY, core.router, LATE_S):
        raise LeaseLost("a rebalance has begun; try again when it has ended")
    await _alone(core)
    owners = core.atlas.view.placement.owners
    if any(owners[slot] == shard for slot in range(window.first, window.last + 1)) or not core.lease.valid:
        raise LeaseLost("the map has changed meanwhile; try again")
    await replica.shard.write((), heads, CALL_DEADLINE_S)
    return len(heads)


async def _source(group: Group, until: float) -> _Source:
    """Count the rows of a shard, and weigh some, on whichever of its replicas answers. Raises ShardError."""
    error: ShardError = ShardUnreachable(group.name, "has no replica that holds everything; slots cannot leave it")
    for replica in group.replicas:
        if replica.sync is not Sync.IN_SYNC:
            continue
        try:
            rows = await _rows(replica, group.ranges, until)
            deadline_s = until - asyncio.get_running_loop().time()
            some = await replica.shard.scan(group.ranges[:1], None, SAMPLE_ROWS, deadline_s)
        except ShardError as trouble:
            replica.report(trouble)
            error = trouble
            continue
        texts = [len(document(row.attributes, row.picture).encode()) for row in some]
        slots = sum(len(run) for run in group.ranges)
        return _Source(rows / slots, DIM * 4 + ROW_BYTES + (sum(texts) / len(texts) if texts else 0.0))
    raise error


async def _rows(replica: Replica, slots: Sequence[SlotRange], until: float) -> int:
    if isinstance(replica.state, Away):
        raise replica.state.error
    return await replica.shard.count(slots, None, until - asyncio.get_running_loop().time())


def _batch_slots(sources: Mapping[str, _Source]) -> int:
    densest = max((source.rows_per_slot for source in sources.values()), default=0.0)
    return max(1, min(BATCH_SLOTS_MAX, int(BATCH_ROWS / densest) if densest else BATCH_SLOTS_MAX))


def _routes(moves: Sequence[tuple[Batch, int]], sources: Mapping[str, _Source], rate: float) -> tuple[Route, ...]:
    slots: dict[tuple[str, str], int] = {}
    for batch, _ in moves:
        pair = batch.source, batch.target
        slots[pair] = slots.get(pair, 0) + len(batch)
    found = []
    for (source, target), count in sorted(slots.items()):
        rows = count * sources[source].rows_per_slot
        found.append(Route(source, target, count, round(rows), round(rows * sources[source].row_bytes), rows / rate))
    return tuple(found)
