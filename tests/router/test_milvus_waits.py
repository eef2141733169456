"""How often a Milvus server is asked, and as of when: waits cost 200 ms each on a standalone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymilvus.grpc_gen import milvus_pb2

from lookalike_router.errors import ShardUnreachable
from lookalike_router.milvus import KEYS_PER_CALL, PRODUCTS_PER_CALL, ROWS_PER_CALL, MilvusShard
from lookalike_router.milvus_wire import LATELY, LEVEL, STRONG
from lookalike_router.shard import Head
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_server.lite import LiteProcess
from tests.parts.shop import row, vectors
from tests.router.scripted import until
from tests.router.tap import Tap

S = 60.0
STAMP = 1_234_567
SLOTS_ALL = SlotRange(0, SLOTS - 1)


@pytest.fixture
async def tap(lites: list[LiteProcess]) -> AsyncIterator[Tap]:
    made = Tap(lites[0].uri)
    await made.start()
    made.changed["Upsert"] = stamped
    yield made
    await made.close()


@pytest.fixture
async def shard(tap: Tap) -> AsyncIterator[MilvusShard]:
    made = MilvusShard("a/1", tap.uri)
    await made.join("shop", founding=True, deadline_s=S)
    await made.heads(["p"], S)
    tap.taken()
    yield made
    await made.close()


def stamped(reply: bytes) -> bytes:
    """Return a reply of Milvus Lite to a write as a standalone would give it: with a timestamp."""
    answer = milvus_pb2.MutationResult.FromString(reply)
    answer.timestamp = STAMP
    return bytes(answer.SerializeToString())


def said(asked: list[tuple[str, Any]]) -> list[tuple[str, int | None]]:
    """Return the calls, and of queries as of when they ask."""
    return [(method, request.guarantee_timestamp if method == "Query" else None) for method, request in asked]


async def test_a_write_of_rows_waits_once_for_its_own_timestamp(shard: MilvusShard, tap: Tap) -> None:
    await shard.write([row("p")], [], S)
    assert said(tap.taken()) == [("Upsert", None), ("Query", STAMP)]


async def test_a_write_that_deletes_waits_once_too(shard: MilvusShard, tap: Tap) -> None:
    await shard.write([row("p", version=2)], [Head("p", "front", 1)], S)
    await shard.write([], [Head("p", "front", 2)], S)
    assert said(tap.taken()) == [
        ("Upsert", None),
        ("Delete", None),
        ("Query", STRONG),
        ("Delete", None),
        ("Query", STRONG),
    ]


async def test_writing_nothing_asks_nothing(shard: MilvusShard, tap: Tap) -> None:
    await shard.write([], [], S)
    await shard.read([], S)
    assert tap.taken() == []


async def test_a_large_write_is_cut_and_waits_once(shard: MilvusShard, tap: Tap) -> None:
    rows = [row("p", f"{i}", vector=vector) for i, vector in enumerate(vectors(ROWS_PER_CALL + 1))]
    await shard.write(rows, [Head("gone", f"{i}", 1) for i in range(KEYS_PER_CALL + 1)], S)

    asked = tap.taken()
    assert [method for method, _ in asked] == ["Upsert", "Upsert", "Delete", "Delete", "Query"]
    assert [request.num_rows for method, request in asked if method == "Upsert"] == [ROWS_PER_CALL, 1]


async def test_a_row_given_twice_is_sent_once(shard: MilvusShard, tap: Tap) -> None:
    await shard.write([row("p"), row("q"), row("p")], [], S)
    [(_, request), _] = tap.taken()
    assert request.num_rows == 2


async def test_many_products_are_read_some_at_a_time(shard: MilvusShard, tap: Tap) -> None:
    await shard.heads([f"p{i}" for i in range(PRODUCTS_PER_CALL + 1)], S)
    assert said(tap.taken()) == [("Query", LATELY)] * 2


async def test_reads_wait_once_after_a_join_and_then_no_more(shard: MilvusShard, tap: Tap) -> None:
    await shard.join("shop", founding=False, deadline_s=S)
    await shard.heads(["p"], S)
    await shard.read(["p"], S)
    await shard.scan([SLOTS_ALL], None, 10, S)
    await shard.count([SLOTS_ALL], None, S)
    assert said(tap.taken()) == [("Query", STRONG)] + [("Query", LATELY)] * 3


async def test_no_read_waits_for_writes_that_were_acknowledged(shard: MilvusShard, tap: Tap) -> None:
    await shard.write([row("p")], [], S)
    tap.taken()
    await shard.read(["p"], S)
    [(_, request)] = tap.taken()
    assert (request.consistency_level, request.guarantee_timestamp) == (LEVEL.Bounded, LATELY)


@pytest.mark.parametrize("method", ["Upsert", "Delete", "Query"])
async def test_the_first_read_after_a_write_of_unknown_outcome_waits(shard: MilvusShard, tap: Tap, method: str) -> None:
    tap.lost.add(method)
    with pytest.raises(ShardUnreachable, match="lost"):
        await shard.write([row("p")], [Head("q", "front", 1)], S)
    assert not tap.lost
    tap.taken()

    await shard.write([row("q", version=2)], [], S)
    assert await shard.heads(["p"], S) == [Head("p", "front", 1)]
    await shard.heads(["p"], S)

    assert said(tap.taken()) == [("Upsert", None), ("Query", STAMP), ("Query", STRONG), ("Query", LATELY)]


async def test_a_read_that_began_before_a_write_failed_settles_nothing(shard: MilvusShard, tap: Tap) -> None:
    tap.held["Query"] = asyncio.Event()
    early = asyncio.create_task(shard.heads(["p"], S))
    await until(lambda: bool(tap.asked))
    tap.lost.add("Upsert")
    with pytest.raises(ShardUnreachable):
        await shard.write([row("p")], [], S)
    tap.held.pop("Query").set()
    await early
    tap.taken()

    await shard.heads(["p"], S)

    assert said(tap.taken()) == [("Query", STRONG)]


async def test_a_write_on_its_way_makes_no_read_wait(shard: MilvusShard, tap: Tap) -> None:
    tap.held["Upsert"] = asyncio.Event()
    write = asyncio.create_task(shard.write([row("p")], [], S))
    await until(lambda: bool(tap.asked))

    await shard.heads(["p"], S)

    assert said(tap.taken()) == [("Upsert", None), ("Query", LATELY)]
    tap.held["Upsert"].set()
    await write


async def test_comparing_sees_what_any_router_wrote(shard: MilvusShard, tap: Tap) -> None:
    await shard.digests(SLOTS_ALL, S)
    await shard.heads_in([SLOTS_ALL], S)
    asked = tap.taken()
    assert said(asked) == [("Query", STRONG)] * 2
    assert {request.consistency_level for _, request in asked} == {LEVEL.Strong}
