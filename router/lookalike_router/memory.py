"""A shard in this process's memory: the truth that the others are compared with. Knows no Milvus."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lookalike_router.columns import document
from lookalike_router.errors import ShardRefused
from lookalike_router.filter import Filter, matches
from lookalike_router.shard import Candidate, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange


class MemoryShard:
    """Rows in a dict, searched by brute force."""

    def __init__(self, name: str, *, weight: float = 1.0) -> None:
        """Start empty, belonging to no shop."""
        self.name = name
        self.uri = "memory:"
        self.weight = weight
        self._shop: str | None = None
        self._rows: dict[tuple[str, str], Row] = {}

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        """Make ready for use, or raise ShardRefused; see Shard.join."""
        if self._shop is None and founding:
            self._shop = shop
        if self._shop != shop:
            raise ShardRefused(self.name, "holds no rows of this shop")
        return Probe("memory", groups=False)

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        """Return for each of `queries` (n, 256) the `limit` rows nearest to it, best first."""
        rows = [row for row in self._rows.values() if _meets(row, where)]
        if not rows:
            return [[] for _ in queries]
        vectors = np.stack([row.vector for row in rows])  # (rows, 256)
        # Not a matrix product: it rounds by its shape, and equal vectors would score differently on two shards.
        return [self._best(rows, (vectors * query).sum(axis=1), limit) for query in queries]

    def _best(self, rows: Sequence[Row], scores: npt.NDArray[np.float32], limit: int) -> list[Candidate]:
        order = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i].product_id, rows[i].image_id))
        return [_candidate(rows[i], float(scores[i])) for i in order[:limit]]

    async def upsert(self, rows: Sequence[Row], deadline_s: float) -> None:
        """Store rows whole."""
        self._rows.update({(row.product_id, row.image_id): row for row in rows})

    async def delete(self, pictures: Sequence[Head], deadline_s: float) -> None:
        """Delete pictures."""
        for picture in pictures:
            self._rows.pop((picture.product_id, picture.image_id), None)

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        """Return which pictures of these products there are."""
        return [Head(row.product_id, row.image_id, row.version) for row in await self.read(product_ids, deadline_s)]

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products."""
        return [row for row in self._rows.values() if row.product_id in product_ids]

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        """Return rows in these slots in no order."""
        rows = (row for row in self._rows.values() if _meets(row, where))
        found: list[Stored] = [row for row in rows if any(run.first <= row.slot <= run.last for run in slots)]
        return found[:limit]

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        """Return how many rows there are in these slots."""
        return len(await self.scan(slots, where, len(self._rows), deadline_s))

    async def close(self) -> None:
        """Keep the rows: memory is this shard's disk."""


def _meets(row: Row, where: Filter | None) -> bool:
    return where is None or matches(where, row.product_id, row.attributes)


def _candidate(row: Row, score: float) -> Candidate:
    return Candidate(row.product_id, row.image_id, row.version, score, document(row.attributes, row.picture))
