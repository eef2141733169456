"""The whole router over endpoints in memory, on virtual time; over real ones in test_faults.py."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from lookalike_router.answer import Coverage, ShardSpec, State, Trouble
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
from tests.parts.shop import product, products, row, vectors
from tests.router.breakable import S, Town, until
from tests.router.breakable import play as play_with

Scene = Callable[[Town], Awaitable[None]]


def play(scene: Scene) -> None:
    play_with(scene, "abc", replicas=1)


def owner(router: Router, product_id: str) -> str:
    slot = slot_of(product_id)
    [name] = [
        place.name for place in router.topology().shards if any(run.first <= slot <= run.last for run in place.ranges)
    ]
    return name


def test_the_first_start_plans_the_map_and_later_ones_keep_it() -> None:
    async def scene(made: Town) -> None:
        topology = (await made.open()).topology()
        assert (topology.epoch, topology.slots) == (1, SLOTS)
        assert [place.name for place in topology.shards] == ["a", "b", "c"]
        assert sum(len(run) for place in topology.shards for run in place.ranges) == SLOTS
        assert (await made.open(made.specs[::-1])).topology() == topology
        assert (await made.open([])).topology() == topology

    play(scene)


def test_a_shop_is_not_founded_unless_every_shard_is_there() -> None:
    async def scene(made: Town) -> None:
        made.connect("b/1", "memory:b1").down = True
        with pytest.raises(ShardUnreachable):
            await made.open(deadline_s=0.5)
        assert await made.store.load() is None
        made["b1"].down = False
        await made.open()

    play(scene)


def test_founding_waits_for_a_server_that_is_starting() -> None:
    async def scene(made: Town) -> None:
        made.connect("b/1", "memory:b1").error = ShardFailed("b/1", "is not ready")
        opening = asyncio.ensure_future(made.open())
        await until(lambda: made["b1"].joins > 1)
        made["b1"].error = None
        await opening

    play(scene)


def test_a_founding_without_shards_is_a_conflict() -> None:
    async def scene(made: Town) -> None:
        with pytest.raises(PlacementConflict, match="at least one"):
            await made.open([])

    play(scene)


@pytest.mark.parametrize(
    "specs",
    [
        [ShardSpec("d", ("memory:d1",))],
        [ShardSpec("c", ("memory:c1",), weight=2.0)],
        [ShardSpec("a", ("memory:x", "memory:y"))],
        [ShardSpec("a", ("memory:a1",)), ShardSpec("a", ("memory:z",))],
        [ShardSpec("a", ("memory:a1",)), ShardSpec("b", ("memory:a1",))],
        [ShardSpec("a", ())],
    ],
)
def test_what_contradicts_the_map_is_a_conflict(specs: list[ShardSpec]) -> None:
    async def scene(made: Town) -> None:
        await made.open()
        with pytest.raises(PlacementConflict):
            await made.open(specs)

    play(scene)


def test_a_new_address_is_written_to_the_map() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.upsert(products(30), S)
        made.endpoints["memory:moved"] = made["b1"]
        made["b1"].uri = "memory:moved"
        moved = await made.open([ShardSpec("b", ("memory:moved",))])
        assert [one.uri for one in moved.topology().shards[1].replicas] == ["memory:moved"]
        found = await moved.search(vectors(1), 30, deadline_s=S)
        assert len(found.answers[0]) == 30

    play(scene)


def test_a_later_start_goes_on_without_a_shard_and_takes_it_in_when_it_returns() -> None:
    async def scene(made: Town) -> None:
        await made.open()
        made["a1"].down = True
        router = await made.open()
        coverage = (await router.search(vectors(1), 10, deadline_s=S)).coverage
        assert [one.kind for one in coverage.missing] == [Trouble.UNREACHABLE]

        made["a1"].down = False
        await asyncio.sleep(1.0)
        assert (await router.search(vectors(1), 10, deadline_s=S)).coverage == Coverage(3, 3, 1.0)

    play(scene)


def test_products_are_written_found_read_and_deleted() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
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

    play(scene)


def test_every_row_is_on_the_shard_that_owns_its_slot() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.upsert(products(200, pictures=1), S)
        for place in router.topology().shards:
            for head in made.held(f"{place.name}1"):
                assert owner(router, head.product_id) == place.name

    play(scene)


def test_one_bad_product_fails_alone() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        good, bad = product("good", list(vectors(1))), product("bad", list(vectors(1) * 2))
        [none, error] = await router.upsert([good, bad], S)
        assert none is None
        assert isinstance(error, WriteRefused)

    play(scene)


def test_a_limit_beyond_the_catalogue_returns_it_whole() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.upsert(products(20), S)
        found = await router.search(vectors(1), ROWS_MAX, deadline_s=S)
        assert len(found.answers[0]) == 20
        for limit in (0, ROWS_MAX + 1):
            with pytest.raises(ValueError, match="limit"):
                await router.search(vectors(1), limit, deadline_s=S)

    play(scene)


def test_a_search_obeys_filter_and_least_score() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.upsert(products(30), S)
        found = await router.search(vectors(1), 10, where=Equal("title", "Title 3"), deadline_s=S)
        assert [hit.product_id for hit in found.answers[0]] == ["product 3"]
        best = (await router.search(vectors(1), 10, deadline_s=S)).answers[0]
        found = await router.search(vectors(1), 10, score_min=best[4].score, deadline_s=S)
        assert found.answers[0] == best[:5]

    play(scene)


def test_leftovers_of_an_older_version_are_not_shown() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        endpoint = made[f"{owner(router, 'p')}1"]
        old, new = vectors(2)
        await endpoint.rows.write([row("p", "old", old, version=1), row("p", "new", new, version=2)], [], S)
        [[shown]] = (await router.scan(None, 10, deadline_s=S)).products
        assert shown.image_id == "new"
        assert (await router.search(old[None], 1, deadline_s=S)).answers[0][0].image_id == "new"
        assert [one.image_id for one in (await router.get(["p"], S))["p"]] == ["new"]

    play(scene)


def test_a_scan_shows_every_product_once_in_pages() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
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

    play(scene)


def test_reads_that_need_a_lost_shard_raise_and_others_do_not() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.upsert(products(60), S)
        made["a1"].error = ShardRefused("a/1", "was emptied")
        await router.search(vectors(1), 1, deadline_s=S)  # notices
        lost = [name for i in range(60) if owner(router, name := f"product {i}") == "a"]
        kept = [name for i in range(60) if owner(router, name := f"product {i}") != "a"]
        assert set(await router.get(kept, S)) == set(kept)
        with pytest.raises(ShardRefused):
            await router.get(lost[:1], S)
        with pytest.raises(ShardRefused):
            await router.scan(None, 10, deadline_s=S)
        reports = {report.name: report.replicas[0] for report in await router.shards(S)}
        assert reports["a"].state is State.REFUSED
        assert (reports["a"].message, reports["a"].rows) == ("was emptied", 0)
        assert reports["b"].state is State.HEALTHY
        assert reports["b"].rows == sum(2 for name in kept if owner(router, name) == "b")

    play(scene)


def test_a_shard_that_hangs_ends_a_write_and_a_read_with_an_error() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        for name in "abc":
            made[f"{name}1"].paused = asyncio.Event()
        with pytest.raises(ShardTimedOut):
            await router.delete("product 1", 0.5)
        with pytest.raises(ShardTimedOut):
            await router.get(["product 1"], 0.5)
        for name in "abc":
            made[f"{name}1"].paused = None

    play(scene)


def test_a_failing_shard_costs_coverage_true_to_the_slot() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        made["c1"].error = ShardFailed("c/1", "is broken")
        coverage = (await router.search(vectors(1), 10, deadline_s=S)).coverage
        assert (coverage.shards_asked, coverage.shards_answered) == (3, 2)
        own = sum(len(run) for place in router.topology().shards if place.name != "c" for run in place.ranges)
        assert coverage.slots_fraction == own / SLOTS

    play(scene)


def test_the_first_model_stands() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await router.claim_model("resnet@1", 256)
        await router.claim_model("resnet@1", 256)
        with pytest.raises(ModelConflict, match=r"resnet@1.*resnet@2"):
            await router.claim_model("resnet@2", 256)

    play(scene)
