"""Goes to replicas past the routers: reads all they hold, and puts rows where they do not belong. Judges nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from lookalike_router.milvus import MilvusShard
from lookalike_router.shard import Row

CALL_S = 20.0


class Backdoor:
    """Direct ways to the replicas of one shop. Used on one loop alone."""

    def __init__(self, shop: str) -> None:
        """Take the shop's identity."""
        self._shop = shop

    @asynccontextmanager
    async def _opened(self, replica: str, uri: str) -> AsyncIterator[MilvusShard]:
        shard = MilvusShard(replica, uri)
        try:
            await shard.join(self._shop, False, CALL_S)
            yield shard
        finally:
            await shard.close()

    async def rows(self, replica: str, uri: str, products: Sequence[str]) -> list[Row]:
        """Return every row that a replica holds of these products."""
        async with self._opened(replica, uri) as shard:
            return await shard.read(products, CALL_S)

    async def put(self, replica: str, uri: str, rows: Sequence[Row]) -> None:
        """Write rows to a replica, as they are."""
        async with self._opened(replica, uri) as shard:
            await shard.write(rows, (), CALL_S)
