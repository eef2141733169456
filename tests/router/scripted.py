"""A shard in memory that fails, waits and counts as a test says."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Filter
from lookalike_router.memory import MemoryShard
from lookalike_router.shard import Candidate, Head, Probe, Row


class ScriptedShard(MemoryShard):
    """Raises `error` while it is set, waits while `gate` is closed, and writes down what it was asked."""

    def __init__(self, name: str, weight: float = 1.0) -> None:
        super().__init__(name, weight=weight)
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.joins = 0
        self.searched: list[tuple[int, int]] = []
        """Queries and limit of each search."""
        self.upserted: list[int] = []
        """Rows of each upsert."""

    async def _scene(self) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        self.joins += 1
        await self._scene()
        return await super().join(shop, founding, deadline_s)

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        self.searched.append((len(queries), limit))
        await self._scene()
        return await super().search(queries, limit, where, deadline_s)

    async def upsert(self, rows: Sequence[Row], deadline_s: float) -> None:
        self.upserted.append(len(rows))
        await self._scene()
        await super().upsert(rows, deadline_s)

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        await self._scene()
        return await super().heads(product_ids, deadline_s)

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        await self._scene()
        return await super().read(product_ids, deadline_s)


async def until(holds: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Return once the condition holds; fail if it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.005)
