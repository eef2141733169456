"""What is Milvus's alone; the contract of every shard is in test_shards.py."""

import asyncio
from typing import Any

import pytest

from lookalike_router import milvus_wire
from lookalike_router.errors import ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.milvus import MilvusShard
from lookalike_router.milvus_join import Index
from lookalike_router.shard import Head
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_server.lite import LiteProcess, free_port
from tests.parts import milvus
from tests.parts.shop import row, vectors
from tests.router.conftest import no_standalone

S = 60.0


def collection(shard: MilvusShard) -> str:
    return shard._collection


async def call(shard: MilvusShard, method: str, request: Any) -> None:
    await shard._channel.call(method, request, asyncio.get_running_loop().time() + S)


async def stranger(lite: LiteProcess) -> MilvusShard:
    """Return a shard that is connected, knows its name and is not founded."""
    shard = MilvusShard("a/1", lite.uri)
    with pytest.raises(ShardRefused):
        await shard.join("shop", founding=False, deadline_s=S)
    return shard


def test_an_address_has_one_spelling() -> None:
    assert MilvusShard("a/1", "https://HOST:1234").uri == "https://host:1234"
    assert MilvusShard("a/1", "http://host/").uri == "http://host:19530"
    assert MilvusShard("a/1", "http://[::1]:5").uri == "http://[::1]:5"


@pytest.mark.parametrize("uri", ["https://user:secret@host:1", "http://secret@host", "http://:secret@host"])
def test_an_address_with_credentials_is_refused_without_repeating_them(uri: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        MilvusShard("a/1", uri)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("uri", ["", "host:19530", "./milvus.db", "ftp://host", "http://host:port", "http://[host"])
def test_what_is_no_address_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(ValueError, match="shard a"):
        MilvusShard("a/1", uri)


async def test_founding_goes_on_where_a_crash_ended_it(lites: list[LiteProcess]) -> None:
    shard = await stranger(lites[0])
    await call(shard, "CreateCollection", milvus_wire.create(collection(shard), ""))

    probe = await shard.join("shop", founding=True, deadline_s=S)

    assert probe.server_version.startswith("milvus_lite")
    assert probe.groups
    await shard.close()


async def test_founding_what_is_founded_keeps_its_rows(lites: list[LiteProcess]) -> None:
    shard = MilvusShard("a/1", lites[0].uri)
    await shard.join("shop", founding=True, deadline_s=S)
    await shard.write([row("p")], [], S)

    await shard.join("shop", founding=True, deadline_s=S)

    assert await shard.heads(["p"], S) == [Head("p", "front", 1)]
    await shard.close()


@pytest.mark.parametrize(("name", "shop"), [("a/2", "shop"), ("b/1", "shop"), ("a/1", "another shop")])
async def test_a_server_that_another_holds_is_refused(lites: list[LiteProcess], name: str, shop: str) -> None:
    holder, intruder = MilvusShard("a/1", lites[0].uri), MilvusShard(name, lites[0].uri)
    await holder.join("shop", founding=True, deadline_s=S)

    with pytest.raises(ShardRefused, match="another shop, shard or replica; give the address of an empty"):
        await intruder.join(shop, founding=True, deadline_s=S)
    with pytest.raises(ShardRefused, match="another one"):
        await intruder.join(shop, founding=False, deadline_s=S)

    assert await holder.count([SlotRange(0, SLOTS - 1)], None, S) == 0
    await holder.close()
    await intruder.close()


@pytest.mark.standalone
@no_standalone
async def test_a_standalone_says_whose_rows_it_holds(standalone_of_ones_own: milvus.Standalone) -> None:
    holder, intruder = (MilvusShard(name, standalone_of_ones_own.uri) for name in ("a/1", "a/2"))
    await holder.join("shop", founding=True, deadline_s=S)

    with pytest.raises(ShardRefused, match=r"\(lookalike: replica a/1 of shop shop\)"):
        await intruder.join("shop", founding=True, deadline_s=S)

    await holder.close()
    await intruder.close()


async def test_a_server_that_was_emptied_is_refused_with_the_way_out(lites: list[LiteProcess]) -> None:
    uri = lites[0].uri
    shard = MilvusShard("a/2", uri)
    await shard.join("shop", founding=True, deadline_s=S)
    milvus.empty(uri)

    with pytest.raises(ShardRefused):
        await shard.search(vectors(1), 1, None, S)
    with pytest.raises(ShardRefused, match="emptied") as refused:
        await shard.join("shop", founding=False, deadline_s=S)

    assert f"`lookalike replicas remove a/2`, then `lookalike replicas add a {uri}`" in str(refused.value)
    await shard.close()


@pytest.mark.parametrize("dim", [None, 128])
async def test_a_collection_of_another_shape_is_refused(lites: list[LiteProcess], dim: int | None) -> None:
    shard = await stranger(lites[0])
    other = milvus_wire.create(collection(shard), "")
    schema = milvus_wire.schema(collection(shard), "")
    if dim is None:
        del schema.fields[3]
    else:
        vector = next(field for field in schema.fields if field.name == "vector")
        vector.type_params[0].value = str(dim)
    other.schema = schema.SerializeToString()
    await call(shard, "CreateCollection", other)

    with pytest.raises(ShardRefused, match="other fields") as refused:
        await shard.join("shop", founding=True, deadline_s=S)

    assert ("not there, not VarChar" if dim is None else "dim=128, not") in str(refused.value)
    assert f"drop {collection(shard)} at {lites[0].uri}" in str(refused.value)
    await shard.close()


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
async def test_an_index_of_another_metric_is_refused(lites: list[LiteProcess], metric: str) -> None:
    shard = await stranger(lites[0])
    name = collection(shard)
    index = milvus_wire.index(name, "FLAT", {})
    next(pair for pair in index.extra_params if pair.key == "metric_type").value = metric
    await call(shard, "CreateCollection", milvus_wire.create(name, ""))
    await call(shard, "CreateIndex", index)

    for founding in (True, False):
        with pytest.raises(ShardRefused, match=f"metric {metric}, not IP.*drop {name}"):
            await shard.join("shop", founding=founding, deadline_s=S)
    await shard.close()


async def test_an_hnsw_shard_answers_like_a_flat_one_while_it_is_small(lites: list[LiteProcess]) -> None:
    found = []
    for lite, index in zip(lites, (Index.HNSW, Index.FLAT), strict=False):
        shard = MilvusShard("a/1", lite.uri, index=index)
        await shard.join("shop", founding=True, deadline_s=S)
        await shard.write([row(f"p{i}", vector=vector) for i, vector in enumerate(vectors(50))], [], S)
        [hits] = await shard.search(vectors(1, seed=9), 10, None, S)
        found.append([hit.product_id for hit in hits])
        await shard.close()
    assert found[0] == found[1]


async def test_every_failure_is_a_shard_error() -> None:
    nobody = MilvusShard("a/1", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ShardUnreachable, match="not joined"):
        await nobody.search(vectors(1), 1, None, S)
    with pytest.raises((ShardUnreachable, ShardTimedOut)):
        await nobody.join("shop", founding=True, deadline_s=0.5)
    await nobody.close()
