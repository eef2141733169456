"""An endpoint in memory that is slow, hangs or fails as a test says, and writes down what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from lookalike_router.ask import Answered, Asker
from lookalike_router.errors import ShardTimedOut
from lookalike_router.filter import Filter
from lookalike_router.group import Group
from lookalike_router.memory import MemoryShard
from lookalike_router.replica import Replica
from lookalike_router.shard import Candidate, Probe, Row, Shard, Stored
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_router.store import Sync
from tests.parts.shop import vectors
from tests.router.conftest import SHOP
from tests.simulation.loop import VirtualLoop, run

S = 5.0
QUERY = vectors(1)
# What a call takes where nothing is wrong.
USUAL_S = 0.004


class ScriptedShard(MemoryShard):
    """Takes `takes_s` for everything, but nothing ends while it is `paused`; raises `error` while that is set."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.takes_s = USUAL_S
        self.error: Exception | None = None
        self.search_error: Exception | None = None
        """Raised by searches alone ..."""
        self.searches_well = 0
        """... but for so many first ones."""
        self.running = asyncio.Event()
        self.running.set()
        self.joins = 0
        self.searched: list[tuple[int, int]] = []
        """Queries and limit of each search."""
        self.asked = 0
        """Searches and reads."""
        self.deadlines_s: list[float] = []
        self.timed_out = 0

    @property
    def paused(self) -> bool:
        return not self.running.is_set()

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused:
            self.running.clear()
        else:
            self.running.set()

    async def _pass(self, deadline_s: float) -> None:
        self.deadlines_s.append(deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.sleep(self.takes_s)
                await self.running.wait()
        except TimeoutError as error:
            self.timed_out += 1
            raise ShardTimedOut(self.name, f"did not answer in {deadline_s:.3f} s") from error
        if self.error is not None:
            raise self.error

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        self.joins += 1
        await self._pass(deadline_s)
        return await super().join(shop, founding, deadline_s)

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        self.asked += 1
        self.searched.append((len(queries), limit))
        await self._pass(deadline_s)
        if self.search_error is not None and len(self.searched) > self.searches_well:
            raise self.search_error
        return await super().search(queries, limit, where, deadline_s)

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        self.asked += 1
        await self._pass(deadline_s)
        return await super().read(product_ids, deadline_s)

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        self.asked += 1
        await self._pass(deadline_s)
        return await super().scan(slots, where, limit, deadline_s)


class Cast:
    """One shard's replicas and the endpoints behind them."""

    def __init__(self, shard: str, count: int) -> None:
        self.endpoints = {name: ScriptedShard(name) for name in (f"{shard}/{i}" for i in range(1, count + 1))}
        self.replicas = {name: Replica(one, Sync.IN_SYNC, SHOP) for name, one in self.endpoints.items()}
        self.group = Group(shard, (SlotRange(0, SLOTS - 1),), tuple(self.replicas.values()))

    @classmethod
    async def of(cls, shard: str, count: int, rows: Sequence[Row] = ()) -> Self:
        """Return a shard with so many replicas in use that hold `rows`."""
        made = cls(shard, count)
        for name, endpoint in made.endpoints.items():
            await made.replicas[name].join(founding=True, deadline_s=S)
            await endpoint.write(rows, [], S)
        return made

    async def close(self) -> None:
        """Let what hangs go on, and stop looking for replicas that are away."""
        for endpoint in self.endpoints.values():
            endpoint.paused = False
        for replica in self.replicas.values():
            await replica.close()


class Stage(Cast):
    """A shard, and the one who asks it."""

    def __init__(self, shard: str, count: int) -> None:
        super().__init__(shard, count)
        self.asker = Asker()

    async def search(self, deadline_s: float = S) -> Answered[str]:
        """Search the shard; return the name of the endpoint that answered, as it says itself."""
        return await self.asker.ask(self.group, searched, now_s() + deadline_s, measured=True)

    async def read(self, deadline_s: float = S, *, exact: bool = False) -> Answered[str]:
        return await self.asker.ask(self.group, _read, now_s() + deadline_s, exact=exact)

    async def search_often(self, count: int, pause_s: float = 0.05) -> list[Answered[str]]:
        """Search again and again, as many users do: the next does not wait for the one before."""
        searches = []
        for _ in range(count):
            searches.append(asyncio.ensure_future(self.search()))
            await asyncio.sleep(pause_s)
        return await asyncio.gather(*searches)

    def asked(self) -> dict[str, int]:
        return {name: one.asked for name, one in self.endpoints.items()}


async def searched(shard: Shard, deadline_s: float) -> str:
    await shard.search(QUERY, 1, None, deadline_s)
    return shard.name


async def _read(shard: Shard, deadline_s: float) -> str:
    await shard.read(["p"], deadline_s)
    return shard.name


def play(replicas: int, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """Play a scene with a shard of so many replicas, on virtual time."""

    async def whole() -> None:
        stage = await Stage.of("a", replicas)
        try:
            await scene(stage)
        finally:
            await stage.close()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert loop.complaints == []

    run(whole())


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def until(holds: Callable[[], object], deadline_s: float = 60.0) -> None:
    """Return once a condition holds; fail if it does not within so much virtual time."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.005)
