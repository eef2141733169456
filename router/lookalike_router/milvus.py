"""An endpoint that is a Milvus server, of any kind from 2.3 on: Lite, standalone, cluster. Knows no placement.

With the other milvus_ files the only user of pymilvus, of its protocol alone. Every call has a deadline and is made
once: whether to try again is the router's to decide. Reads see every write that was acknowledged, because a write is
acknowledged only once reads see it; so no search waits for a write, whoever made it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pymilvus.grpc_gen import milvus_pb2

from lookalike_router import expression, milvus_wire
from lookalike_router.columns import key_of
from lookalike_router.digest import digests
from lookalike_router.errors import ShardFailed
from lookalike_router.filter import Filter
from lookalike_router.flusher import Flusher
from lookalike_router.milvus_channel import MilvusChannel
from lookalike_router.milvus_join import COLLECTION_PREFIX, EF_MOST, LITE, Index, Joining
from lookalike_router.milvus_wire import LATELY, STRONG
from lookalike_router.shard import ROWS_MAX, Candidate, Digest, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange

T = TypeVar("T")

# How many rows HNSW keeps in sight: more finds better and takes longer. Twice the rows asked keeps recall level as
# the page grows; Milvus allows no more than EF_MOST.
EF_LEAST = 128
EF_PER_ROW = 2
# Rows of one message: at their largest 134 kB each, and servers take 64 MB.
ROWS_PER_CALL = 256
# Keys of one delete's expression, which servers parse: 20 kB of text.
KEYS_PER_CALL = 512
# Products of one read: with their pictures in several versions fewer rows than ROWS_MAX, and a message that servers
# send.
PRODUCTS_PER_CALL = 64
# Nobody waits for a flush; it writes some MB.
FLUSH_DEADLINE_S = 30.0


class MilvusShard:
    """One collection on one server, named by shop, shard and replica, so that no other can be taken for it."""

    def __init__(self, name: str, uri: str, *, token: str = "", index: Index | None = None) -> None:
        """Take where the server is; `index` None is HNSW, and FLAT on Milvus Lite, which shops outgrow first."""
        self._channel = MilvusChannel(name, uri, token)
        self.name = name
        self.uri = self._channel.uri
        self._index = index
        self._collection = ""
        self._flusher: Flusher | None = None
        # Writes of unknown outcome so far, and how many of them reads have waited for: rows that no acknowledgement
        # spoke of may still appear.
        self._doubts = 0
        self._cleared = 0

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        """Make ready for use, or raise ShardRefused; see Shard.join."""
        until = _until(deadline_s)
        self._collection = COLLECTION_PREFIX + blake2b(f"{shop}/{self.name}".encode(), digest_size=12).hexdigest()
        self._channel.renew()
        self._doubts += 1
        probe = await Joining(self._channel, shop, self._collection, self._index, until).run(founding)
        if probe.server_version.startswith(LITE) and self._flusher is None:
            self._flusher = Flusher(self._flush)
        return probe

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        """Return for each of `queries` (n, 256) the `limit` rows nearest to it, best first."""
        said = "" if where is None else expression.expression(where)
        request = milvus_wire.search(self._collection, queries, limit, said, _ef(limit))
        answer = await self._channel.call("Search", request, _until(deadline_s))
        return milvus_wire.candidates(answer, len(queries))

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        """Store `rows` and delete the rows `gone`; return once reads see both. Repeating it changes nothing."""
        until = _until(deadline_s)
        # A message that names a key twice would store it twice.
        unlike = {key_of(row.product_id, row.image_id, row.version): row for row in rows}
        with self._in_doubt():
            since = STRONG
            for batch in _cut(unlike.values(), ROWS_PER_CALL):
                stored = await self._channel.call("Upsert", milvus_wire.upsert(self._collection, batch), until)
                since = stored.timestamp
            for heads in _cut(gone, KEYS_PER_CALL):
                keys = [key_of(head.product_id, head.image_id, head.version) for head in heads]
                await self._channel.call("Delete", milvus_wire.delete(self._collection, keys), until)
                since = STRONG  # servers do not say when a delete took place
            if rows or gone:
                await self._channel.call("Query", milvus_wire.nothing(self._collection, since), until)
        if self._flusher is not None:
            self._flusher.wrote(len(rows))

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        """Return which rows of these products there are."""
        answers = await self._of_products(product_ids, milvus_wire.HEAD_FIELDS, deadline_s)
        wanted = set(product_ids)
        return [
            head for answer in answers for head in self._whole(milvus_wire.heads(answer)) if head.product_id in wanted
        ]

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products, with its vector."""
        answers = await self._of_products(product_ids, milvus_wire.ROW_FIELDS, deadline_s)
        wanted = set(product_ids)
        return [row for answer in answers for row in self._whole(milvus_wire.rows(answer)) if row.product_id in wanted]

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        """Return rows in these slots in no order."""
        until = _until(deadline_s)
        answer = await self._query(_selected(slots, where), milvus_wire.STORED_FIELDS, until, limit)
        return milvus_wire.stored(answer)

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        """Return how many rows there are in these slots."""
        until = _until(deadline_s)
        return milvus_wire.counted(await self._query(_selected(slots, where), ["count(*)"], until, None))

    async def digests(self, slots: SlotRange, deadline_s: float) -> dict[int, Digest]:
        """Return for each slot that holds rows how many and their order-free hash; see Shard.digests."""
        said = expression.in_slots([slots])
        answer = await self._query(said, milvus_wire.KEY_FIELDS, _until(deadline_s), ROWS_MAX, STRONG)
        return digests(self._whole(milvus_wire.keys(answer)))

    async def heads_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Head]:
        """Return which rows there are in these slots; see Shard.heads_in."""
        said = expression.in_slots(slots)
        answer = await self._query(said, milvus_wire.HEAD_FIELDS, _until(deadline_s), ROWS_MAX, STRONG)
        return self._whole(milvus_wire.heads(answer))

    async def rows_in(self, slots: Sequence[SlotRange], deadline_s: float) -> list[Row]:
        """Return the rows in these slots with their vectors; see Shard.rows_in."""
        said = expression.in_slots(slots)
        answer = await self._query(said, milvus_wire.ROW_FIELDS, _until(deadline_s), ROWS_MAX)
        return self._whole(milvus_wire.rows(answer))

    async def close(self) -> None:
        """Let go of the connection."""
        if self._flusher is not None:
            await self._flusher.close()
        await self._channel.close()

    @contextmanager
    def _in_doubt(self) -> Iterator[None]:
        """Take note if a write ends without an acknowledgement: what it did may appear later."""
        try:
            yield
        except BaseException:
            self._doubts += 1
            raise

    async def _query(
        self, said: str, fields: Sequence[str], until: float, limit: int | None, since: int | None = None
    ) -> Any:
        """Return the rows that meet an expression, as of every write acknowledged before."""
        doubts = self._doubts
        if since is None:
            since = LATELY if self._cleared == doubts else STRONG
        request = milvus_wire.query(self._collection, said, fields, limit, since)
        answer = await self._channel.call("Query", request, until)
        self._cleared = max(self._cleared, doubts)
        return answer

    async def _of_products(self, product_ids: Sequence[str], fields: Sequence[str], deadline_s: float) -> list[Any]:
        until = _until(deadline_s)
        return [
            await self._query(expression.of_products(some), fields, until, ROWS_MAX)
            for some in _cut(product_ids, PRODUCTS_PER_CALL)
        ]

    def _whole(self, found: list[T]) -> list[T]:
        """Return what was found unless servers return no more and some may be missing."""
        if len(found) >= ROWS_MAX:
            raise ShardFailed(self.name, f"holds {ROWS_MAX} rows or more of what was asked; ask for a smaller range")
        return found

    async def _flush(self) -> None:
        request = milvus_pb2.FlushRequest(collection_names=[self._collection])
        await self._channel.call("Flush", request, _until(FLUSH_DEADLINE_S))


def _until(deadline_s: float) -> float:
    return asyncio.get_running_loop().time() + deadline_s


def _cut(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Return items in batches of `size`."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def _ef(limit: int) -> int:
    return min(max(EF_LEAST, EF_PER_ROW * limit), EF_MOST)


def _selected(slots: Sequence[SlotRange], where: Filter | None) -> str:
    said = expression.in_slots(slots)
    return said if where is None else expression.both(said, expression.expression(where))
