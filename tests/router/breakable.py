"""A shop in memory on virtual time, whose endpoints can be broken: down, hanging, or losing replies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import ShardSpec
from lookalike_router.errors import ShardError, ShardTimedOut, ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.memory import MemoryShard
from lookalike_router.memory_store import MemoryStore
from lookalike_router.router import Router
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import Candidate, Digest, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange
from tests.simulation.loop import run

S = 5.0


class BreakableShard:
    """A MemoryShard that fails as told."""

    def __init__(self, name: str, uri: str) -> None:
        self.name, self.uri = name, uri
        self.rows = MemoryShard(name, uri)
        self.error: ShardError | None = None
        self.joins = 0
        self.deaf = False
        """Whether it does what it is told and never answers."""
        self.paused: asyncio.Event | None = None
        self.writes = 0

    async def _pass(self, deadline_s: float) -> None:
        if self.paused is not None:
            try:
                async with asyncio.timeout(deadline_s):
                    await self.paused.wait()
            except TimeoutError as error:
                raise ShardTimedOut(self.name, "is paused") from error
        if self.error is not None:
            raise self.error

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        self.joins += 1
        await self._pass(deadline_s)
        return await self.rows.join(shop, founding, deadline_s)

    @property
    def down(self) -> bool:
        return self.error is not None

    @down.setter
    def down(self, down: bool) -> None:
        self.error = ShardUnreachable(self.name, "is down") if down else None

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        await self._pass(deadline_s)
        return await self.rows.search(queries, limit, where, deadline_s)

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        await self._pass(deadline_s)
        self.writes += 1
        await self.rows.write(rows, gone, deadline_s)
        if self.deaf:
            raise ShardTimedOut(self.name, "lost its reply")

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        await self._pass(deadline_s)
        return await self.rows.heads(product_ids, deadline_s)

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        await self._pass(deadline_s)
        return await self.rows.read(product_ids, deadline_s)

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        await self._pass(deadline_s)
        return await self.rows.scan(slots, where, limit, deadline_s)

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        await self._pass(deadline_s)
        return await self.rows.count(slots, where, deadline_s)

    async def digests(self, slots: SlotRange, deadline_s: float) -> dict[int, Digest]:
        await self._pass(deadline_s)
        return await self.rows.digests(slots, deadline_s)

    async def heads_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Head]:
        await self._pass(deadline_s)
        return await self.rows.heads_in(slots, deadline_s)

    async def rows_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Row]:
        await self._pass(deadline_s)
        return await self.rows.rows_in(slots, deadline_s)

    async def close(self) -> None:
        await self.rows.close()


class Town:
    """A store, the endpoints by address, and the routers opened on them."""

    def __init__(self, shards: str = "a", replicas: int = 2) -> None:
        self.store = MemoryStore(asyncio.get_running_loop().time)
        self.endpoints: dict[str, BreakableShard] = {}
        self.specs = [ShardSpec(name, tuple(f"memory:{name}{i}" for i in range(1, replicas + 1))) for name in shards]
        self.routers: list[Router] = []

    def __getitem__(self, uri: str) -> BreakableShard:
        """Return an endpoint by the end of its address, for example "a1"."""
        return self.endpoints[f"memory:{uri}"]

    def connect(self, name: str, uri: str) -> BreakableShard:
        """Return the endpoint at an address, the same for every router."""
        return self.endpoints.setdefault(uri, BreakableShard(name, uri))

    async def open(
        self, specs: Sequence[ShardSpec] | None = None, deadline_s: float = S, on: Safeguards = ALL
    ) -> Router:
        """Open one more router."""
        told = self.specs if specs is None else specs
        router = await Router.open(self.store, told, self.connect, deadline_s=deadline_s, safeguards=on)
        self.routers.append(router)
        return router

    def held(self, uri: str) -> set[Head]:
        """Return the rows that an endpoint holds."""
        return set(self[uri].rows._rows)


def play(scene: Callable[[Town], Awaitable[None]], shards: str = "a", replicas: int = 2) -> None:
    """Play a scene in a town on virtual time."""

    async def whole() -> None:
        async with town(shards, replicas) as made:
            await scene(made)

    run(whole())


@asynccontextmanager
async def town(shards: str = "a", replicas: int = 2) -> AsyncIterator[Town]:
    """Give a town, and take it down."""
    made = Town(shards, replicas)
    try:
        yield made
    finally:
        for router in made.routers:
            await router.close()


async def until(holds: Callable[[], object], deadline_s: float = 60.0) -> None:
    """Return once a condition holds; fail if it does not within so much virtual time."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)
