"""What operators do to a running shop, over real gRPC: replicas and shards come and go, and are compared."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from lookalike.v1 import admin_pb2, search_pb2
from lookalike_router.errors import ShardRefused, ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.memory import MemoryShard
from lookalike_router.shard import Candidate, Probe, Shard
from lookalike_router.slots import SlotRange
from lookalike_router.sweep import Sweeper
from tests.parts.service import (
    CALL_S,
    RED,
    Shop,
    Told,
    address_of,
    eventually,
    memory_shards,
    open_shop,
    product,
    told_by,
)
from tests.parts.shop import row
from tests.server.photos import jpeg, plain

Replica = admin_pb2.Replica
S = admin_pb2.ShardStatus
PRODUCTS = [f"p{n}" for n in range(30)]


class Foreign(MemoryShard):
    """A server that belongs to somebody else."""

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        raise ShardRefused(self.name, "holds rows of another shop; give another server")


class Full(MemoryShard):
    """A server with rows that the shard does not have."""

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        await self.write([row("nobody's")], [], deadline_s)
        return await super().join(shop, founding, deadline_s)


class Closed(MemoryShard):
    """A server that is not there."""

    async def join(self, shop: str, founding: bool, deadline_s: float) -> Probe:
        raise ShardUnreachable(self.name, "connection refused")


class Dying(MemoryShard):
    """An endpoint that dies when told."""

    dead = False

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        if self.dead:
            raise ShardUnreachable(self.name, "connection refused")
        return await super().search(queries, limit, where, deadline_s)


@pytest.fixture
def shards() -> list[Shard]:
    """Return the endpoints of a shop whose shard a has two replicas."""
    return memory_shards("a/1", "a/2", "b/1")


@pytest.fixture
async def shop(tmp_path: Path, shards: list[Shard]) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, shards=shards) as running:
        await asyncio.gather(*(running.put(product(name, RED)) for name in PRODUCTS))
        yield running


async def listed(shop: Shop) -> dict[str, admin_pb2.ShardStatus]:
    answer = await shop.admin.ListShards(admin_pb2.ListShardsRequest(), timeout=CALL_S)
    return {one.shard.name: one for one in answer.shards}


async def replicas(shop: Shop, shard: str) -> dict[str, admin_pb2.ReplicaStatus]:
    return {one.replica.name: one for one in (await listed(shop))[shard].replicas}


async def verified(shop: Shop, **asked: object) -> admin_pb2.VerifyProgress:
    """Compare to the end and return the last word."""
    request = admin_pb2.VerifyRequest(**asked)  # type: ignore[arg-type]
    told = [one async for one in shop.admin.Verify(request, timeout=CALL_S)]
    assert [one.done for one in told] == [False] * (len(told) - 1) + [True]
    return told[-1]


async def ask(shop: Shop, asked: object) -> None:
    """Make the call that a request is for."""
    match asked:
        case admin_pb2.AddShardRequest():
            await shop.admin.AddShard(asked, timeout=CALL_S)
        case admin_pb2.AddReplicaRequest():
            await shop.admin.AddReplica(asked, timeout=CALL_S)
        case admin_pb2.RemoveReplicaRequest():
            await shop.admin.RemoveReplica(asked, timeout=CALL_S)
        case admin_pb2.VerifyRequest():
            _ = [one async for one in shop.admin.Verify(asked, timeout=CALL_S)]
        case _:
            raise AssertionError(f"no call takes {asked}")


async def refused(call: Awaitable[object]) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return told_by(error.value)


async def test_every_replica_is_shown(shop: Shop) -> None:
    shown = await replicas(shop, "a")
    assert list(shown) == ["a/1", "a/2"]
    assert {one.replica.sync for one in shown.values()} == {Replica.SYNC_IN_SYNC}
    assert {one.state for one in shown.values()} == {S.STATE_HEALTHY}
    assert shown["a/1"].rows == shown["a/2"].rows > 0
    assert shown["a/2"].replica.uri == address_of("a/2")
    both = await listed(shop)
    assert sum(one.rows for one in both.values()) == len(PRODUCTS)


async def test_a_replica_is_added_filled_and_in_sync_while_the_shop_serves(shop: Shop) -> None:
    request = admin_pb2.AddReplicaRequest(shard="b", uri=address_of("b/2"))
    assert (await shop.admin.AddReplica(request, timeout=CALL_S)).replica == "b/2"
    await shop.put(product("written meanwhile", RED))

    async def in_sync() -> bool:
        return (await replicas(shop, "b"))["b/2"].replica.sync == Replica.SYNC_IN_SYNC

    await eventually(in_sync)
    shown = await replicas(shop, "b")
    assert shown["b/1"].rows == shown["b/2"].rows
    assert shown["b/2"].filled == 1
    told = await verified(shop, shard="b")
    assert (told.differing_total, list(told.skipped_replicas), told.slots_done) == (0, [], told.slots)


async def test_a_replica_that_is_removed_is_asked_no_more(shop: Shop, shards: list[Shard]) -> None:
    await shop.admin.RemoveReplica(admin_pb2.RemoveReplicaRequest(replica="a/1"), timeout=CALL_S)
    assert list(await replicas(shop, "a")) == ["a/2"]
    await shop.put(product("p0", (255, 10, 0)), *(product(f"new {n}", RED) for n in range(10)))
    held = {head.product_id for head in await shards[0].heads([f"new {n}" for n in range(10)], CALL_S)}
    found = await shop.search.Search(
        search_pb2.SearchRequest(image=jpeg(plain(RED)), limit=200, explain=True), timeout=CALL_S
    )
    assert held == set()
    assert len(found.hits) == len(PRODUCTS) + 10
    assert [one.replica for one in found.explanation.shards] == ["a/2", "b/1"]


async def test_a_shard_is_added_empty_and_owns_nothing(shop: Shop) -> None:
    uris = [address_of("c/1"), address_of("c/2")]
    added = (await shop.admin.AddShard(admin_pb2.AddShardRequest(name="c", uris=uris, weight=2), timeout=CALL_S)).shard
    assert (added.name, added.weight, added.slots) == ("c", 2, 0)
    assert [(one.name, one.uri) for one in added.replicas] == [("c/1", uris[0]), ("c/2", uris[1])]
    assert [(one.state, one.rows) for name, one in (await listed(shop)).items() if name == "c"] == [
        (S.STATE_HEALTHY, 0)
    ]
    found = await shop.search.Search(search_pb2.SearchRequest(image=jpeg(plain(RED)), limit=200), timeout=CALL_S)
    assert (len(found.hits), found.coverage.shards_asked, found.coverage.slots_fraction) == (len(PRODUCTS), 2, 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (admin_pb2.AddShardRequest(name="a", uris=[address_of("c/1")]), "a"),
        (admin_pb2.AddShardRequest(name="c", uris=[address_of("a/2")]), "a/2"),
        (admin_pb2.AddReplicaRequest(shard="c", uri=address_of("c/1")), "c"),
        (admin_pb2.AddReplicaRequest(shard="b", uri=address_of("a/1")), "a/1"),
        (admin_pb2.RemoveReplicaRequest(replica="a/3"), "a/3"),
        (admin_pb2.RemoveReplicaRequest(replica="b/1"), "shard b"),
        (admin_pb2.VerifyRequest(shard="c"), "c"),
    ],
    ids=[
        "a shard's name that is taken",
        "a shard at another's address",
        "a replica of no shard",
        "a replica at another's address",
        "no replica of that name",
        "the last replica",
        "no shard to verify",
    ],
)
async def test_what_would_break_the_map_is_refused_and_changes_nothing(shop: Shop, asked: object, said: str) -> None:
    before = await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S)
    told = await refused(ask(shop, asked))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")
    assert said in told.message
    assert await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S) == before


async def test_a_wrong_field_is_named(shop: Shop) -> None:
    told = await refused(
        shop.admin.AddShard(
            admin_pb2.AddShardRequest(name="c", uris=["http://u:s3cret@x:1"], weight=-1), timeout=CALL_S
        )
    )
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["uris[0]", "weight"])
    assert "--shard-token" in told.fields["uris[0]"]
    assert "s3cret" not in str(told)


async def test_a_server_that_cannot_be_a_replica_is_refused_with_what_to_do(tmp_path: Path) -> None:
    spare = [kind(name, address_of(name)) for kind, name in ((Foreign, "b/2"), (Full, "b/3"), (Closed, "b/4"))]
    async with open_shop(tmp_path, shards=memory_shards("b/1"), spare=spare) as shop:

        async def added(name: str) -> Told:
            return await refused(
                shop.admin.AddReplica(admin_pb2.AddReplicaRequest(shard="b", uri=address_of(name)), timeout=2)
            )

        foreign, filled, closed = await added("b/2"), await added("b/3"), await added("b/4")
        assert (foreign.code, foreign.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REPLICA_REFUSED")
        assert "give another server" in foreign.message
        assert (filled.code, filled.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REPLICA_REFUSED")
        assert "nobody's" in filled.message
        assert closed.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert list(await replicas(shop, "b")) == ["b/1"]


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no router compare replicas by itself: it would repair what a test has broken."""
    monkeypatch.setattr(Sweeper, "start", lambda self: None)


@pytest.mark.usefixtures("unswept")
async def test_a_comparison_finds_what_differs_and_repairs_it_when_asked(shop: Shop, shards: list[Shard]) -> None:
    lost = (await shards[1].heads(PRODUCTS, CALL_S))[:3]
    await shards[1].write([], lost, CALL_S)
    names = sorted(head.product_id for head in lost)
    request = admin_pb2.VerifyRequest(shard="a")
    told = [one async for one in shop.admin.Verify(request, timeout=CALL_S)]
    assert sorted(name for one in told for name in one.differing_product_ids) == names
    assert (told[-1].differing_total, told[-1].repaired_total) == (3, 0)
    assert (await verified(shop, repair=True)).repaired_total == 3
    assert (await verified(shop)).differing_total == 0
    assert sorted(head.product_id for head in await shards[1].heads(names, CALL_S)) == names


async def test_a_comparison_may_begin_where_another_was_stopped(shop: Shop) -> None:
    whole = await verified(shop)
    rest = await verified(shop, from_slot=16_000)
    assert rest.rows < whole.rows
    assert rest.done


async def test_a_comparison_ends_with_its_caller(tmp_path: Path) -> None:
    class Slow(MemoryShard):
        async def count(self, slots: Sequence[SlotRange], where: Filter | None, deadline_s: float) -> int:
            await asyncio.Event().wait()
            return 0

    slow = [Slow(name, address_of(name)) for name in ("a/1", "a/2")]
    async with open_shop(tmp_path, shards=slow) as shop:
        call = shop.admin.Verify(admin_pb2.VerifyRequest())
        reading = asyncio.ensure_future(call.read())

        async def comparing(streams: int) -> bool:
            assert not reading.done() or reading.cancelled()
            await asyncio.sleep(0)
            return shop.serving._edge._streams == streams

        await eventually(lambda: comparing(1))
        call.cancel()
        reading.cancel()
        await asyncio.wait([reading])
        await eventually(lambda: comparing(0))


async def test_an_answer_explains_itself_only_when_asked(shop: Shop) -> None:
    photo = jpeg(plain(RED))
    plainly = await shop.search.Search(search_pb2.SearchRequest(image=photo), timeout=CALL_S)
    told = await shop.search.Search(search_pb2.SearchRequest(image=photo, explain=True), timeout=CALL_S)
    assert not plainly.HasField("explanation")
    assert [one.shard for one in told.explanation.shards] == ["a", "b"]
    assert {one.replica.split("/")[0] for one in told.explanation.shards} == {"a", "b"}
    assert all(one.rows > 0 and one.rounds >= 1 and one.ms > 0 and not one.message for one in told.explanation.shards)


async def test_a_dead_replica_costs_nothing_and_the_explanation_names_who_stood_in(tmp_path: Path) -> None:
    dying = [Dying(name, address_of(name)) for name in ("a/1", "a/2")]
    async with open_shop(tmp_path, shards=dying) as shop:
        await shop.put(*(product(name, RED) for name in PRODUCTS))
        dying[0].dead = True
        retries = set()
        for _ in range(20):
            found = await shop.search.Search(
                search_pb2.SearchRequest(image=jpeg(plain(RED)), explain=True, coverage_min=1), timeout=CALL_S
            )
            [one] = found.explanation.shards
            assert (found.coverage.slots_fraction, one.replica) == (1, "a/2")
            retries.add(one.retry)
        assert "a/2" in retries
