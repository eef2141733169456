"""A shard that is a Milvus server, of any kind from 2.3 on: Lite, standalone, cluster. Knows no placement.

With milvus_wire the only user of pymilvus, of its protocol alone. Every call has a deadline and is made once: whether
to try again is the router's to decide. Reads see every write that was acknowledged, because a write is acknowledged
only once reads see it; so no search waits for a write, whoever made it.
"""

import asyncio
import base64
import enum
import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from lookalike_router import expression, milvus_wire
from lookalike_router.columns import key_of
from lookalike_router.errors import ShardError, ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.flusher import Flusher
from lookalike_router.known import check_groups, check_scores, known_queries, known_rows
from lookalike_router.milvus_wire import EVENTUALLY, STRONG
from lookalike_router.shard import ROWS_MAX, Candidate, Head, Probe, Row, Stored
from lookalike_router.slots import SlotRange

COLLECTION_PREFIX = "lookalike_"
DEFAULT_PORT = 19530
COLLECTION_NOT_FOUND = 100
LITE = "milvus_lite"
HNSW = {"M": 16, "efConstruction": 200}
# How many rows HNSW keeps in sight: more finds better and takes longer. Twice the rows asked keeps recall level as
# the page grows; Milvus allows no more than 32,768.
EF_LEAST = 128
EF_PER_ROW = 2
EF_MOST = 32_768
POLL_S = 0.02
# Nobody waits for a flush; it writes some MB.
FLUSH_DEADLINE_S = 30.0
# A channel that is given up closes once the calls that it still carries have met their own deadlines.
RETIRE_S = 10.0
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Channels to one address would share connections, their state of failure too.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Index(enum.Enum):
    """How a shard finds the nearest vectors."""

    HNSW = "HNSW"
    """Nearly all of them, fast."""
    FLAT = "FLAT"
    """Exactly them, by looking at each."""


class MilvusShard:
    """One collection on one Milvus endpoint, named by the shop and the shard, so that no other can be taken for it."""

    def __init__(
        self, name: str, uri: str, *, weight: float = 1.0, token: str = "", index: Index | None = None
    ) -> None:
        """Take where the server is; `index` None is HNSW, and FLAT on Milvus Lite, which shops outgrow first."""
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the address of shard {name} is not http://HOST:PORT or https://HOST:PORT")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.name = name
        self.weight = weight
        self._index = index
        self._token = token or (f"{parts.username}:{parts.password or ''}" if parts.username else "")
        self._secure = parts.scheme == "https"
        self._address = f"{host}:{parts.port or DEFAULT_PORT}"
        self.uri = f"{parts.scheme}://{self._address}"
        self._collection = ""
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._retiring: set[asyncio.Task[None]] = set()
        # False while a write's outcome is unknown: rows that no acknowledgement spoke of may still appear.
        self._settled = False
        self._flusher: Flusher | None = None

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        """Make ready for use, or raise ShardRefused; see Shard.join."""
        until = time.monotonic() + deadline_s
        self._collection = COLLECTION_PREFIX + blake2b(f"{shop}/{self.name}".encode(), digest_size=12).hexdigest()
        self._connect()
        self._settled = False
        version = (await self._call("GetVersion", milvus_pb2.GetVersionRequest(), until)).version
        if version.startswith(LITE) and self._flusher is None:
            self._flusher = Flusher(self._flush)
        shown = await self._call("ShowCollections", milvus_pb2.ShowCollectionsRequest(), until)
        self._check_identity(list(shown.collection_names), founding)
        if founding:
            await self._found(shop, version, until)
        await self._check_schema(until)
        await self._load(until)
        if founding:
            request = milvus_wire.upsert(self._collection, known_rows(), milvus_wire.KNOWN)
            await self._call("Upsert", request, until)
            await self._see(STRONG, until)
        return Probe(version, await self._check_answers(until))

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        """Return for each of `queries` (n, 256) the `limit` rows nearest to it, best first."""
        said = "" if where is None else expression.expression(where)
        request = milvus_wire.search(self._collection, queries, limit, said, _ef(limit))
        answer = await self._call("Search", request, time.monotonic() + deadline_s)
        return milvus_wire.candidates(answer, len(queries))

    async def upsert(self, rows: Sequence[Row], deadline_s: float) -> None:
        """Store rows whole; return once reads see them."""
        until = time.monotonic() + deadline_s
        self._settled = False
        done = await self._call("Upsert", milvus_wire.upsert(self._collection, rows), until)
        await self._see(done.timestamp, until)
        if self._flusher is not None:
            self._flusher.wrote(len(rows))

    async def delete(self, pictures: Sequence[Head], deadline_s: float) -> None:
        """Delete pictures; return once no read sees them."""
        until = time.monotonic() + deadline_s
        self._settled = False
        keys = [key_of(picture.product_id, picture.image_id) for picture in pictures]
        await self._call("Delete", milvus_wire.delete(self._collection, expression.of_keys(keys)), until)
        await self._see(STRONG, until)  # servers do not say when a delete took place

    async def heads(self, product_ids: Sequence[str], deadline_s: float) -> list[Head]:
        """Return which pictures of these products there are."""
        answer = await self._query(expression.of_products(product_ids), milvus_wire.HEAD_FIELDS, deadline_s)
        wanted = set(product_ids)
        return [head for head in milvus_wire.heads(answer) if head.product_id in wanted]

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        """Return every row of these products, with its vector."""
        answer = await self._query(expression.of_products(product_ids), milvus_wire.ROW_FIELDS, deadline_s)
        wanted = set(product_ids)
        return [row for row in milvus_wire.rows(answer) if row.product_id in wanted]

    async def scan(
        self, slots: Sequence[SlotRange], where: Filter | None, limit: int, deadline_s: float
    ) -> list[Stored]:
        """Return rows in these slots in no order."""
        answer = await self._query(_selected(slots, where), milvus_wire.STORED_FIELDS, deadline_s, limit)
        return milvus_wire.stored(answer)

    async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
        """Return how many rows there are in these slots."""
        return milvus_wire.counted(await self._query(_selected(slots, where), ["count(*)"], deadline_s, None))

    async def close(self) -> None:
        """Let go of the connection."""
        if self._flusher is not None:
            await self._flusher.close()
        self._retire()
        await asyncio.gather(*self._retiring)

    def _connect(self) -> None:
        """Open a new channel: an old one may sit out a back-off, or a connection to a machine that is gone."""
        self._retire()
        if self._secure:
            self._channel = grpc.aio.secure_channel(self._address, grpc.ssl_channel_credentials(), options=OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(self._address, options=OPTIONS)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)

    def _retire(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            task = asyncio.ensure_future(channel.close(RETIRE_S))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _call(self, method: str, request: Any, until: float) -> Any:
        """Make one call; raise the ShardError that says how it failed."""
        if self._channel is None:
            raise ShardUnreachable(self.name, "is not joined")
        metadata = [("authorization", base64.b64encode(self._token.encode()).decode())] if self._token else None
        timeout_s = max(until - time.monotonic(), 0.001)
        try:
            answer = await getattr(self._stub, method)(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _as_ours(self.name, method, error) from error
        status = answer if hasattr(answer, "error_code") else answer.status
        if status.code or status.error_code:
            kind = ShardRefused if status.code == COLLECTION_NOT_FOUND else ShardFailed
            raise kind(self.name, f"{method}: {status.reason or 'no reason given'}")
        return answer

    async def _query(self, said: str, fields: Sequence[str], deadline_s: float, limit: int | None = ROWS_MAX) -> Any:
        until = time.monotonic() + deadline_s
        since = EVENTUALLY if self._settled else STRONG
        answer = await self._call("Query", milvus_wire.query(self._collection, said, fields, limit, since), until)
        self._settled = True
        return answer

    async def _flush(self) -> None:
        request = milvus_pb2.FlushRequest(collection_names=[self._collection])
        await self._call("Flush", request, time.monotonic() + FLUSH_DEADLINE_S)

    async def _see(self, since: int, until: float) -> None:
        """Return once reads see the writes up to the server's timestamp `since`."""
        request = milvus_wire.query(self._collection, expression.NEVER, ["version"], 1, since)
        await self._call("Query", request, until)
        self._settled = True

    def _check_identity(self, collections: Sequence[str], founding: bool) -> None:
        strangers = [one for one in collections if one.startswith(COLLECTION_PREFIX) and one != self._collection]
        if founding and strangers:
            raise ShardRefused(
                self.name,
                f"{self.uri} holds {strangers[0]} of another shop or shard; give an empty server or that shop's store",
            )
        if not founding and self._collection not in collections:
            raise ShardRefused(
                self.name,
                f"{self.uri} does not hold {self._collection}: the server was emptied or is another one; "
                "correct the address or bring its data back",
            )

    async def _found(self, shop: str, version: str, until: float) -> None:
        """Make the collection; every step may be repeated."""
        name = self._collection
        has = await self._call("HasCollection", milvus_pb2.HasCollectionRequest(collection_name=name), until)
        if not has.value:
            about = f"lookalike: shard {self.name} of shop {shop}"
            await self._call("CreateCollection", milvus_wire.create(name, about), until)
        place = {"collection_name": name, "partition_name": milvus_wire.KNOWN}
        if not (await self._call("HasPartition", milvus_pb2.HasPartitionRequest(**place), until)).value:
            await self._call("CreatePartition", milvus_pb2.CreatePartitionRequest(**place), until)
        if await self._metric(until):
            return
        kind = self._index or (Index.FLAT if version.startswith(LITE) else Index.HNSW)
        params = HNSW if kind is Index.HNSW else {}
        await self._call("CreateIndex", milvus_wire.index(name, kind.value, params), until)

    async def _metric(self, until: float) -> str:
        """Return the metric of the vectors' index, empty where there is none."""
        request = milvus_pb2.DescribeIndexRequest(collection_name=self._collection, field_name="vector")
        try:
            return milvus_wire.metric(await self._call("DescribeIndex", request, until))
        except ShardFailed:  # servers of 2.3 call "none" an error
            return ""

    async def _check_schema(self, until: float) -> None:
        request = milvus_pb2.DescribeCollectionRequest(collection_name=self._collection)
        found = milvus_wire.layout((await self._call("DescribeCollection", request, until)).schema)
        wanted = milvus_wire.layout(milvus_wire.schema("", ""))
        if found != wanted:
            odd = sorted(set(found.items()) ^ set(wanted.items()))
            raise ShardRefused(self.name, f"{self._collection} has other fields than this version writes: {odd}")
        metric = await self._metric(until)
        if metric != "IP":
            raise ShardRefused(self.name, f"the index of {self._collection} has metric {metric or 'none'}, not IP")

    async def _load(self, until: float) -> None:
        name = self._collection
        await self._call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name), until)
        asked = milvus_pb2.GetLoadStateRequest(collection_name=name)
        while (await self._call("GetLoadState", asked, until)).state != milvus_wire.LOADED:  # noqa: ASYNC110 - remote
            await asyncio.sleep(POLL_S)

    async def _check_answers(self, until: float) -> bool:
        """Search the known vectors; raise ShardRefused if the answers are wrong, return whether the server groups."""
        known = milvus_wire.KNOWN
        request = milvus_wire.search(self._collection, known_queries(), ROWS_MAX, "", EF_MOST, partition=known)
        lists = milvus_wire.candidates(await self._call("Search", request, until), len(known_queries()))
        wrong = check_scores(lists)
        if wrong:
            raise ShardRefused(self.name, wrong)
        request = milvus_wire.search(
            self._collection, known_queries()[:1], 10, "", EF_MOST, partition=known, group_by="product"
        )
        try:
            answer = await self._call("Search", request, until)
        except ShardFailed:
            return False
        return check_groups(milvus_wire.candidates(answer, 1)[0])


def _as_ours(name: str, method: str, error: grpc.aio.AioRpcError) -> ShardError:
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return ShardTimedOut(name, f"{method} did not answer in time")
        case grpc.StatusCode.UNAVAILABLE:
            return ShardUnreachable(name, f"cannot be reached: {error.details()}")
        case _:
            return ShardFailed(name, f"{method}: {error.code().name}: {error.details()}")


def _ef(limit: int) -> int:
    return min(max(EF_LEAST, EF_PER_ROW * limit), EF_MOST)


def _selected(slots: Sequence[SlotRange], where: Filter | None) -> str:
    said = expression.in_slots(slots)
    return said if where is None else expression.both(said, expression.expression(where))
