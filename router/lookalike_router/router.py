"""Spreads writes over the shards and asks all of them at once. Knows no images, no wire and no Milvus."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Found, Page, ProductWrite, ShardReport, Topology
from lookalike_router.errors import RouterError
from lookalike_router.filter import Filter
from lookalike_router.shard import Row, Shard
from lookalike_router.store import SqlStore


class Router:
    """One shop over several shards. Lives in one event loop."""

    @classmethod
    async def open(cls, store: SqlStore, shards: Sequence[Shard], *, deadline_s: float = 30.0) -> Self:
        """Join the shards; plan the map on the first start, when all must be reachable.

        Later starts tolerate shards that are down. Another set of shards than the map's raises PlacementConflict.
        """
        raise NotImplementedError

    async def search(
        self,
        queries: npt.NDArray[np.float32],
        limit: int,
        *,
        where: Filter | None = None,
        score_min: float | None = None,
        deadline_s: float,
    ) -> Found:
        """Return for each of `queries` (n, 256) the `limit` products nearest to it; a lost shard costs coverage only."""
        raise NotImplementedError

    async def upsert(self, products: Sequence[ProductWrite], deadline_s: float) -> list[RouterError | None]:
        """Store products whole; return for each None once it is stored, or what went wrong."""
        raise NotImplementedError

    async def get(self, product_ids: Sequence[str], deadline_s: float) -> dict[str, list[Row]]:
        """Return the rows of those products that exist; raise ShardError if an owner cannot say."""
        raise NotImplementedError

    async def delete(self, product_id: str, deadline_s: float) -> int:
        """Delete a product; return how many pictures went with it, 0 if there was none. Raises ShardError."""
        raise NotImplementedError

    async def scan(
        self, after: tuple[int, str] | None, limit: int, *, where: Filter | None = None, deadline_s: float
    ) -> Page:
        """Return the `limit` products that follow `after` in the order (slot, product_id). Raises ShardError."""
        raise NotImplementedError

    def topology(self) -> Topology:
        """Return the placement map."""
        raise NotImplementedError

    async def shards(self, deadline_s: float) -> list[ShardReport]:
        """Ask every shard how it is; one that does not answer is reported, never left out."""
        raise NotImplementedError

    async def claim_model(self, model: str, dim: int) -> None:
        """Say which model makes the vectors; the first word stands, another raises ModelConflict."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what is being written, then let go of the shards."""
        raise NotImplementedError
