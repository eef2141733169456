"""One router's way to one endpoint, on which calls are late, lost, doubled or refused. Knows no schedule."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lookalike_router.errors import ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.shard import Candidate, Digest, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange
from tests.simulation.faults import LATE_S_MAX, Endpoint, Link, Surroundings, failure

T = TypeVar("T")


class FaultyShard:
    """A Shard over an endpoint of a world; the same endpoint serves many."""

    def __init__(self, name: str, endpoint: Endpoint, link: Link, around: Surroundings) -> None:
        self.name, self.uri = name, endpoint.uri
        self._endpoint = endpoint
        self._link = link
        self._around = around

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        async def work() -> Probe:
            if founding:
                await self._endpoint.found(shop, self.name)
            self._check_holds()
            return await self._endpoint.rows.join(shop, False, deadline_s)

        return await self._read("join", work, deadline_s, joins=True)

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        return await self._read(
            "search", lambda: self._endpoint.rows.search(queries, limit, where, deadline_s), deadline_s
        )

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        return await self._read("heads", lambda: self._endpoint.rows.heads(product_ids, deadline_s), deadline_s)

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        return await self._read("read", lambda: self._endpoint.rows.read(product_ids, deadline_s), deadline_s)

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        return await self._read("scan", lambda: self._endpoint.rows.scan(slots, where, limit, deadline_s), deadline_s)

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        return await self._read("count", lambda: self._endpoint.rows.count(slots, where, deadline_s), deadline_s)

    async def digests(self, slots: SlotRange, deadline_s: float) -> dict[int, Digest]:
        return await self._read("digests", lambda: self._endpoint.rows.digests(slots, deadline_s), deadline_s)

    async def heads_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Head]:
        return await self._read("heads_in", lambda: self._endpoint.rows.heads_in(slots, deadline_s), deadline_s)

    async def rows_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Row]:
        return await self._read("rows_in", lambda: self._endpoint.rows.rows_in(slots, deadline_s), deadline_s)

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        if deadline_s <= 0:
            await self._link.running()
            raise ShardTimedOut(self.name, "had no time left")
        if self._calm:  # what cannot be late needs no task
            await asyncio.sleep(self._around.latency_s() * 2)
            if self._calm:
                await self._store(rows, gone)
                if self._around.trace is not None:
                    self._around.say(self._link.name, self.name, "write", named(rows), "gone", versions(gone))
                return
        fate = self._endpoint.chances.draw(self._around.dice)
        if fate:
            self._around.tally[fate] += 1
        # Written by a task of its own: whoever sent it may stop waiting, and it goes on.
        sent = self._send(self._written(rows, gone, fate))
        await asyncio.wait([sent], timeout=deadline_s)
        await self._link.running()
        if self._around.trace is not None:
            says = f"write {fate or 'in trouble'} {named(rows)} gone {versions(gone)}"
            self._around.say(self._link.name, self.name, says, "" if sent.done() else "timed out")
        if not sent.done():
            raise ShardTimedOut(self.name, "did not confirm in time")
        sent.result()

    async def close(self) -> None:
        """Keep the endpoint: it is everyone's."""

    async def _read(self, what: str, work: Callable[[], Awaitable[T]], deadline_s: float, *, joins: bool = False) -> T:
        if deadline_s <= 0:
            await self._link.running()
            raise ShardTimedOut(self.name, "had no time left")
        if self._calm:  # what cannot be late needs no timer
            await asyncio.sleep(self._around.latency_s() * 2)
            if self._calm:
                value = await work()
                if self._around.trace is not None:
                    self._around.say(self._link.name, self.name, what, shortly(value))
                return value
        try:
            async with asyncio.timeout(deadline_s):
                return await self._asked(what, work, joins)
        except TimeoutError as error:
            await self._link.running()
            self._around.say(self._link.name, self.name, what, "timed out")
            raise ShardTimedOut(self.name, "did not answer in time") from error

    @property
    def _calm(self) -> bool:
        """Whether nothing can go wrong now."""
        mine = self._endpoint.well and self._endpoint.holds == self.name
        return mine and not (self._link.asleep or self._link.parted)

    async def _asked(self, what: str, work: Callable[[], Awaitable[T]], joins: bool) -> T:
        try:
            await self._arrive(joins)
            chances = self._endpoint.chances
            if self._around.dice.random() < chances.fails + chances.loses + chances.late:
                self._around.tally["read fails"] += 1
                raise failure(self._around.dice, self.name, f"failed to {what}")
            value = await work()
            if self._endpoint.down:
                raise ShardUnreachable(self.name, "went down")
        except ShardRefused:
            await self._link.running()
            raise
        except (ShardUnreachable, ShardFailed, ShardTimedOut) as error:
            await self._link.running()
            self._around.say(self._link.name, self.name, what, repr(error))
            raise
        await self._link.reaches(self.uri)
        await self._link.running()
        if self._around.trace is not None:
            self._around.say(self._link.name, self.name, what, shortly(value))
        return value

    async def _arrive(self, joins: bool = False) -> None:
        """Return when a call is at work in the endpoint's process. Raises ShardError if it does not get there."""
        await asyncio.sleep(self._around.latency_s() * 2 + self._endpoint.chances.slow_s)
        await self._link.running()
        await self._link.reaches(self.uri)
        lives = self._endpoint.lives
        await self._endpoint.process.passed()
        if self._endpoint.down or self._endpoint.lives != lives:
            raise ShardUnreachable(self.name, "is down")
        if not joins:
            self._check_holds()

    def _check_holds(self) -> None:
        if self._endpoint.holds != self.name:
            raise ShardRefused(self.name, "holds no rows of this replica")

    async def _written(self, rows: Sequence[Row], gone: Sequence[Head], fate: str) -> None:
        around, name = self._around, self.name
        await self._arrive()
        if fate == "fails":
            raise failure(around.dice, name, "did not write")
        if fate in ("late", "doubles"):
            self._send(self._later(rows, gone))
        if fate == "late":
            raise failure(around.dice, name, "will write late")
        await self._store(rows, () if fate == "torn" else gone)
        if fate in ("loses", "torn"):
            raise failure(around.dice, name, "wrote and lost the reply")
        await self._link.reaches(self.uri)

    async def _later(self, rows: Sequence[Row], gone: Sequence[Head]) -> None:
        """Write once more, or at last."""
        lives = self._endpoint.lives
        await asyncio.sleep(LATE_S_MAX * self._around.dice.random() ** 2)  # mostly soon
        await self._endpoint.process.passed()
        if self._endpoint.lives == lives:
            self._around.say("ghost", self.name, "writes", named(rows), "gone", len(gone))
            await self._store(rows, gone)

    async def _store(self, rows: Sequence[Row], gone: Sequence[Head]) -> None:
        """Store new rows, and a moment later delete the old ones: readers may see both."""
        lives = self._endpoint.lives
        if rows and gone:
            await self._endpoint.rows.write(rows, (), 1.0)
            await asyncio.sleep(self._around.latency_s())
            rows = ()
        if self._endpoint.lives != lives:
            raise ShardUnreachable(self.name, "went down")
        await self._endpoint.rows.write(rows, gone, 1.0)

    def _send(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._around.ghosts.add(task)
        task.add_done_callback(self._sent)
        return task

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._around.ghosts.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits has it from `result`


def named(rows: Sequence[Row]) -> str:
    """Name rows for a trace."""
    return ",".join(sorted({f"{row.product_id}v{row.version}={row.attributes.get('title')}" for row in rows}))


def versions(heads: Sequence[Head]) -> str:
    """Name rows that go for a trace."""
    return ",".join(f"{one.product_id}v{one.version}" for one in heads)


def shortly(value: object) -> str:
    """Describe an answer for a trace."""
    if isinstance(value, list) and value and isinstance(value[0], Head):
        return versions(value)
    return str(len(value)) if isinstance(value, list) else type(value).__name__
