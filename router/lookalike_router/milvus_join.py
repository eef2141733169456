"""Makes a Milvus server ready to be an endpoint, or says why it is not the one expected. Knows no rows of a shop."""

import asyncio
import enum
from collections.abc import Sequence
from typing import Any

from pymilvus.grpc_gen import milvus_pb2

from lookalike_router import milvus_wire
from lookalike_router.errors import ShardFailed, ShardRefused
from lookalike_router.known import check_groups, check_scores, known_queries, known_rows
from lookalike_router.milvus_channel import MilvusChannel
from lookalike_router.milvus_wire import STRONG
from lookalike_router.shard import ROWS_MAX, Probe

COLLECTION_PREFIX = "lookalike_"
LITE = "milvus_lite"
HNSW = {"M": 16, "efConstruction": 200}
# The widest look that Milvus allows an HNSW search.
EF_MOST = 32_768
POLL_S = 0.02


class Index(enum.Enum):
    """How a shard finds the nearest vectors."""

    HNSW = "HNSW"
    """Nearly all of them, fast."""
    FLAT = "FLAT"
    """Exactly them, by looking at each."""


class Joining:
    """One join of one endpoint; every step may be repeated, so that one which a crash ended goes on."""

    def __init__(self, channel: MilvusChannel, shop: str, collection: str, index: Index | None, until: float) -> None:
        """Take the collection's name, and how to search it: `index` None is FLAT on Milvus Lite, elsewhere HNSW."""
        self._channel = channel
        self._shop = shop
        self._collection = collection
        self._index = index
        self._until = until

    async def run(self, founding: bool) -> Probe:
        """Check the server, making the collection if `founding`; raise ShardRefused if it is not as it must be."""
        version = (await self._call("GetVersion", milvus_pb2.GetVersionRequest())).version
        await self._check_identity(founding)
        if founding:
            await self._found(version)
        await self._check_schema()
        await self._load()
        if founding:
            request = milvus_wire.upsert(self._collection, known_rows(), milvus_wire.KNOWN)
            await self._call("Upsert", request)
            await self._call("Query", milvus_wire.nothing(self._collection, STRONG))
        return Probe(version, await self._check_answers())

    async def _call(self, method: str, request: Any) -> Any:
        return await self._channel.call(method, request, self._until)

    def _refusal(self, what: str) -> ShardRefused:
        return ShardRefused(self._channel.name, what)

    async def _check_identity(self, founding: bool) -> None:
        shown = await self._call("ShowCollections", milvus_pb2.ShowCollectionsRequest())
        ours = [one for one in shown.collection_names if one.startswith(COLLECTION_PREFIX)]
        strangers = [one for one in ours if one != self._collection]
        if founding and strangers:
            raise await self._occupied(strangers)
        if not founding and self._collection not in ours:
            name, uri = self._channel.name, self._channel.uri
            raise self._refusal(
                f"{uri} does not hold {self._collection}: the server was emptied or is another one; correct the "
                "address or bring its data back; where the shard has another replica, fill this one anew: "
                f"`lookalike replicas remove {name}`, then `lookalike replicas add {name.partition('/')[0]} {uri}`"
            )

    async def _occupied(self, strangers: Sequence[str]) -> ShardRefused:
        """Return the refusal of a server that holds rows of somebody else, who is asked for."""
        request = milvus_pb2.DescribeCollectionRequest(collection_name=strangers[0])
        said = (await self._call("DescribeCollection", request)).schema.description
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        return self._refusal(
            f"{self._channel.uri} holds {strangers[0]}{f' ({said})' if said else ''}{more} of another shop, shard or "
            "replica; give the address of an empty server, or drop the collection there if nobody needs its rows"
        )

    async def _found(self, version: str) -> None:
        """Make the collection."""
        name = self._collection
        if not (await self._call("HasCollection", milvus_pb2.HasCollectionRequest(collection_name=name))).value:
            about = f"lookalike: replica {self._channel.name} of shop {self._shop}"
            await self._call("CreateCollection", milvus_wire.create(name, about))
        place = {"collection_name": name, "partition_name": milvus_wire.KNOWN}
        if not (await self._call("HasPartition", milvus_pb2.HasPartitionRequest(**place))).value:
            await self._call("CreatePartition", milvus_pb2.CreatePartitionRequest(**place))
        if await self._metric():
            return
        kind = self._index or (Index.FLAT if version.startswith(LITE) else Index.HNSW)
        params = HNSW if kind is Index.HNSW else {}
        await self._call("CreateIndex", milvus_wire.index(name, kind.value, params))

    async def _metric(self) -> str:
        """Return the metric of the vectors' index, empty where there is none."""
        request = milvus_pb2.DescribeIndexRequest(collection_name=self._collection, field_name="vector")
        try:
            return milvus_wire.metric(await self._call("DescribeIndex", request))
        except ShardFailed:  # servers of 2.3 call "none" an error
            return ""

    async def _check_schema(self) -> None:
        request = milvus_pb2.DescribeCollectionRequest(collection_name=self._collection)
        found = milvus_wire.layout((await self._call("DescribeCollection", request)).schema)
        wanted = milvus_wire.layout(milvus_wire.schema("", ""))
        odd = {name for name, _ in found.items() ^ wanted.items()}
        if odd:
            said = ", ".join(
                f"{name} is {found.get(name, 'not there')}, not {wanted.get(name, 'there')}" for name in sorted(odd)
            )
            raise self._refusal(f"{self._collection} has other fields than this version writes: {said}; {self._anew}")
        metric = await self._metric()
        if metric != "IP":
            raise self._refusal(f"the index of {self._collection} has metric {metric or 'none'}, not IP; {self._anew}")

    @property
    def _anew(self) -> str:
        return (
            f"another program made it or changed it: drop {self._collection} at {self._channel.uri} if nobody needs "
            "its rows, and add the replica anew, or give the address of another server"
        )

    async def _load(self) -> None:
        name = self._collection
        await self._call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name))
        asked = milvus_pb2.GetLoadStateRequest(collection_name=name)
        while (await self._call("GetLoadState", asked)).state != milvus_wire.LOADED:  # noqa: ASYNC110 - remote
            await asyncio.sleep(POLL_S)

    async def _check_answers(self) -> bool:
        """Search the known vectors; raise ShardRefused if the answers are wrong, return whether the server groups."""
        known = milvus_wire.KNOWN
        request = milvus_wire.search(self._collection, known_queries(), ROWS_MAX, "", EF_MOST, partition=known)
        lists = milvus_wire.candidates(await self._call("Search", request), len(known_queries()))
        wrong = check_scores(lists)
        if wrong:
            raise self._refusal(wrong)
        request = milvus_wire.search(
            self._collection, known_queries()[:1], 10, "", EF_MOST, partition=known, group_by="product"
        )
        try:
            answer = await self._call("Search", request)
        except ShardFailed:
            return False
        return check_groups(milvus_wire.candidates(answer, 1)[0])
