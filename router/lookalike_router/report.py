"""Asks every replica how it is, for operators. Changes nothing."""

import asyncio
from collections.abc import Mapping

from lookalike_router.answer import ReplicaReport, ShardReport, State
from lookalike_router.atlas import View
from lookalike_router.errors import ShardError, ShardRefused, ShardTimedOut, StoreFailed
from lookalike_router.fill import filled_fraction, filling_duty
from lookalike_router.group import Group
from lookalike_router.replica import GRACE_S, Away, InUse, Replica
from lookalike_router.store import HintCount, Store, Sync

NO_HINTS = HintCount(0, 0.0)


async def reports(store: Store, view: View, deadline_s: float) -> list[ShardReport]:
    """Return how every shard of the map is, by name."""
    until = asyncio.get_running_loop().time() + deadline_s
    try:
        counts, away = await store.hint_counts(), ""
    except StoreFailed as error:
        counts, away = {}, f"hints are unknown: {error}"
    groups = [view.groups[name] for name in sorted(view.groups)]
    asked = [(group, replica) for group in groups for replica in group.replicas]
    found = await asyncio.gather(*(_replica(store, group, one, counts, away, until) for group, one in asked))
    return [
        ShardReport(
            group.name,
            view.placement.weights[group.name],
            group.ranges,
            tuple(report for (of, _), report in zip(asked, found, strict=True) if of is group),
            group.name in view.map.draining,
        )
        for group in groups
    ]


async def _replica(
    store: Store, group: Group, replica: Replica, counts: Mapping[str, HintCount], away: str, until: float
) -> ReplicaReport:
    rows, error = await _rows(group, replica, until)
    state = State.HEALTHY
    if error is not None:
        state = State.REFUSED if isinstance(error, ShardRefused) else State.UNREACHABLE
    hints = counts.get(replica.name, NO_HINTS)
    return ReplicaReport(
        name=replica.name,
        uri=replica.shard.uri,
        sync=replica.sync,
        state=state,
        message=error.reason if error is not None else away,
        hints=hints.pending,
        oldest_hint_s=hints.oldest_s,
        filled=await _filled(store, replica),
        rows=rows,
        p50_ms=replica.health.p50_ms,
        p95_ms=replica.health.p95_ms,
        server_version=replica.state.probe.server_version if isinstance(replica.state, InUse) else "",
    )


async def _rows(group: Group, replica: Replica, until: float) -> tuple[int, ShardError | None]:
    """Return how many rows a replica has in its shard's slots, or why it does not say."""
    if isinstance(replica.state, Away):
        return 0, replica.state.error
    left_s = until - asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(left_s + GRACE_S):
            return await replica.shard.count(group.ranges, None, left_s), None
    except TimeoutError:
        late = ShardTimedOut(replica.name, f"did not answer in {left_s:.1f} s")
        replica.report(late)
        return 0, late
    except ShardError as error:
        replica.report(error)
        return 0, error


async def _filled(store: Store, replica: Replica) -> float:
    if replica.sync is not Sync.FILLING:
        return 1.0
    try:
        return filled_fraction(await store.progress(filling_duty(replica.name)))
    except StoreFailed:
        return 0.0
