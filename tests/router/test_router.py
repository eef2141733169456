"""The whole router over shards in memory; over real ones in test_faults.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from lookalike_router.answer import Coverage, State, Trouble
from lookalike_router.errors import (
    ModelConflict,
    PlacementConflict,
    ShardFailed,
    ShardRefused,
    ShardTimedOut,
    ShardUnreachable,
    WriteRefused,
)
from lookalike_router.filter import Equal
from lookalike_router.router import Router
from lookalike_router.shard import ROWS_MAX
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.store import SqlStore
from tests.parts.shop import product, products, row, vectors
from tests.router.scripted import ScriptedShard, until

S = 5.0


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{tmp_path}/placement.db")


@pytest.fixture
async def shards() -> list[ScriptedShard]:
    return [ScriptedShard("a"), ScriptedShard("b"), ScriptedShard("c", weight=2.0)]


@pytest.fixture
async def router(store: SqlStore, shards: list[ScriptedShard]) -> AsyncIterator[Router]:
    opened = await Router.open(store, shards)
    yield opened
    await opened.close()


async def test_the_first_start_plans_the_map_and_later_ones_keep_it(
    store: SqlStore, shards: list[ScriptedShard], router: Router
) -> None:
    topology = router.topology()
    assert (topology.epoch, topology.slots) == (1, SLOTS)
    assert [place.name for place in topology.shards] == ["a", "b", "c"]
    assert sum(len(run) for place in topology.shards for run in place.ranges) == SLOTS
    again = await Router.open(store, list(reversed(shards)))
    assert again.topology() == topology
    await again.close()


async def test_a_shop_is_not_founded_unless_every_shard_is_there(store: SqlStore, shards: list[ScriptedShard]) -> None:
    shards[1].error = ShardUnreachable("b", "is down")
    with pytest.raises(ShardUnreachable):
        await Router.open(store, shards, deadline_s=0.1)
    assert store.placement() is None
    shards[1].error = None
    await (await Router.open(store, shards)).close()


async def test_founding_waits_for_a_server_that_is_starting(store: SqlStore, shards: list[ScriptedShard]) -> None:
    shards[1].error = ShardFailed("b", "is not ready")
    opening = asyncio.ensure_future(Router.open(store, shards, deadline_s=S))
    await until(lambda: shards[1].joins > 1)
    shards[1].error = None
    await (await opening).close()


async def test_other_shards_than_the_maps_are_a_conflict(store: SqlStore, shards: list[ScriptedShard]) -> None:
    await (await Router.open(store, shards)).close()
    for others in ([], shards[:2], [*shards, ScriptedShard("d")], [*shards[:2], ScriptedShard("c", weight=1.0)]):
        with pytest.raises(PlacementConflict):
            await Router.open(store, others)


async def test_two_shards_of_one_name_are_a_conflict(store: SqlStore) -> None:
    with pytest.raises(PlacementConflict, match="name"):
        await Router.open(store, [ScriptedShard("a"), ScriptedShard("a")])


async def test_a_later_start_goes_on_without_a_shard_and_takes_it_in_when_it_returns(
    store: SqlStore, shards: list[ScriptedShard]
) -> None:
    await (await Router.open(store, shards)).close()
    shards[0].error = ShardUnreachable("a", "is down")
    router = await Router.open(store, shards)
    coverage = (await router.search(vectors(1), 10, deadline_s=S)).coverage
    assert [one.kind for one in coverage.missing] == [Trouble.UNREACHABLE]

    shards[0].error = None
    joins = shards[0].joins

    await until(lambda: shards[0].joins > joins)
    await asyncio.sleep(0)
    assert (await router.search(vectors(1), 10, deadline_s=S)).coverage == Coverage(3, 3, 1.0, ())
    await router.close()


async def test_products_are_written_found_read_and_deleted(router: Router) -> None:
    writes = products(50, pictures=3)
    assert await router.upsert(writes, S) == [None] * 50

    queries = np.stack([write.pictures[1].vector for write in writes[:5]])
    found = await router.search(queries, 3, deadline_s=S)
    read = await router.get([write.product_id for write in writes] + ["gone"], S)

    assert [(hits[0].product_id, hits[0].image_id) for hits in found.answers] == [
        (f"product {i}", "picture 1") for i in range(5)
    ]
    assert found.answers[0][0].attributes == {"title": "Title 0"}
    assert found.answers[0][0].picture == {"uri": "1.jpg"}
    assert set(read) == {write.product_id for write in writes}
    assert [one.image_id for one in read["product 7"]] == ["picture 0", "picture 1", "picture 2"]
    assert await router.delete("product 7", S) == 3
    assert await router.delete("product 7", S) == 0
    assert await router.get(["product 7"], S) == {}


async def test_every_row_is_on_the_shard_that_owns_its_slot(router: Router, shards: list[ScriptedShard]) -> None:
    await router.upsert(products(200, pictures=1), S)
    places = {place.name: place.ranges for place in router.topology().shards}
    for shard in shards:
        count = await shard.count(places[shard.name], None, S)
        assert count == await shard.count([run for runs in places.values() for run in runs], None, S)


async def test_one_bad_product_fails_alone(router: Router) -> None:
    good, bad = product("good", list(vectors(1))), product("bad", list(vectors(1) * 2))
    [none, error] = await router.upsert([good, bad], S)
    assert none is None
    assert isinstance(error, WriteRefused)


async def test_a_limit_beyond_the_catalogue_returns_it_whole(router: Router) -> None:
    await router.upsert(products(20), S)
    found = await router.search(vectors(1), ROWS_MAX, deadline_s=S)
    assert len(found.answers[0]) == 20
    for limit in (0, ROWS_MAX + 1):
        with pytest.raises(ValueError, match="limit"):
            await router.search(vectors(1), limit, deadline_s=S)


async def test_a_search_obeys_filter_and_least_score(router: Router) -> None:
    await router.upsert(products(30), S)
    found = await router.search(vectors(1), 10, where=Equal("title", "Title 3"), deadline_s=S)
    assert [hit.product_id for hit in found.answers[0]] == ["product 3"]
    best = (await router.search(vectors(1), 10, deadline_s=S)).answers[0]
    found = await router.search(vectors(1), 10, score_min=best[4].score, deadline_s=S)
    assert found.answers[0] == best[:5]


async def test_leftovers_of_an_older_version_are_not_shown(router: Router, shards: list[ScriptedShard]) -> None:
    shard = next(shard for shard in shards if shard.name == _owner(router, "p"))
    old, new = vectors(2)
    await shard.upsert([row("p", "old", old, version=1), row("p", "new", new, version=2)], S)
    [[shown]] = (await router.scan(None, 10, deadline_s=S)).products
    assert shown.image_id == "new"
    assert (await router.search(old[None], 1, deadline_s=S)).answers[0][0].image_id == "new"


async def test_who_reads_leftovers_has_them_deleted(router: Router, shards: list[ScriptedShard]) -> None:
    shard = next(shard for shard in shards if shard.name == _owner(router, "p"))
    await shard.upsert([row("p", "old", version=1), row("p", "new", version=2)], S)
    assert [one.image_id for one in (await router.get(["p"], S))["p"]] == ["new"]
    await router.close()
    assert [one.image_id for one in await shard.read(["p"], S)] == ["new"]


async def test_a_scan_shows_every_product_once_in_pages(router: Router) -> None:
    await router.upsert(products(95), S)
    seen: list[tuple[int, str]] = []
    after = None
    while True:
        page = await router.scan(after, 20, deadline_s=S)
        seen += [(rows[0].slot, rows[0].product_id) for rows in page.products]
        after = page.next
        if after is None:
            break
    assert seen == sorted((slot_of(f"product {i}"), f"product {i}") for i in range(95))


async def test_reads_that_need_a_lost_shard_raise_and_others_do_not(
    router: Router, shards: list[ScriptedShard]
) -> None:
    await router.upsert(products(60), S)
    shards[0].error = ShardRefused("a", "was emptied")
    await router.search(vectors(1), 1, deadline_s=S)  # notices
    lost = [name for i in range(60) if _owner(router, name := f"product {i}") == "a"]
    kept = [name for i in range(60) if _owner(router, name := f"product {i}") != "a"]
    assert set(await router.get(kept, S)) == set(kept)
    with pytest.raises(ShardRefused):
        await router.get(lost[:1], S)
    with pytest.raises(ShardRefused):
        await router.scan(None, 10, deadline_s=S)
    reports = {report.name: report for report in await router.shards(S)}
    assert reports["a"].state is State.REFUSED
    assert (reports["a"].message, reports["a"].rows) == ("was emptied", 0)
    assert reports["b"].state is State.HEALTHY
    assert reports["b"].rows == sum(2 for name in kept if _owner(router, name) == "b")


async def test_a_shard_that_hangs_ends_a_write_and_a_read_with_an_error(
    router: Router, shards: list[ScriptedShard]
) -> None:
    for shard in shards:
        shard.gate.clear()
    with pytest.raises(ShardTimedOut, match="unknown"):
        await router.delete("product 1", 0.05)
    with pytest.raises(ShardTimedOut):
        await router.get(["product 1"], 0.05)
    for shard in shards:
        shard.gate.set()


async def test_a_failing_shard_costs_coverage_true_to_the_slot(router: Router, shards: list[ScriptedShard]) -> None:
    shards[2].error = ShardFailed("c", "is broken")
    coverage = (await router.search(vectors(1), 10, deadline_s=S)).coverage
    assert (coverage.shards_asked, coverage.shards_answered) == (3, 2)
    own = sum(len(run) for place in router.topology().shards if place.name != "c" for run in place.ranges)
    assert coverage.slots_fraction == own / SLOTS
    shards[2].error = None


async def test_the_first_model_stands(router: Router) -> None:
    await router.claim_model("resnet@1", 256)
    await router.claim_model("resnet@1", 256)
    with pytest.raises(ModelConflict, match=r"resnet@1.*resnet@2"):
        await router.claim_model("resnet@2", 256)


def _owner(router: Router, product_id: str) -> str:
    slot = slot_of(product_id)
    [name] = [
        place.name for place in router.topology().shards if any(run.first <= slot <= run.last for run in place.ranges)
    ]
    return name
