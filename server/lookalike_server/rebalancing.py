"""Plans, starts, steers and watches rebalances, as operators ask. Knows no wire, and moves nothing itself."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

from lookalike_router.answer import RebalancePlan, Strays
from lookalike_router.errors import MapConflict, StaleMap
from lookalike_router.jobs import Job
from lookalike_router.rebalance import Goal
from lookalike_router.router import Router
from lookalike_server.deadline import Deadline
from lookalike_server.errors import PlanOutdated
from lookalike_server.paced import paced
from lookalike_server.query import Drain, Rebalance

# How soon whoever watches sees a change; each look is one read of the store.
LOOK_EVERY_S = 0.5
# Someone watches, and a proxy on the way may end a call that says nothing.
PROGRESS_EVERY_S = 0.9


class Rebalancing:
    """One shop's rebalances; `stopping` is set once the server takes no more work."""

    def __init__(self, router: Router, stopping: asyncio.Event) -> None:
        self._router = router
        self._stopping = stopping

    async def planned(self, asked: Rebalance, deadline: Deadline) -> RebalancePlan:
        """Return what a rebalance would do."""
        return await self._router.plan_rebalance(asked.goal, deadline.remaining_s(), asked.rows_per_s)

    async def start(self, asked: Rebalance, deadline: Deadline) -> Job | None:
        """Start a rebalance; return None where nothing has to move."""
        with current():
            return await self._router.start_rebalance(asked.goal, deadline.remaining_s(), asked.rows_per_s)

    async def drain(self, asked: Drain, deadline: Deadline) -> Job | None:
        """Start to empty a shard, or let it own slots again; return None where nothing has to move."""
        if asked.undo:
            await self._router.undrain(asked.shard)
            return None
        goal = Goal(drain=asked.shard, batch_slots=asked.batch_slots)
        return await self.start(Rebalance(goal, asked.rows_per_s), deadline)

    async def reverse(self, rows_per_s: float) -> Job:
        """Start to take the last job back."""
        last = await self._router.job()
        gone = given(last) - {place.name for place in self._router.topology().shards}
        if last is not None and gone:
            names = ", ".join(sorted(gone))
            raise MapConflict(f"job {last.number} took slots from {names}, removed since; nothing can go back there")
        with current():
            return await self._router.reverse_rebalance(rows_per_s)

    async def throttle(self, rows_per_s: float) -> Job:
        """Have the active job copy faster or slower; it stays running or paused."""
        return await self._router.steer_rebalance(rows_per_s=rows_per_s)

    def watched(self) -> AsyncGenerator[Job, None]:
        """Yield the newest job, at least every second, until it has ended; nothing where there never was one."""
        return paced(self._looks(), PROGRESS_EVERY_S, lambda last: last, self._stopping)

    def strays(self, *, repair: bool) -> AsyncGenerator[tuple[Strays, ...], None]:
        """Look for rows in wrong places; yield the replicas looked at since the last time, at least every second."""
        return paced(self._found(repair=repair), PROGRESS_EVERY_S, lambda last: (), self._stopping)

    async def _looks(self) -> AsyncIterator[Job]:
        first = job = await self._router.job()
        while job is not None and first is not None:
            if job.number != first.number:
                told = "`lookalike rebalance status` shows that one"
                raise MapConflict(f"job {first.number} has ended, and job {job.number} has begun since; {told}")
            yield job
            if not job.state.active:
                return
            await asyncio.sleep(LOOK_EVERY_S)
            job = await self._router.job()

    async def _found(self, *, repair: bool) -> AsyncIterator[tuple[Strays, ...]]:
        # Without a first word there would be none to repeat while the first replica is looked at.
        yield ()
        async for one in self._router.strays(delete=repair):
            yield (one,)


def given(job: Job | None) -> set[str]:
    """Return the shards that a job has taken slots from."""
    return {move.batch.source for move in job.moves if move.step.flipped} if job is not None else set()


@contextmanager
def current() -> Iterator[None]:
    """Say of a plan that the map has overtaken that its caller may ask anew."""
    try:
        yield
    except StaleMap as error:
        raise PlanOutdated(f"{error}; ask again, which plans anew") from error
