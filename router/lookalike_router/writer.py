"""Writes to one shard: one batch at a time, each made of the calls that waited. Knows no other shard.

A batch takes hold of its products in the store, writes to every replica that can be reached, and leaves in one
transaction what must not be lost: hints for the replicas that lack it, tombstones, answers. Only then is it
acknowledged. New rows are written beside the old ones, which go afterwards: a crash at any point leaves both readable,
and the newer version wins.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.answer import ProductWrite, Request
from lookalike_router.apply import Applied, Plan, apply
from lookalike_router.core import Core
from lookalike_router.decide import took_effect
from lookalike_router.errors import Repeated, RequestConflict, RouterError, ShardTimedOut, ShardUnreachable
from lookalike_router.group import Group
from lookalike_router.shard import Row
from lookalike_router.slots import slot_of
from lookalike_router.store import Answer, Begun, Finish, Sync

# Products that wait for one shard. Beyond it callers wait for room, which holds their streams back.
QUEUE_MAX = 1_024
# Rows per batch: about 1 MB of vectors and at most 16 MB of documents, a quarter of what Milvus takes in one message.
BATCH_ROWS_MAX = 256
# How soon a product that another writer holds is tried again.
BUSY_S = 0.02


@dataclass(frozen=True, eq=False)
class WriteJob:
    """One product to write, or to delete where `write` is None; `done` gets how many pictures went."""

    product_id: str
    write: ProductWrite | None
    request: Request | None
    until: float
    done: asyncio.Future[int]

    @property
    def rows(self) -> int:
        """Return how many rows it writes, and 1 where it writes none: a batch has a limit to its jobs, too."""
        return len(self.write.pictures) if self.write is not None else 1


@dataclass(frozen=True)
class Ended:
    """What a batch came to: the pictures that went with each product, and from which epoch on it may be said."""

    gone: Mapping[str, int]
    dead: Mapping[str, int]
    """Up to which version the rows of each product are dead. Readers may know once they know which replica lacks it."""
    epoch: int
    announced: bool
    """Whether every router must have seen the epoch first."""
    repeated: Mapping[str, Answer]
    """First answers of another router, for the products whose request it has answered."""


class Writer:
    """The one that writes to a shard, of this router."""

    def __init__(self, shard: str, core: Core, route: Callable[["WriteJob"], None]) -> None:
        """Take the shard's name, and what gives a job to the writer whose it is; the first job starts the work."""
        self._shard = shard
        self._core = core
        self._route = route
        self._queue: asyncio.Queue[WriteJob | None] = asyncio.Queue(QUEUE_MAX)
        self._held: WriteJob | None = None
        self._task: asyncio.Task[None] | None = None
        self._said: set[asyncio.Task[None]] = set()

    async def put(self, product_id: str, write: ProductWrite | None, request: Request | None, until: float) -> int:
        """Write a product; return how many of its pictures went, once it is acknowledged. Raises RouterError."""
        loop = asyncio.get_running_loop()
        self._start()
        job = WriteJob(product_id, write, request, until, loop.create_future())
        try:
            async with asyncio.timeout_at(until):
                await self._queue.put(job)
        except TimeoutError as error:
            raise ShardTimedOut(self._shard, "had no room for the write; nothing was written") from error
        done, _ = await asyncio.wait([job.done], timeout=max(until - loop.time(), 0))
        if not done:
            raise ShardTimedOut(self._shard, "did not confirm in time; whether it wrote is unknown")
        return job.done.result()

    def take(self, job: WriteJob) -> None:
        """Queue a job that another writer began to wait with."""
        self._start()
        if self._queue.full():
            _fail(job, ShardTimedOut(self._shard, "had no room for the write; nothing was written"))
        else:
            self._queue.put_nowait(job)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())

    async def close(self) -> None:
        """Finish what waits."""
        if self._task is not None:
            await self._queue.put(None)
            await self._task
        if self._said:
            await asyncio.wait(self._said)

    async def _work(self) -> None:
        while (first := self._held or await self._queue.get()) is not None:
            self._held = None
            await self._run(self._batch(first))

    def _batch(self, first: WriteJob) -> list[WriteJob]:
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

    async def _run(self, jobs: Sequence[WriteJob]) -> None:
        now = asyncio.get_running_loop().time()
        for job in jobs:
            if job.until <= now:
                _fail(job, ShardTimedOut(self._shard, "was busy writing; nothing was written"))
        jobs = self._mine([job for job in jobs if not job.done.done()])
        if not jobs:
            return
        try:
            begun, busy, epoch = await self._core.take([job.product_id for job in jobs], _promised(jobs))
            self._come_again([job for job in jobs if job.product_id in busy])
            taken = {one.product_id for one in begun}
            mine = self._mine([job for job in jobs if job.product_id in taken])
            if len(mine) < len(begun):
                await self._core.give_back(begun, epoch)
                self._come_again(mine)
            elif begun:
                await self._write({job.product_id: job for job in jobs}, begun, epoch)
        except Exception as error:  # a bug is for its callers to see; the writes after it must find a writer
            for job in jobs:
                _fail(job, error)

    def _mine(self, jobs: Sequence[WriteJob]) -> list[WriteJob]:
        """Return the jobs whose slots this shard owns; the others go to the writers of the shards that do now."""
        owners = self._core.atlas.view.placement.owners
        mine = []
        for job in jobs:
            if owners[slot_of(job.product_id)] == self._shard:
                mine.append(job)
            else:
                self._route(job)
        return mine

    def _come_again(self, jobs: Sequence[WriteJob]) -> None:
        """Queue jobs again whose products another writer holds, after a moment; their callers' deadlines still hold."""
        for job in jobs:
            asyncio.get_running_loop().call_later(BUSY_S, self.take, job)

    async def _write(self, jobs: Mapping[str, WriteJob], begun: Sequence[Begun], epoch: int) -> None:
        """Write what was taken; acknowledge it, or let go of it and say what is known."""
        group = self._core.atlas.view.groups[self._shard]
        in_sync = {one.name for one in group.replicas if one.sync is Sync.IN_SYNC or not self._core.safeguards.hints}
        mine = [jobs[one.product_id] for one in begun]
        try:
            repeated = await self._repeated(mine)
            fresh = [one for one in begun if one.product_id not in repeated]
            plan = self._plan(jobs, fresh)
            patience_s = self._core.timing.patience_s
            outcome = await apply(group, plan, in_sync, max(job.until for job in mine), patience_s) if fresh else {}
        except BaseException:
            self._core.holds.drop(begun, epoch)
            raise
        confirmed = [name for name in outcome if name in in_sync and outcome[name].done]
        if fresh and not confirmed:
            await self._give_up(mine, begun, outcome, epoch)
            return
        gone = outcome[confirmed[0]].gone if confirmed else {}
        finish = self._finish(group, jobs, begun, repeated, outcome, gone)
        reached = await self._core.holds.finish(finish, epoch)
        # Who answered a request first may not have waited yet until everybody knew what its write changed; nor may who
        # found before us that a replica lacks something.
        announced = finish.announce or reached > epoch or bool(finish.hints or repeated)
        self._acknowledge(mine, Ended(gone, self._dead(jobs, fresh), reached, announced, repeated))

    async def _repeated(self, jobs: Sequence[WriteJob]) -> dict[str, Answer]:
        """Return the first answers to those of the jobs whose request another router has answered meanwhile."""
        asked = [(job.product_id, job.request) for job in jobs if job.request is not None]
        if not asked or not self._core.safeguards.idempotency:
            return {}
        found = await self._core.store.answers(sorted({request.request_id for _, request in asked}))
        return {product_id: found[request.request_id] for product_id, request in asked if request.request_id in found}

    def _plan(self, jobs: Mapping[str, WriteJob], begun: Sequence[Begun]) -> Plan:
        rows: list[Row] = []
        for one in begun:
            write = jobs[one.product_id].write
            if write is not None:
                rows += _rows(write, one.version)
        return Plan(rows, {one.product_id: one for one in begun}, lambda: self._core.lease.valid)

    async def _give_up(
        self, jobs: Sequence[WriteJob], begun: Sequence[Begun], outcome: Mapping[str, Applied], epoch: int
    ) -> None:
        """Tell the callers that no replica in sync has the write; where it may still arrive, others must know."""
        sent = any(one.sent for one in outcome.values())
        if sent or any(one.suspect for one in begun):
            self._core.holds.drop(begun, epoch)
        else:
            await self._core.holds.finish(Finish(begun), epoch)
        error = next((one.error for one in outcome.values() if one.error is not None), None)
        said = error.reason if error is not None else "has no replica in sync"
        ending = (
            "; whether it wrote is unknown, and the same write may be sent again" if sent else "; nothing was written"
        )
        kind = type(error) if error is not None else ShardUnreachable
        for job in jobs:
            _fail(job, kind(self._shard, said + ending))

    def _finish(
        self,
        group: Group,
        jobs: Mapping[str, WriteJob],
        begun: Sequence[Begun],
        repeated: Mapping[str, Answer],
        outcome: Mapping[str, Applied],
        gone: Mapping[str, int],
    ) -> Finish:
        """Say what the batch leaves in the store."""
        on = self._core.safeguards
        fresh = [one for one in begun if one.product_id not in repeated]
        lacking = [one.name for one in group.replicas if not (one.name in outcome and outcome[one.name].done)]
        hints = [(name, one.product_id, name in outcome and outcome[name].sent) for name in lacking for one in fresh]
        suspects = [one for one in fresh if one.suspect]
        dead = self._dead(jobs, fresh)
        buried = {one.product_id for one in fresh if one.suspect or gone[one.product_id] or lacking}
        for_good = {one.product_id for one in fresh if one.suspect or jobs[one.product_id].write is None}
        tombstones = {name: dead[name] for name in dead if name in buried & for_good}
        replaced = {name: dead[name] for name in dead if name in buried - for_good}
        return Finish(
            begun,
            hints=hints if on.hints else (),
            rechecks=[(one.name, each.product_id) for one in group.replicas for each in suspects if each.left],
            tombstones=tombstones if on.tombstones else {},
            replaced=replaced if on.tombstones and on.versions else {},
            answers=[
                *(
                    Answer(job.request.request_id, job.request.digest, _answer(job, job.request, gone))
                    for job in (jobs[one.product_id] for one in fresh)
                    if job.request is not None and on.idempotency
                ),
                *(took_effect(begun, (one.heads for one in outcome.values())) if on.idempotency else ()),
            ],
            # A copy of an older write may still arrive: whoever reads must know by then that it is dead.
            announce=bool(suspects or tombstones),
        )

    def _dead(self, jobs: Mapping[str, WriteJob], begun: Sequence[Begun]) -> dict[str, int]:
        """Return up to which version the rows of each product are dead from now on."""
        if not self._core.safeguards.tombstones:
            return {one.product_id: 0 for one in begun}
        return {one.product_id: one.version if jobs[one.product_id].write is None else one.version - 1 for one in begun}

    def _acknowledge(self, jobs: Sequence[WriteJob], ended: Ended) -> None:
        """Tell the callers: at once, or when every router has seen what it must know. The next batch need not wait."""
        if not ended.announced:
            self._end(jobs, ended)
            return
        task = asyncio.ensure_future(self._when_seen(jobs, ended))
        self._said.add(task)
        task.add_done_callback(self._said.discard)

    async def _when_seen(self, jobs: Sequence[WriteJob], ended: Ended) -> None:
        try:
            await self._core.lease.seen_by_all(ended.epoch, max((job.until for job in jobs), default=0.0))
        except RouterError as error:
            for job in jobs:
                _fail(job, error)
        else:
            self._end(jobs, ended)

    def _end(self, jobs: Sequence[WriteJob], ended: Ended) -> None:
        for product_id, version in ended.dead.items():
            self._core.tombstones.add(product_id, version)
        for job in jobs:
            _end(job, ended)


def _rows(write: ProductWrite, version: int) -> list[Row]:
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


def _promised(jobs: Sequence[WriteJob]) -> dict[str, Answer]:
    """Return what writes under requests will be answered with; how many pictures a delete takes is not known yet."""
    named = ((job.product_id, job.request) for job in jobs if job.write is not None and job.request is not None)
    return {name: Answer(request.request_id, request.digest, request.answer) for name, request in named}


def _said_before(job: WriteJob, answer: Answer) -> RouterError:
    if job.request is not None and job.request.digest != answer.digest:
        return RequestConflict(answer.request_id)
    return Repeated(answer.text)


def _answer(job: WriteJob, request: Request, gone: Mapping[str, int]) -> str:
    return request.answer if job.write is not None else str(gone[job.product_id])


def _end(job: WriteJob, ended: Ended) -> None:
    """Tell a caller what its write came to."""
    if job.product_id in ended.repeated:
        _fail(job, _said_before(job, ended.repeated[job.product_id]))
    elif not job.done.done():
        job.done.set_result(ended.gone[job.product_id])


def _fail(job: WriteJob, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error)
        job.done.exception()  # its caller may be gone; that is no warning
