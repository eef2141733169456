"""An endpoint in memory that is slow, hangs or fails as a test says, and writes down what it was asked."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from lookalike_router.errors import ShardTimedOut
from lookalike_router.filter import Filter
from lookalike_router.group import Group
from lookalike_router.memory import MemoryShard
from lookalike_router.replica import Replica
from lookalike_router.shard import Candidate, Probe, Row, Stored
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_router.store import Sync
from tests.router.conftest import SHOP

S = 5.0


class ScriptedShard(MemoryShard):
    """Takes `takes_s` for everything, but nothing ends while it is `paused`; raises `error` while that is set."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.takes_s = 0.004
        self.error: Exception | None = None
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


async def until(holds: Callable[[], object], deadline_s: float = 60.0) -> None:
    """Return once a condition holds; fail if it does not within so much virtual time."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.005)
