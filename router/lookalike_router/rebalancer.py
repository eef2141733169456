"""Runs the active rebalance, if that is this router's duty: several batches at a time, through whatever fails.

Knows no step of a move. The store says what is to be done and how far it is; a router that takes over goes on from
there.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from lookalike_router.background import every
from lookalike_router.core import Core
from lookalike_router.errors import LeaseLost, RouterError, ShardError
from lookalike_router.jobs import DUTY, LATE_S, Job, JobState, Move, Step
from lookalike_router.mover import COPY_ROWS_MAX, DELETE_ROWS_MAX, LEFT_SLOTS_MAX, Halted, Mover, Reins
from lookalike_router.replica import Replica
from lookalike_router.stride import Stride

log = logging.getLogger(__name__)

# While one batch is proven, others are copied and cleaned: mostly they wait for servers to show what they were told.
BATCHES_AT_ONCE = 8
# Beside them as many of those that others have left: they are a few slots each, and all waiting.
SMALL_AT_ONCE = 8
# When the router that runs the job dies, another one goes on after so long.
DUTY_LEASE_S = 5.0
# How soon an operator's word, or a batch that has ended, is noticed.
TICK_S = 0.25
# Copies wait while searches of a replica take so many times as long as before the job, and so much longer: the shop
# comes first. But no part of a batch waits for longer, or a job in a shop that has become slower would never end.
HURT_FACTOR, HURT_S = 2.0, 0.02
HURT_WAIT_S = 4.0
# What is left of a wait after rounding may be too short to move a clock.
WAIT_MIN_S = 0.001
# A batch that failed is tried again after so long, and each time later.
RETRY_S = 0.5
RETRY_MAX_S = 5.0
# A batch that comes to nothing for so long needs an operator. Servers start in less.
STALLED_S = 45.0
# When a job is cancelled, rows that no one reads are left where their server does not answer for so long.
LEFT_BEHIND_S = 10.0


@dataclass
class _Lane:
    """One batch under way, and what went wrong with it."""

    task: asyncio.Task[None] | None = None
    quiet_at: float = 0.0
    """Before this time of the loop nothing is proven."""
    failed_since: float | None = None
    failures: int = 0
    again_at: float = 0.0
    error: RouterError | None = None
    step: Step | None = None
    """Where it failed last: another step is progress."""


@dataclass
class _Run:
    """One job, as long as this router runs it."""

    job: Job
    lanes: dict[int, _Lane] = field(default_factory=dict)
    owed_rows: float = 0.0
    """Rows that were copied ahead of the rate, as of `owed_at`."""
    owed_at: float = 0.0
    copying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the batch whose turn it is to wait for the rate."""
    bearable_s: dict[str, float] = field(default_factory=dict)
    """By replica, how long searches may take."""
    left: set[str] = field(default_factory=set)
    """Replicas on which rows were left that no one reads."""
    lost: bool = False
    """Whether another router may run it by now."""

    def ahead_s(self, now: float) -> float:
        """Return for how long nothing may be copied, at the rate that an operator wants now."""
        rate = self.job.rows_per_s
        self.owed_rows = max(self.owed_rows - rate * (now - self.owed_at), 0.0) if rate > 0 else 0.0
        self.owed_at = now
        return self.owed_rows / rate if rate > 0 else 0.0


class Rebalancer:
    """Every router of a shop has one; the one on duty runs the job."""

    def __init__(self, core: Core) -> None:
        """Take the router's means; `start` begins the work."""
        self._core = core
        self._task: asyncio.Task[None] | None = None
        self._one_pause = asyncio.Lock()
        self._copies = defaultdict[str, Stride](partial(Stride, COPY_ROWS_MAX))
        self._deletes = defaultdict[str, Stride](partial(Stride, DELETE_ROWS_MAX))

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(every(self._core.timing.tend_s, self._look))

    async def close(self) -> None:
        """Stop where it stands; another router goes on from there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look(self) -> None:
        if not self._core.lease.moving or not await self._on_duty():
            return
        job = await self._core.store.job()
        if job is None or not job.state.active:
            return
        run = _Run(job)
        loop = asyncio.get_running_loop()
        lately = {one: one.health.lately_s(loop.time()) for one in self._replicas()}
        bearable = {one.name: max(HURT_FACTOR * s, s + HURT_S) for one, s in lately.items() if s is not None}
        run.bearable_s.update(bearable)
        for move in job.moves:
            # Whoever ran it before may have calls under way.
            late_s = LATE_S if move.step not in (Step.WAITING, Step.DONE, Step.UNDONE) else 0.0
            run.lanes[move.number] = _Lane(quiet_at=loop.time() + max(job.quiet_at - job.now, late_s))
        try:
            await self._run(run)
        finally:
            run.lost = True
            tasks = [lane.task for lane in run.lanes.values() if lane.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _on_duty(self) -> bool:
        return await self._core.store.take_duty(DUTY, self._core.router, DUTY_LEASE_S)

    async def _run(self, run: _Run) -> None:
        """Run the job until it is at an end, or another router's. Raises StoreFailed, LeaseLost."""
        loop = asyncio.get_running_loop()
        while await self._on_duty():
            job = await self._core.store.job()
            if job is None or job.number != run.job.number or not job.state.active:
                return
            run.job = job
            # Of a halted job too: what has ended would otherwise be waited for again and again.
            for move in job.moves:
                run.lanes.setdefault(move.number, _Lane())  # slots that another move has left
                self._collect(run, move)
            if job.state in (JobState.RUNNING, JobState.CANCELLING):
                todo = [move for move in job.moves if _todo(move, job.state)]
                if not todo:
                    await self._core.store.end_job(self._core.router, JobState.DONE, _left(run))
                    return
                await self._begin(run, todo)
            running = [lane.task for lane in run.lanes.values() if lane.task is not None]
            soonest = min((lane.again_at for lane in run.lanes.values() if lane.again_at > loop.time()), default=None)
            wait_s = TICK_S if soonest is None else min(TICK_S, soonest - loop.time())
            await (
                asyncio.wait(running, timeout=wait_s, return_when="FIRST_COMPLETED")
                if running
                else asyncio.sleep(wait_s)
            )

    async def _begin(self, run: _Run, todo: list[Move]) -> None:
        """Start batches as long as there is room; stop the job if one of them has come to nothing for too long."""
        now = asyncio.get_running_loop().time()
        large = [move for move in todo if len(move.batch) > LEFT_SLOTS_MAX]
        small = [move for move in todo if len(move.batch) <= LEFT_SLOTS_MAX]
        for move in (*large[:BATCHES_AT_ONCE], *small[:SMALL_AT_ONCE]):
            lane = run.lanes[move.number]
            if lane.task is not None or lane.again_at > now:
                continue
            stalled_s = now - lane.failed_since if lane.failed_since is not None else 0.0
            if run.job.state is JobState.RUNNING and stalled_s > STALLED_S and lane.error is not None:
                await self._core.store.end_job(self._core.router, JobState.STOPPED, _advice(move, lane.error))
                for each in run.lanes.values():  # once it is resumed all of them are tried anew
                    each.failed_since, each.failures, each.again_at = None, 0, 0.0
                return
            given_up = run.job.state is JobState.CANCELLING and stalled_s > LEFT_BEHIND_S
            lane.task = asyncio.ensure_future(self._moved(run, move, lane, given_up=given_up))

    async def _moved(self, run: _Run, move: Move, lane: _Lane, *, given_up: bool) -> None:
        reins = Reins(
            partial(self._may_go_on, run), partial(self._spend, run), self._one_pause, self._copies, self._deletes
        )
        mover = Mover(self._core, move, reins, lane.quiet_at)
        try:
            if given_up and isinstance(lane.error, ShardError) and move.step in (Step.CLEAN, Step.UNDO):
                await mover.give_up()
                run.left.add(lane.error.shard)
            elif run.job.state is JobState.CANCELLING and not move.step.flipped:
                await mover.undo()
            else:
                await mover.run()
        finally:
            lane.quiet_at = max(lane.quiet_at, mover.quiet_at)

    def _collect(self, run: _Run, move: Move) -> None:
        """Take note of how a batch's work ended."""
        lane = run.lanes[move.number]
        if lane.step is not move.step:
            lane.step, lane.failed_since, lane.failures = move.step, None, 0
        if lane.task is None or not lane.task.done():
            return
        task, lane.task = lane.task, None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLost):
            raise error
        if error is None or isinstance(error, Halted):
            lane.failed_since, lane.failures, lane.error = None, 0, None
            return
        if not isinstance(error, RouterError):
            log.error("a rebalance's move=%d failed", move.number, exc_info=error)
            error = RouterError(f"{type(error).__name__}; the server's log says more")
        now = asyncio.get_running_loop().time()
        lane.error, lane.failures = error, lane.failures + 1
        lane.failed_since = lane.failed_since if lane.failed_since is not None else now
        lane.again_at = now + min(RETRY_S * 2 ** (lane.failures - 1), RETRY_MAX_S)

    def _may_go_on(self, run: _Run, step: Step) -> None:
        """Raise Halted unless a move at this step may go on."""
        winding_up = run.job.state is JobState.CANCELLING and (step.flipped or step is Step.UNDO)
        if run.lost or not (run.job.state is JobState.RUNNING or winding_up):
            raise Halted("the rebalance is halted")

    async def _spend(self, run: _Run, rows: int) -> None:
        """Wait until so many rows may be copied; hear an operator who changes the rate or halts the job meanwhile."""
        loop = asyncio.get_running_loop()
        async with run.copying:
            hurts_until = loop.time() + HURT_WAIT_S
            while loop.time() < hurts_until and self._hurts(run, loop.time()):
                await asyncio.sleep(TICK_S)
                self._may_go_on(run, Step.COPY)
            while (wait_s := run.ahead_s(loop.time())) > 0:
                await asyncio.sleep(max(min(wait_s, TICK_S), WAIT_MIN_S))
                self._may_go_on(run, Step.COPY)
            self._may_go_on(run, Step.COPY)
            run.owed_rows += rows

    def _hurts(self, run: _Run, now: float) -> bool:
        """Say whether searches take longer than they may."""
        lately = ((one.name, one.health.lately_s(now)) for one in self._replicas())
        return any(s is not None and s > run.bearable_s.get(name, s) for name, s in lately)

    def _replicas(self) -> Iterator[Replica]:
        return (one for group in self._core.atlas.view.groups.values() for one in group.replicas)


def _todo(move: Move, state: JobState) -> bool:
    """Say whether there is anything to do for a move; what a cancelled job has not begun it leaves."""
    return not move.step.ended and not (state is JobState.CANCELLING and move.step is Step.WAITING)


def _advice(move: Move, error: RouterError) -> str:
    """Say why a job stopped and what to do."""
    batch = move.batch
    way = f"{len(batch)} slots on their way from {batch.source} to {batch.target} ({move.step.value})"
    shard = error.shard if isinstance(error, ShardError) else ""
    todo = "then `lookalike rebalance resume`, or `lookalike rebalance cancel` to leave the slots where they are"
    if not shard:
        return f"{way}: {error}; mend that, {todo}"
    name = shard.partition("/")[0]
    other = f", or take {shard} out (`lookalike replicas remove {shard}`)" if "/" in shard else ""
    kept = "; its rows stay on it until then" if name == batch.source and not move.step.flipped else ""
    return f"{way}: {error}; bring {name} back{other}, {todo}{kept}"


def _left(run: _Run) -> str:
    """Say what a cancelled job has left lying."""
    if not run.left:
        return ""
    which = ", ".join(sorted(run.left))
    todo = "`lookalike rebalance verify --repair` deletes them"
    return f"{which} did not answer and may hold rows that no one reads; {todo}"
