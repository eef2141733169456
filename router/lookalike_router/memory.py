"""An endpoint in this process's memory: the truth that the others are compared with. Knows no Milvus."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lookalike_router.columns import document, key_of
from lookalike_router.digest import digests
from lookalike_router.errors import ShardFailed, ShardRefused
from lookalike_router.filter import Filter, matches
from lookalike_router.shard import ROWS_MAX, Candidate, Digest, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange


class MemoryShard:
    """Rows in a dict, searched by brute force."""

    def __init__(self, name: str, uri: str = "memory:") -> None:
        """Start empty, belonging to no shop."""
        self.name = name
        self.uri = uri
        self._shop: str | None = None
        self._rows: dict[Head, Row] = {}
        # What searches need of the rows, made by the first search after a write.
        self._vectors: npt.NDArray[np.float32] | None = None  # (rows, 256), in the order of _rows
        self._documents: dict[Head, str] = {}

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
        if not self._rows:
            return [[] for _ in queries]
        if self._vectors is None:
            self._vectors = np.stack([row.vector for row in self._rows.values()])
        vectors = self._vectors
        met = [(at, head) for at, (head, row) in enumerate(self._rows.items()) if _meets(row, where)]
        # Not a matrix product: it rounds by its shape, and equal vectors would score differently on two shards.
        return [self._best(met, (vectors * query).sum(axis=1).tolist(), limit) for query in queries]

    def _best(self, met: Iterable[tuple[int, Head]], scores: Sequence[float], limit: int) -> list[Candidate]:
        found = sorted((-scores[at], head.product_id, head.image_id, -head.version) for at, head in met)
        return [
            Candidate(product_id, image_id, -minus, -score, self._document(Head(product_id, image_id, -minus)))
            for score, product_id, image_id, minus in found[:limit]
        ]

    def _document(self, head: Head) -> str:
        known = self._documents.get(head)
        if known is None:
            row = self._rows[head]
            known = self._documents[head] = document(row.attributes, row.picture)
        return known

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        """Store `rows`, delete the rows `gone`."""
        self._vectors = None
        for row in rows:
            self._rows[_head(row)] = row
            self._documents.pop(_head(row), None)
        for head in gone:
            self._rows.pop(head, None)
            self._documents.pop(head, None)

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        """Return which rows of these products there are."""
        return [head for head in self._rows if head.product_id in product_ids]

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products."""
        return [row for row in self._rows.values() if row.product_id in product_ids]

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        """Return rows in these slots in no order."""
        found: list[Stored] = [row for row in self._within(slots) if _meets(row, where)]
        return found[:limit]

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        """Return how many rows there are in these slots."""
        return sum(_meets(row, where) for row in self._within(slots))

    async def digests(self, slots: SlotRange, deadline_s: float) -> dict[int, Digest]:
        """Return for each slot that holds rows how many and their order-free hash."""
        rows = self._few([slots])
        return digests((row.slot, key_of(row.product_id, row.image_id, row.version)) for row in rows)

    async def heads_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Head]:
        """Return which rows there are in these slots."""
        return [_head(row) for row in self._few(slots)]

    async def rows_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Row]:
        """Return the rows in these slots with their vectors."""
        return self._few(slots)

    async def close(self) -> None:
        """Keep the rows: memory is this shard's disk."""

    def _within(self, slots: Sequence[SlotRange]) -> Iterable[Row]:
        return (row for row in self._rows.values() if any(run.first <= row.slot <= run.last for run in slots))

    def _few(self, slots: Sequence[SlotRange]) -> list[Row]:
        rows = list(self._within(slots))
        if len(rows) >= ROWS_MAX:
            raise ShardFailed(self.name, f"holds {ROWS_MAX} rows or more of what was asked; ask for a smaller range")
        return rows


def _head(row: Row) -> Head:
    return Head(row.product_id, row.image_id, row.version)


def _meets(row: Row, where: Filter | None) -> bool:
    return where is None or matches(where, row.product_id, row.attributes)
