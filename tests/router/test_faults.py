"""Real shards that die, hang and come back while they are searched and written."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from lookalike_router.answer import Coverage, Found, ShardSpec, State, Trouble
from lookalike_router.errors import ShardError
from lookalike_router.milvus import MilvusShard
from lookalike_router.router import Router
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.sql_store import SqlStore
from lookalike_router.store import Sync
from lookalike_server.lite import LiteProcess
from tests.parts import milvus
from tests.parts.shop import product, products, vectors
from tests.router.conftest import no_standalone

PRODUCTS = 60
SEARCH_S = 2.0
WRITE_S = 60.0
# A search answers within its deadline; what is measured from outside also has the test's own machine in it.
SLACK_S = 2.0
# The promise: whole again this soon after a shard answers again.
BACK_S = 5.0
READY_S = 60.0


def shards_of(lites: list[LiteProcess]) -> list[ShardSpec]:
    return [ShardSpec(one.name, (one.uri,)) for one in lites]


@pytest.fixture
async def router(lites: list[LiteProcess], tmp_path: Path) -> AsyncIterator[Router]:
    opened = await Router.open(SqlStore(f"sqlite:///{tmp_path}/placement.db"), shards_of(lites), MilvusShard)
    assert await opened.upsert(products(PRODUCTS), WRITE_S) == [None] * PRODUCTS
    yield opened
    await opened.close()


async def search(router: Router) -> Found:
    """Search all products; fail if that takes longer than it may."""
    start = time.monotonic()
    found = await router.search(vectors(1), PRODUCTS, deadline_s=SEARCH_S)
    assert time.monotonic() - start < SEARCH_S + SLACK_S
    return found


async def until(holds: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
    """Return once the condition holds; fail if it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not await holds():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.01)


def owned(router: Router, shard: str) -> float:
    """Return the fraction of the slots that a shard owns."""
    [place] = [place for place in router.topology().shards if place.name == shard]
    return sum(len(run) for run in place.ranges) / SLOTS


def owner(router: Router, product_id: str) -> str:
    slot = slot_of(product_id)
    [name] = [
        place.name for place in router.topology().shards if any(run.first <= slot <= run.last for run in place.ranges)
    ]
    return name


async def whole(router: Router) -> bool:
    return (await search(router)).coverage == Coverage(3, 3, 1.0)


async def joins(shard: MilvusShard, shop: str) -> bool:
    """Say whether a shard is back, without the router's help."""
    try:
        await shard.join(shop, founding=False, deadline_s=SEARCH_S)
    except ShardError:
        return False
    finally:
        await shard.close()
    return True


def expect_all_but(found: Found, router: Router, lost: str, kinds: set[Trouble]) -> None:
    """Check that an answer holds everything but the lost shard's, and says so."""
    assert found.coverage.shards_answered == 2
    assert found.coverage.slots_fraction == pytest.approx(1 - owned(router, lost))
    assert found.coverage.slots_fraction == pytest.approx(2 / 3, abs=0.001)
    [missing] = found.coverage.missing
    assert (missing.shard, missing.kind in kinds) == (lost, True)
    wanted = {f"product {i}" for i in range(PRODUCTS) if owner(router, f"product {i}") != lost}
    assert {hit.product_id for hit in found.answers[0]} == wanted


async def test_a_killed_shard_costs_its_slots_and_comes_back(router: Router, lites: list[LiteProcess]) -> None:
    assert await whole(router)
    victim = lites[1]
    milvus.kill(victim.pid)
    psutil.Process(victim.pid).wait(timeout=10)

    for _ in range(5):
        found = await search(router)
        expect_all_but(found, router, "b", {Trouble.UNREACHABLE})
    reports = {report.name: report.replicas[0].state for report in await router.shards(SEARCH_S)}
    assert reports == {"a": State.HEALTHY, "b": State.UNREACHABLE, "c": State.HEALTHY}

    victim.start()
    victim.wait_ready(READY_S)
    await until(lambda: whole(router), BACK_S)
    assert len((await search(router)).answers[0]) == PRODUCTS


async def test_a_paused_shard_costs_its_slots_and_no_more_than_the_deadline(
    router: Router, lites: list[LiteProcess]
) -> None:
    victim = lites[2]
    milvus.pause(victim.pid)
    assert psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED

    expect_all_but(await search(router), router, "c", {Trouble.TIMED_OUT})
    for _ in range(5):
        expect_all_but(await search(router), router, "c", {Trouble.TIMED_OUT, Trouble.UNREACHABLE})
    for found in await asyncio.gather(*(search(router) for _ in range(8))):
        expect_all_but(found, router, "c", {Trouble.TIMED_OUT, Trouble.UNREACHABLE})

    milvus.resume(victim.pid)
    await until(lambda: whole(router), BACK_S)


async def test_a_shard_known_to_be_away_costs_no_search_its_deadline(router: Router, lites: list[LiteProcess]) -> None:
    milvus.pause(lites[0].pid)

    async def at_once() -> bool:
        start = time.monotonic()
        found = await search(router)
        return found.coverage.shards_answered == 2 and time.monotonic() - start < SEARCH_S / 2

    await until(at_once, READY_S)
    milvus.resume(lites[0].pid)
    await until(lambda: whole(router), READY_S)


async def test_writes_to_a_lost_shard_fail_alone(router: Router, lites: list[LiteProcess]) -> None:
    milvus.kill(lites[0].pid)
    writes = [product(f"new {i}", [vectors(1, seed=i)[0]]) for i in range(30)]

    errors = await router.upsert(writes, WRITE_S)

    lost = [owner(router, write.product_id) == "a" for write in writes]
    assert set(lost) == {True, False}
    assert [isinstance(error, ShardError) and error.shard == "a" for error in errors] == lost
    with pytest.raises(ShardError):
        await router.get([writes[lost.index(True)].product_id], WRITE_S)
    with pytest.raises(ShardError):
        await router.delete(writes[lost.index(True)].product_id, WRITE_S)
    with pytest.raises(ShardError):
        await router.scan(None, 100, deadline_s=WRITE_S)
    kept = writes[lost.index(False)].product_id
    assert list(await router.get([kept], WRITE_S)) == [kept]


async def test_a_write_to_a_paused_shard_is_said_to_be_unknown(router: Router, lites: list[LiteProcess]) -> None:
    milvus.pause(lites[0].pid)
    write = next(
        write
        for write in (product(f"new {i}", [vectors(1, seed=i)[0]]) for i in range(100))
        if owner(router, write.product_id) == "a"
    )

    [error] = await router.upsert([write], 0.5)

    assert isinstance(error, ShardError)
    milvus.resume(lites[0].pid)
    await until(lambda: whole(router), READY_S)
    assert await router.upsert([write], WRITE_S) == [None]
    assert list(await router.get([write.product_id], WRITE_S)) == [write.product_id]


async def test_no_acknowledged_write_is_lost_when_every_process_is_killed_while_writing(
    lites: list[LiteProcess], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/placement.db"
    router = await Router.open(SqlStore(url), shards_of(lites), MilvusShard)
    acknowledged: list[str] = []

    async def write(start: int) -> None:
        for i in range(start, start + 1000):
            [error] = await router.upsert([product(f"p{i}", [vectors(1, seed=i)[0]])], WRITE_S)
            if error is not None:
                return
            acknowledged.append(f"p{i}")

    writers = [asyncio.ensure_future(write(1000 * k)) for k in range(8)]
    await until(lambda: asyncio.sleep(0, len(acknowledged) > 100), READY_S)
    for one in lites:
        milvus.kill(one.pid)
    await asyncio.gather(*writers)
    await router.close()

    for one in lites:
        one.start()
    for one in lites:
        one.wait_ready(READY_S)
    again = await Router.open(SqlStore(url), shards_of(lites), MilvusShard)
    assert set(await again.get(acknowledged, WRITE_S)) == set(acknowledged)
    await again.close()


async def test_a_shard_that_comes_back_empty_is_refused(
    router: Router, lites: list[LiteProcess], tmp_path: Path
) -> None:
    milvus.kill(lites[1].pid)
    empty = LiteProcess("b", tmp_path / "another", port=lites[1].port)
    empty.start()
    try:
        empty.wait_ready(READY_S)

        async def refused() -> bool:
            missing = (await search(router)).coverage.missing
            return [one.kind for one in missing] == [Trouble.REFUSED]

        await until(refused, READY_S)
        states = {report.name: report.replicas[0].state for report in await router.shards(SEARCH_S)}
        assert states["b"] is State.REFUSED
    finally:
        empty.stop()
    lites[1].start()
    lites[1].wait_ready(READY_S)
    await until(lambda: whole(router), READY_S)


async def test_a_router_starts_without_one_of_its_shards_and_takes_it_in_later(
    router: Router, lites: list[LiteProcess], tmp_path: Path
) -> None:
    milvus.kill(lites[2].pid)

    second = await Router.open(SqlStore(f"sqlite:///{tmp_path}/placement.db"), [], MilvusShard, deadline_s=3.0)
    expect_all_but(await search(second), second, "c", {Trouble.UNREACHABLE})
    lites[2].start()
    lites[2].wait_ready(READY_S)
    await until(lambda: whole(second), READY_S)
    await second.close()


@pytest.fixture
async def replicated(lites: list[LiteProcess], tmp_path: Path) -> AsyncIterator[Router]:
    """A shard of two replicas and one of a single one."""
    specs = [ShardSpec("a", (lites[0].uri, lites[1].uri)), ShardSpec("b", (lites[2].uri,))]
    opened = await Router.open(SqlStore(f"sqlite:///{tmp_path}/placement.db"), specs, MilvusShard)
    assert await opened.upsert(products(PRODUCTS), WRITE_S) == [None] * PRODUCTS
    yield opened
    await opened.close()


def sync_of(router: Router, name: str) -> Sync:
    return next(one.sync for place in router.topology().shards for one in place.replicas if one.name == name)


async def same_rows(router: Router) -> None:
    [*_, last] = [one async for one in router.verify(None, repair=False)]
    assert (last.done, last.differing_total, last.skipped) == (True, 0, ())


@pytest.mark.parametrize("fault", [milvus.kill, milvus.pause])
async def test_a_replica_that_dies_or_hangs_costs_no_search_anything(
    replicated: Router, lites: list[LiteProcess], fault: Callable[[int], None]
) -> None:
    for _ in range(20):  # it learns what is usual
        await search(replicated)
    struck = psutil.Process(lites[0].pid)
    fault(lites[0].pid)
    await until(lambda: asyncio.sleep(0, struck.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}), READY_S)
    for _ in range(20):
        found = await search(replicated)
        assert found.coverage == Coverage(2, 2, 1.0)
        assert len(found.answers[0]) == PRODUCTS
    if fault is milvus.pause:
        milvus.resume(lites[0].pid)


async def test_a_replica_that_missed_writes_catches_up_and_is_read_again(
    replicated: Router, lites: list[LiteProcess]
) -> None:
    mine = [f"product {i}" for i in range(PRODUCTS) if owner(replicated, f"product {i}") == "a"]
    milvus.kill(lites[1].pid)
    psutil.Process(lites[1].pid).wait(timeout=10)
    assert await replicated.delete(mine[0], WRITE_S) == 2
    assert await replicated.upsert([product(mine[1], [vectors(1)[0]])], WRITE_S) == [None]
    assert sync_of(replicated, "a/2") is Sync.BEHIND
    [report, _] = await replicated.shards(SEARCH_S)
    assert report.replicas[1].hints == 2

    lites[1].start()
    lites[1].wait_ready(READY_S)
    await until(lambda: asyncio.sleep(0, sync_of(replicated, "a/2") is Sync.IN_SYNC), READY_S)
    await same_rows(replicated)
    milvus.kill(lites[0].pid)
    found = await search(replicated)
    assert found.coverage == Coverage(2, 2, 1.0)
    assert mine[0] not in {hit.product_id for hit in found.answers[0]}
    assert len((await replicated.get([mine[1]], WRITE_S))[mine[1]]) == 1


async def test_an_emptied_replica_is_replaced_while_the_shop_is_open(
    replicated: Router, lites: list[LiteProcess], tmp_path: Path
) -> None:
    milvus.kill(lites[1].pid)
    psutil.Process(lites[1].pid).wait(timeout=10)
    empty = LiteProcess("a", tmp_path / "another", port=lites[1].port)
    empty.start()
    try:
        empty.wait_ready(READY_S)

        async def refused() -> bool:
            [report, _] = await replicated.shards(SEARCH_S)
            return report.replicas[1].state is State.REFUSED

        await until(refused, READY_S)
        assert (await search(replicated)).coverage == Coverage(2, 2, 1.0)
        await replicated.remove_replica("a/2", SEARCH_S)
        name = await replicated.add_replica("a", empty.uri, READY_S)
        assert name == "a/3"
        await until(lambda: asyncio.sleep(0, sync_of(replicated, name) is Sync.IN_SYNC), READY_S)
        await same_rows(replicated)
    finally:
        empty.stop()


@pytest.mark.standalone
@no_standalone
async def test_a_standalone_among_the_shards_is_killed_and_paused_and_loses_nothing(
    lites: list[LiteProcess], standalone_of_ones_own: milvus.Standalone, tmp_path: Path
) -> None:
    standalone = standalone_of_ones_own
    specs = [*shards_of(lites[:2]), ShardSpec("c", (standalone.uri,))]
    store = SqlStore(f"sqlite:///{tmp_path}/placement.db")
    router = await Router.open(store, specs, MilvusShard, deadline_s=READY_S)
    assert await router.upsert(products(PRODUCTS), WRITE_S) == [None] * PRODUCTS
    assert await whole(router)

    milvus.pause(standalone.pid)
    expect_all_but(await search(router), router, "c", {Trouble.TIMED_OUT})
    milvus.resume(standalone.pid)
    await until(lambda: whole(router), BACK_S)

    milvus.kill(standalone.pid)
    psutil.Process(standalone.pid).wait(timeout=10)
    expect_all_but(await search(router), router, "c", {Trouble.UNREACHABLE})
    standalone.start()
    standalone.wait_ready()
    shop = await store.shop()
    await until(lambda: joins(MilvusShard("c/1", standalone.uri), shop), READY_S)
    await until(lambda: whole(router), BACK_S)
    assert set(await router.get([f"product {i}" for i in range(PRODUCTS)], WRITE_S)) == {
        f"product {i}" for i in range(PRODUCTS)
    }
    await router.close()
