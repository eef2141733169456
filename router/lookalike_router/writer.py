"""Writes to one shard: one batch at a time, each made of the calls that waited. Knows no other shard.

A product is replaced in an order that a crash at any point leaves readable: new pictures first, under a newer
version, then those no longer named go. Until then readers drop them by their version.
"""

import asyncio
import enum
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.answer import ProductWrite
from lookalike_router.clock import HybridClock
from lookalike_router.errors import ShardError, ShardTimedOut
from lookalike_router.member import Away, Member
from lookalike_router.shard import Head, Row
from lookalike_router.slots import slot_of

# Products that wait for one shard. Beyond it callers wait for room, which holds their streams back.
QUEUE_MAX = 1_024
# Rows per batch: about 1 MB of vectors and at most 16 MB of documents, a quarter of what Milvus takes in one message.
BATCH_ROWS_MAX = 256


class Order(enum.Enum):
    """What else than storing it can be done to a product."""

    DELETE = "delete"
    """Delete all its pictures."""
    TIDY = "tidy"
    """Delete the pictures of older versions, which a crash left."""


@dataclass(frozen=True, eq=False)
class Job:
    """One product to write; `done` gets how many pictures went."""

    product_id: str
    write: ProductWrite | Order
    until: float
    done: asyncio.Future[int]

    @property
    def rows(self) -> int:
        """Return how many rows it writes, and 1 where it writes none: a batch has a limit to its jobs, too."""
        return len(self.write.pictures) if isinstance(self.write, ProductWrite) else 1


class Writer:
    """The one that writes to a shard."""

    def __init__(self, member: Member, clock: HybridClock) -> None:
        """Take the shard to write to; the first job starts the work."""
        self._member = member
        self._clock = clock
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue(QUEUE_MAX)
        self._held: Job | None = None
        self._task: asyncio.Task[None] | None = None

    async def put(self, product_id: str, write: ProductWrite | Order, until: float) -> int:
        """Write a product; return how many of its pictures went, once reads see it. Raises ShardError."""
        if isinstance(self._member.state, Away):
            raise self._member.state.error
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())
        job = Job(product_id, write, until, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await self._queue.put(job)
        except TimeoutError as error:
            raise ShardTimedOut(self._member.shard.name, "had no room for the write; nothing was written") from error
        done, _ = await asyncio.wait([job.done], timeout=max(until - time.monotonic(), 0))
        if not done:
            raise ShardTimedOut(self._member.shard.name, "did not confirm in time; whether it wrote is unknown")
        return job.done.result()

    async def close(self) -> None:
        """Finish what waits."""
        if self._task is not None:
            await self._queue.put(None)
            await self._task

    async def _work(self) -> None:
        while (first := self._held or await self._queue.get()) is not None:
            self._held = None
            await self._run(self._batch(first))

    def _batch(self, first: Job) -> list[Job]:
        """Return the jobs to do together: each product once, in the order in which they came."""
        jobs = {first.product_id: first}
        rows = first.rows
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is None:
                self._queue.put_nowait(None)
                break
            rows += job.rows
            if job.product_id in jobs or rows > BATCH_ROWS_MAX:
                self._held = job
                break
            jobs[job.product_id] = job
        return list(jobs.values())

    async def _run(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        for job in jobs:
            if job.until <= now:
                _fail(job, ShardTimedOut(self._member.shard.name, "was busy writing; nothing was written"))
        jobs = [job for job in jobs if job.until > now]
        if not jobs:
            return
        try:
            gone = await self._write(jobs, max(job.until for job in jobs))
        except ShardError as error:
            self._member.report(error)
            for job in jobs:
                _fail(job, error)
        except Exception as error:  # a bug is for its callers to see; the writes after it must find a writer
            for job in jobs:
                _fail(job, error)
        else:
            for job in jobs:
                if not job.done.done():
                    job.done.set_result(gone[job.product_id])

    async def _write(self, jobs: Sequence[Job], until: float) -> Mapping[str, int]:
        """Write one batch; return for each product how many pictures went."""
        shard = self._member.shard
        heads = await shard.heads([job.product_id for job in jobs], until - time.monotonic())
        rows = [row for job in jobs if isinstance(job.write, ProductWrite) for row in self._rows(job.write, heads)]
        gone = _gone(jobs, heads)
        try:
            if rows:
                await shard.upsert(rows, until - time.monotonic())
            if gone:
                await shard.delete(gone, until - time.monotonic())
        except ShardError as error:
            said = f"{error.reason}; whether it wrote is unknown, and the same write may be sent again"
            raise type(error)(error.shard, said) from error
        return {job.product_id: sum(head.product_id == job.product_id for head in gone) for job in jobs}

    def _rows(self, write: ProductWrite, heads: Sequence[Head]) -> list[Row]:
        known = max((head.version for head in heads if head.product_id == write.product_id), default=0)
        version = self._clock.next(after=known)
        slot = slot_of(write.product_id)
        return [
            Row(
                product_id=write.product_id,
                image_id=picture.image_id,
                slot=slot,
                version=version,
                model=write.model,
                attributes=write.attributes,
                picture=picture.facts,
                vector=picture.vector,
            )
            for picture in write.pictures
        ]


def _gone(jobs: Sequence[Job], heads: Sequence[Head]) -> list[Head]:
    """Return the pictures that the jobs leave no place for."""
    of: dict[str, list[Head]] = {job.product_id: [] for job in jobs}
    for head in heads:
        of[head.product_id].append(head)
    gone: list[Head] = []
    for job in jobs:
        found = of[job.product_id]
        match job.write:
            case Order.DELETE:
                gone += found
            case Order.TIDY:
                newest = max((head.version for head in found), default=0)
                gone += [head for head in found if head.version < newest]
            case ProductWrite(pictures=pictures):
                named = {picture.image_id for picture in pictures}
                gone += [head for head in found if head.image_id not in named]
    return gone


def _fail(job: Job, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error)
        job.done.exception()  # its caller may be gone; that is no warning
