import asyncio
import time

import pytest

from lookalike_router.clock import HybridClock
from lookalike_router.errors import ShardFailed, ShardTimedOut, ShardUnreachable
from lookalike_router.member import InUse, Member
from lookalike_router.writer import BATCH_ROWS_MAX, Order, Writer
from tests.parts.shop import product, products, row, vectors
from tests.router.conftest import SHOP
from tests.router.scripted import ScriptedShard, until

S = 5.0
PICTURES = list(vectors(3))


class Desk:
    """A writer with its shard, and short words for its calls."""

    def __init__(self) -> None:
        self.shard = ScriptedShard("a")
        self.member = Member(self.shard, SHOP)
        self.writer = Writer(self.member, HybridClock(time.time))

    async def put(self, product_id: str, pictures: int = 1, deadline_s: float = S) -> int:
        write = product(product_id, PICTURES[:pictures])
        return await self.writer.put(product_id, write, time.monotonic() + deadline_s)

    async def remove(self, product_id: str) -> int:
        return await self.writer.put(product_id, Order.DELETE, time.monotonic() + S)


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    await made.member.join(founding=True, deadline_s=S)
    return made


async def test_calls_that_wait_join_one_batch(desk: Desk) -> None:
    desk.shard.gate.clear()
    calls = [asyncio.ensure_future(desk.put(f"p{i}")) for i in range(10)]
    await asyncio.sleep(0)
    desk.shard.gate.set()
    await asyncio.gather(*calls)
    assert len(desk.shard.upserted) <= 2
    assert sum(desk.shard.upserted) == 10
    await desk.writer.close()


async def test_a_batch_has_a_limit(desk: Desk) -> None:
    writes = products(300, pictures=2)
    until_s = time.monotonic() + S
    await asyncio.gather(*(desk.writer.put(one.product_id, one, until_s) for one in writes))
    assert sum(desk.shard.upserted) == 600
    assert max(desk.shard.upserted) <= BATCH_ROWS_MAX
    await desk.writer.close()


async def test_pictures_no_longer_named_are_gone(desk: Desk) -> None:
    assert await desk.put("p", pictures=3) == 0
    assert await desk.put("p", pictures=1) == 2
    assert [one.image_id for one in await desk.shard.read(["p"], S)] == ["picture 0"]
    assert await desk.remove("p") == 1
    assert await desk.remove("p") == 0
    await desk.writer.close()


async def test_tidying_deletes_older_versions_alone(desk: Desk) -> None:
    await desk.shard.upsert([row("p", "old", version=1), row("p", "new", version=2), row("q", "old", version=1)], S)
    assert await desk.writer.put("p", Order.TIDY, time.monotonic() + S) == 1
    assert [one.image_id for one in await desk.shard.read(["p"], S)] == ["new"]
    assert await desk.writer.put("q", Order.TIDY, time.monotonic() + S) == 0
    await desk.writer.close()


async def test_writes_of_one_product_keep_their_order(desk: Desk) -> None:
    desk.shard.gate.clear()
    calls = [asyncio.ensure_future(desk.put("p", pictures)) for pictures in (1, 3, 2)]
    gone = asyncio.ensure_future(desk.remove("q"))
    desk.shard.gate.set()
    await asyncio.gather(*calls, gone)
    assert len(await desk.shard.read(["p"], S)) == 2
    await desk.writer.close()


async def test_a_version_is_newer_than_what_another_clock_wrote(desk: Desk) -> None:
    ahead = 2**62
    await desk.shard.upsert([row("p", version=ahead)], S)
    await desk.put("p")
    assert [one.version > ahead for one in await desk.shard.read(["p"], S)] == [True]
    await desk.writer.close()


async def test_a_failed_write_is_said_to_be_unknown_and_the_next_one_works(desk: Desk) -> None:
    await desk.put("p")
    desk.shard.gate.clear()
    call = asyncio.ensure_future(desk.put("p", pictures=2))
    await asyncio.sleep(0)
    desk.shard.error = ShardFailed("a", "is broken")
    desk.shard.gate.set()
    with pytest.raises(ShardFailed):
        await call
    desk.shard.error = None
    joins = desk.shard.joins
    await until(lambda: desk.shard.joins > joins and isinstance(desk.member.state, InUse))
    assert await desk.put("p", pictures=2) == 0
    await desk.writer.close()
    await desk.member.close()


async def test_a_bug_in_one_batch_ends_that_batch_alone(desk: Desk) -> None:
    desk.shard.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await desk.put("p")
    desk.shard.error = None
    await desk.put("p")
    await desk.writer.close()


async def test_a_write_that_is_not_confirmed_in_time_is_said_to_be_unknown(desk: Desk) -> None:
    desk.shard.gate.clear()
    with pytest.raises(ShardTimedOut, match="unknown"):
        await desk.put("p", deadline_s=0.02)
    desk.shard.gate.set()
    await desk.put("q")
    await desk.writer.close()


async def test_a_write_to_a_shard_that_is_away_fails_at_once(desk: Desk) -> None:
    desk.shard.error = ShardUnreachable("a", "is down")
    desk.member.report(desk.shard.error)
    with pytest.raises(ShardUnreachable, match="is down"):
        await desk.put("p")
    assert desk.shard.upserted == []
    await desk.writer.close()
    await desk.member.close()


async def test_closing_finishes_what_waits(desk: Desk) -> None:
    desk.shard.gate.clear()
    calls = [asyncio.ensure_future(desk.put(f"p{i}")) for i in range(5)]
    await until(lambda: desk.shard.joins == 1)
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(desk.writer.close())
    desk.shard.gate.set()
    await closing
    assert [call.result() for call in calls] == [0] * 5
