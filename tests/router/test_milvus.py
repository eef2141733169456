"""What is Milvus's alone; the contract of every shard is in test_shards.py."""

import time

import pytest

from lookalike_router import milvus_wire
from lookalike_router.errors import ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.milvus import Index, MilvusShard
from lookalike_server.lite import LiteProcess, free_port
from tests.parts.shop import row, vectors

S = 60.0


def collection(shard: MilvusShard) -> str:
    return shard._collection


async def stranger(lite: LiteProcess) -> MilvusShard:
    """Return a shard that is connected, knows its name and is not founded."""
    shard = MilvusShard("a", lite.uri)
    with pytest.raises(ShardRefused):
        await shard.join("shop", founding=False, deadline_s=S)
    return shard


def test_an_address_shows_no_credentials() -> None:
    assert MilvusShard("a", "https://user:secret@host:1234/db").uri == "https://host:1234"
    assert MilvusShard("a", "http://host").uri == "http://host:19530"
    assert MilvusShard("a", "http://[::1]:5").uri == "http://[::1]:5"


@pytest.mark.parametrize("uri", ["", "host:19530", "./milvus.db", "ftp://host"])
def test_what_is_no_address_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(ValueError, match="shard a"):
        MilvusShard("a", uri)


async def test_founding_goes_on_where_a_crash_ended_it(lites: list[LiteProcess]) -> None:
    shard = await stranger(lites[0])
    name = collection(shard)
    await shard._call("CreateCollection", milvus_wire.create(name, ""), time.monotonic() + S)

    for _ in range(2):
        probe = await shard.join("shop", founding=True, deadline_s=S)

    assert probe.server_version.startswith("milvus_lite")
    assert probe.groups
    await shard.close()


async def test_a_collection_of_another_shape_is_refused(lites: list[LiteProcess]) -> None:
    shard = await stranger(lites[0])
    other = milvus_wire.create(collection(shard), "")
    schema = milvus_wire.schema(collection(shard), "")
    del schema.fields[3]
    other.schema = schema.SerializeToString()
    await shard._call("CreateCollection", other, time.monotonic() + S)

    with pytest.raises(ShardRefused, match="other fields"):
        await shard.join("shop", founding=True, deadline_s=S)
    await shard.close()


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
async def test_an_index_of_another_metric_is_refused(lites: list[LiteProcess], metric: str) -> None:
    shard = await stranger(lites[0])
    name = collection(shard)
    index = milvus_wire.index(name, "FLAT", {})
    next(pair for pair in index.extra_params if pair.key == "metric_type").value = metric
    await shard._call("CreateCollection", milvus_wire.create(name, ""), time.monotonic() + S)
    await shard._call("CreateIndex", index, time.monotonic() + S)

    with pytest.raises(ShardRefused, match="metric"):
        await shard.join("shop", founding=True, deadline_s=S)
    await shard.close()


async def test_an_hnsw_shard_answers_like_a_flat_one_while_it_is_small(lites: list[LiteProcess]) -> None:
    found = []
    for lite, index in zip(lites, (Index.HNSW, Index.FLAT), strict=False):
        shard = MilvusShard("a", lite.uri, index=index)
        await shard.join("shop", founding=True, deadline_s=S)
        await shard.upsert([row(f"p{i}", vector=vector) for i, vector in enumerate(vectors(50))], S)
        [hits] = await shard.search(vectors(1, seed=9), 10, None, S)
        found.append([hit.product_id for hit in hits])
        await shard.close()
    assert found[0] == found[1]


async def test_every_failure_is_a_shard_error() -> None:
    nobody = MilvusShard("a", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ShardUnreachable, match="not joined"):
        await nobody.search(vectors(1), 1, None, S)
    with pytest.raises((ShardUnreachable, ShardTimedOut)):
        await nobody.join("shop", founding=True, deadline_s=0.5)
    await nobody.close()
