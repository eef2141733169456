"""Lets calls that wait while a thread is busy join its next batch. Knows nothing of what the batches hold."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from lookalike_server.deadline import Clock, Deadline
from lookalike_server.errors import Overloaded, ShuttingDown, TooLate

In = TypeVar("In")
Out = TypeVar("Out")

# Before the first batch has run nobody knows how long one takes.
ITEM_S_ASSUMED = 0.1
# The newest batch counts this much in the mean: a change of load shows after a handful.
NEWEST_WEIGHT = 0.3
# Sooner than this a client that was refused only adds load.
RETRY_AFTER_S_MIN = 0.1


@dataclass(frozen=True)
class Ran(Generic[Out]):
    """What became of one item, and when its batch ran."""

    result: Out
    started_at: float
    ended_at: float


@dataclass(frozen=True, eq=False)
class Job(Generic[In, Out]):
    """One item in line, and who waits for it."""

    item: In
    deadline: Deadline
    future: "asyncio.Future[Ran[Out]]"

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return not self.future.done()


class Line(Generic[In, Out]):
    """Jobs that wait, first come first served, at most `waiting_max` of them."""

    def __init__(self, waiting_max: int, batch_max: int) -> None:
        self.waiting_max = waiting_max
        self.batch_max = batch_max
        self._jobs: deque[Job[In, Out]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def join(self, jobs: Sequence[Job[In, Out]]) -> bool:
        """Let all of `jobs` wait, or none where there is no room for all."""
        if len(self._jobs) + len(jobs) > self.waiting_max:
            self._jobs = deque(job for job in self._jobs if job.wanted)  # those who left make room
        if len(self._jobs) + len(jobs) > self.waiting_max:
            return False
        self._jobs.extend(jobs)
        return True

    def take(self) -> tuple[list[Job[In, Out]], list[Job[In, Out]]]:
        """Remove and return the next batch, and the jobs before its end whose deadline has passed."""
        batch: list[Job[In, Out]] = []
        late: list[Job[In, Out]] = []
        while self._jobs and len(batch) < self.batch_max:
            job = self._jobs.popleft()
            if job.wanted:
                (late if job.deadline.passed else batch).append(job)
        return batch, late


class Worker:
    """A few threads that batchers share; each thread runs one batch at a time."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads = threads
        self.turn = asyncio.Semaphore(threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In]) -> Sequence[Out]:
        """Run a batch on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, items)

    def close(self) -> None:
        """Let the threads go; they must be idle."""
        self._executor.shutdown()


@dataclass(frozen=True)
class Answer(Generic[Out]):
    """What became of a call's items, in their order, and how long they waited and ran, in seconds."""

    results: list[Out]
    queue_s: float = field(compare=False)
    run_s: float = field(compare=False)


class Batcher(Generic[In, Out]):
    """Runs items through a blocking function in batches, never waiting for a batch to fill."""

    def __init__(
        self,
        stage: str,
        work: Callable[[Sequence[In]], Sequence[Out]],
        worker: Worker,
        *,
        batch_max: int,
        waiting_max: int,
        clock: Clock = time.monotonic,
    ) -> None:
        """`stage` completes "before the server could"; `work` returns one result for each item, in their order."""
        self._stage = stage
        self._work = work
        self._worker = worker
        self._line: Line[In, Out] = Line(waiting_max, batch_max)
        self._clock = clock
        self._pumps: set[asyncio.Task[None]] = set()
        self._closing = False
        self._item_s = ITEM_S_ASSUMED

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, items: Sequence[In], deadline: Deadline) -> Answer[Out]:
        """Return a result for each of `items`, or raise the first error: Overloaded, TooLate or the work's own."""
        deadline.check(self._stage)
        if self._closing:
            raise ShuttingDown("the server is stopping; send the call to another one, or again later")
        loop = asyncio.get_running_loop()
        jobs: list[Job[In, Out]] = [Job(item, deadline, loop.create_future()) for item in items]
        if not self._line.join(jobs):
            waiting = f"{len(self._line)} items wait to {self._stage}, {self._line.waiting_max} may"
            raise Overloaded(f"{waiting}; try again later", self._retry_after_s())
        joined_at = self._clock()
        self._pump()
        try:
            ran = await asyncio.gather(*(job.future for job in jobs))
        finally:
            for job in jobs:
                job.future.cancel()  # after an error nobody wants the others; it leaves finished ones alone
        started_at = min((one.started_at for one in ran), default=joined_at)
        ended_at = max((one.ended_at for one in ran), default=joined_at)
        return Answer([one.result for one in ran], started_at - joined_at, ended_at - started_at)

    async def close(self) -> None:
        """Refuse new calls and finish those that were accepted."""
        self._closing = True
        while self._pumps:
            await asyncio.wait(self._pumps)

    def _retry_after_s(self) -> float:
        return max(RETRY_AFTER_S_MIN, len(self._line) * self._item_s / self._worker.threads)

    def _pump(self) -> None:
        """See that tasks carry batches to the worker: one for each that waits, as far as it has threads."""
        batches = -(-len(self._line) // self._line.batch_max)
        for _ in range(min(batches, self._worker.threads - len(self._pumps))):
            self._pumps.add(asyncio.get_running_loop().create_task(self._carry()))

    async def _carry(self) -> None:
        while self._line:
            # The batch is made when the thread is free, not before: so whoever came meanwhile is in it.
            async with self._worker.turn:
                batch, late = self._line.take()
                for job in late:
                    job.future.set_exception(TooLate(self._stage))
                if batch:
                    await self._run(batch)
        # In the same step as the look at the line: an item that joins now must find that this pump is gone.
        self._pumps.remove(asyncio.current_task())  # type: ignore[arg-type]  # it runs in one

    async def _run(self, batch: Sequence[Job[In, Out]]) -> None:
        started_at = self._clock()
        try:
            results = await self._worker.run(self._work, [job.item for job in batch])
            outcomes = [(job, result) for job, result in zip(batch, results, strict=True)]
        except Exception as error:  # whatever it is, it belongs to those who asked, not to the line
            for job in batch:
                if job.wanted:
                    job.future.set_exception(error)
            return
        ended_at = self._clock()
        self._item_s += NEWEST_WEIGHT * ((ended_at - started_at) / len(batch) - self._item_s)
        for job, result in outcomes:
            if job.wanted:
                job.future.set_result(Ran(result, started_at, ended_at))
