"""The promises of a shop with replicas, over endpoints in memory that break; over real ones in test_faults.py."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from lookalike_router.answer import Request, State
from lookalike_router.errors import MapConflict, RequestConflict, ShardError, ShardRefused, StoreFailed
from lookalike_router.router import Router
from lookalike_router.slots import slot_of
from lookalike_router.store import Sync
from lookalike_router.timing import USUAL
from tests.parts.shop import product, row, vectors
from tests.router.breakable import S, Town, play, until

PICTURES = list(vectors(4))


async def put(router: Router, product_id: str, pictures: int = 1, request: Request | None = None) -> None:
    write = replace(product(product_id, PICTURES[:pictures]), request=request)
    [error] = await router.upsert([write], S)
    if error is not None:
        raise error


async def found(router: Router) -> set[str]:
    answer = await router.search(PICTURES[0][None], 100, deadline_s=S)
    assert answer.coverage.slots_fraction == 1.0
    return {hit.product_id for hit in answer.answers[0]}


def sync(router: Router, name: str) -> Sync:
    places = (place for shard in router.topology().shards for place in shard.replicas)
    return next(place.sync for place in places if place.name == name)


def test_a_write_reaches_every_replica() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p", pictures=2)
        assert len(made.held("a1")) == 2
        assert made.held("a1") == made.held("a2")

    play(scene)


def test_an_update_leaves_only_the_new_version() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p", pictures=3)
        await put(router, "p", pictures=1)
        assert len(made.held("a1")) == 1
        assert made.held("a1") == made.held("a2")

    play(scene)


def test_a_write_is_acknowledged_while_a_replica_is_down_and_reads_avoid_it_until_it_has_caught_up() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "old")
        made["a2"].down = True
        await put(router, "new")
        assert sync(router, "a/2") is Sync.BEHIND
        assert not any(head.product_id == "new" for head in made.held("a2"))
        made["a2"].down = False
        made["a1"].down = True
        answer = await router.search(PICTURES[0][None], 100, deadline_s=S)
        assert answer.coverage.behind == ("a",) or answer.coverage.missing
        made["a1"].down = False
        await until(lambda: sync(router, "a/2") is Sync.IN_SYNC)
        assert made.held("a1") == made.held("a2")
        assert await found(router) == {"old", "new"}

    play(scene)


def test_no_write_is_acknowledged_before_every_router_knows_which_replica_lacks_it_whoever_found_that() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        await put(one, "p")
        made["a2"].down = True
        puts = [asyncio.ensure_future(put(one, "p", pictures)) for pictures in (1, 2)]
        await puts[1]  # the next batch: the one before it has found the replica behind
        assert sync(two, "a/2") is Sync.BEHIND
        await puts[0]

    play(scene)


def test_a_write_that_no_replica_in_sync_has_is_refused() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        made["a2"].down = True
        await put(router, "p")
        made["a2"].down, made["a1"].down = False, True
        with pytest.raises(ShardError):
            await put(router, "q")

    play(scene)


def test_a_delete_that_a_replica_missed_is_not_undone_by_it() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        made["a2"].down = True
        assert await router.delete("p", S) == 1
        made["a2"].down = False
        await until(lambda: sync(router, "a/2") is Sync.IN_SYNC)
        assert made.held("a1") == made.held("a2") == set()

    play(scene)


def test_a_write_whose_reply_is_lost_everywhere_is_said_to_be_unknown_and_settles() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        made["a1"].deaf = made["a2"].deaf = True
        with pytest.raises(ShardError, match="unknown"):
            await put(router, "p")
        assert made["a1"].writes == made["a2"].writes == 1
        made["a1"].deaf = made["a2"].deaf = False
        await put(router, "p", pictures=2)
        assert len(made.held("a1")) == 2
        assert made.held("a1") == made.held("a2")

    play(scene)


def test_a_late_write_of_an_old_version_is_never_shown_and_goes_away() -> None:
    async def scene(made: Town) -> None:
        router, other = await made.open(), await made.open()
        await put(router, "p")
        [old] = [made["a1"].rows._rows[head] for head in made.held("a1")]
        made["a1"].deaf = made["a2"].deaf = True
        with pytest.raises(ShardError):
            await put(router, "p")
        made["a1"].deaf = made["a2"].deaf = False
        assert await router.delete("p", S) == 1
        late = replace(old, version=old.version + 1)
        await made["a2"].rows.write([late], [], S)
        for one in (router, other):
            assert await found(one) == set()
            assert await one.get(["p"], S) == {}
        await until(lambda: not made.held("a2"))

    play(scene)


def test_rows_whose_delete_a_server_loses_are_shown_by_no_router_and_are_deleted_again() -> None:
    async def scene(made: Town) -> None:
        router, other = await made.open(), await made.open()
        for name in ("updated", "deleted"):
            await put(router, name)
        old = list(made["a1"].rows._rows.values())
        # So many are nearer than the new version that nobody who asks for a few sees that.
        near = (PICTURES[0] + 0.1 * PICTURES[2]) / np.linalg.norm(PICTURES[0] + 0.1 * PICTURES[2])
        assert not any(await router.upsert([product(f"near {i}", [near]) for i in range(300)], S))
        [error] = await router.upsert([product("updated", PICTURES[1:2])], S)
        assert error is None
        await router.delete("deleted", S)
        kept = made.held("a1")
        await asyncio.sleep(1.0)  # an update is acknowledged before other routers know what it replaced
        for replica in ("a1", "a2"):
            await made[replica].rows.write(old, [], S)
        for one in (router, other):
            answer = await one.search(PICTURES[0][None], 1, deadline_s=S)
            assert [hit.score for hit in answer.answers[0]] != [pytest.approx(1.0)]
            assert [[row.version for row in rows] for rows in (await one.get(["updated"], S)).values()] == [
                [max(head.version for head in kept)]
            ]
        await until(lambda: made.held("a1") == made.held("a2") == kept, deadline_s=2 * USUAL.bury_after_s)

    play(scene)


def test_the_same_request_takes_effect_once() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        request = Request("r1", "digest", "first answer")
        await put(router, "p", request=request)
        assert await router.replay("r1", "digest") == "first answer"
        assert await router.replay("r2", "digest") is None
        with pytest.raises(RequestConflict):
            await router.replay("r1", "another digest")
        assert await router.delete("p", S, Request("r3", "digest", "")) == 1
        assert await router.replay("r3", "digest") == "1"

    play(scene)


def test_two_routers_on_one_store_are_one_system() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        await asyncio.gather(*(put(router, f"p{i}") for i in range(20) for router in (one, two)))
        assert made.held("a1") == made.held("a2")
        assert len(made.held("a1")) == 20
        await one.delete("p3", S)
        assert "p3" not in await found(two)
        made["a2"].down = True
        await put(one, "new")
        assert sync(two, "a/2") is Sync.BEHIND
        assert await found(two) == await found(one)

    play(scene)


def test_what_a_dead_router_left_is_settled_by_another() -> None:
    async def scene(made: Town) -> None:
        one = await made.open()
        await put(one, "p")
        made["a2"].paused = asyncio.Event()
        write = asyncio.ensure_future(one.upsert([product("p", PICTURES[:2])], S))
        await until(lambda: len(made.held("a1")) == 2)
        # Nothing of it goes on: as if its process were gone.
        lease = one._core.lease
        assert lease._task is not None
        lease._task.cancel()
        await asyncio.sleep(0)
        two = await made.open()
        made["a2"].paused.set()
        made["a2"].paused = None
        await write
        await until(lambda: made.held("a1") == made.held("a2"))
        await put(two, "p")
        assert len(made.held("a1")) == 1

    play(scene)


def test_a_new_replica_is_filled_verified_and_then_read_from() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        for i in range(30):
            await put(router, f"p{i}")
        name = await router.add_replica("a", "memory:a2", S)
        assert name == "a/2"
        assert sync(router, name) is Sync.FILLING
        await put(router, "while filling")
        await until(lambda: sync(router, name) is Sync.IN_SYNC)
        assert made.held("a1") == made.held("a2")
        await router.remove_replica("a/1", S)
        assert len(await found(router)) == 31

    play(scene, replicas=1)


def test_what_cannot_be_added_is_refused_with_what_to_do() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        with pytest.raises(MapConflict, match="a/1 already"):
            await router.add_replica("a", "memory:a1", S)
        with pytest.raises(MapConflict, match="another name"):
            await router.add_shard(replace(made.specs[0], uris=("memory:x",)), S)
        with pytest.raises(MapConflict, match="x"):
            await router.add_replica("x", "memory:x1", S)
        with pytest.raises(MapConflict):
            await router.remove_replica("a/7", S)
        stranger = made.connect("a/3", "memory:a3")
        await stranger.rows.join(await made.store.shop(), founding=True, deadline_s=S)
        await stranger.rows.write([row("unknown to its sibling")], [], S)
        with pytest.raises(ShardRefused, match="unknown to its sibling"):
            await router.add_replica("a", "memory:a3", S)
        assert {place.name for place in router.topology().shards[0].replicas} == {"a/1", "a/2"}

    play(scene)


def test_a_shard_that_is_added_owns_nothing_and_is_seen_by_every_router() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        await one.add_shard(replace(made.specs[0], name="b", uris=("memory:b1", "memory:b2")), S)
        for router in (one, two):
            [_, added] = router.topology().shards
            assert (added.name, added.ranges, len(added.replicas)) == ("b", (), 2)
        await put(two, "p")
        assert await found(one) == {"p"}

    play(scene)


def test_the_report_says_how_each_replica_is() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        made["a2"].down = True
        await put(router, "q")
        [shard] = await router.shards(S)
        first, second = shard.replicas
        assert (first.state, first.sync, first.rows, first.hints) == (State.HEALTHY, Sync.IN_SYNC, 2, 0)
        assert (second.state, second.sync, second.hints) == (State.UNREACHABLE, Sync.BEHIND, 1)
        assert second.message

    play(scene)


def test_verify_finds_and_repairs_what_differs() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        for i in range(10):
            await put(router, f"p{i}")
        lost = sorted(made.held("a2"), key=repr)[0]
        await made["a2"].rows.write([], [lost], S)
        last = [one async for one in router.verify(None, repair=False)][-1]
        assert (last.done, last.differing_total, last.repaired_total) == (True, 1, 0)
        last = [one async for one in router.verify("a", repair=True)][-1]
        assert (last.differing_total, last.repaired_total) == (1, 1)
        assert made.held("a1") == made.held("a2")
        last = [one async for one in router.verify(None, repair=False)][-1]
        assert last.differing_total == 0

    play(scene)


def test_a_store_that_is_away_costs_writes_and_no_reads() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        real = made.store.begin, made.store.look, made.store.beat

        async def away(*_: object) -> None:
            raise StoreFailed("the store is away")

        made.store.begin = made.store.look = made.store.beat = away  # type: ignore[assignment,method-assign]
        with pytest.raises(StoreFailed):
            await put(router, "q")
        assert await found(router) == {"p"}
        await asyncio.sleep(10)
        answer = await router.search(PICTURES[0][None], 100, deadline_s=S)
        assert answer.coverage.stale
        assert len(answer.answers[0]) == 1
        with pytest.raises(StoreFailed):
            await router.get(["p"], S)
        made.store.begin, made.store.look, made.store.beat = real  # type: ignore[method-assign]
        await asyncio.sleep(1)
        await put(router, "q")
        assert not (await router.search(PICTURES[0][None], 100, deadline_s=S)).coverage.stale

    play(scene)


def test_a_product_that_is_replaced_while_it_is_read_does_not_vanish() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        for name in ("p", "q", "r", "s"):
            await put(router, name)
        [first, _] = router.topology().shards
        other = "b" if any(run.first <= slot_of("p") <= run.last for run in first.ranges) else "a"
        made[f"{other}1"].paused = asyncio.Event()
        reading = asyncio.ensure_future(router.search(PICTURES[0][None], 100, deadline_s=2.0))
        await asyncio.sleep(1.0)  # the shard that owns the product has answered, the other has not
        await put(router, "p", pictures=2)
        answer = await reading
        assert [one.shard for one in answer.coverage.missing] == [other]
        assert "p" in {hit.product_id for hit in answer.answers[0]}
        made[f"{other}1"].paused = None

    play(scene, "ab", replicas=1)


def test_what_nobody_acknowledged_is_not_taken_for_settled() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        assert await router.settled("p")
        made["a1"].deaf = made["a2"].deaf = True
        with pytest.raises(ShardError):
            await put(router, "p", pictures=2)
        made["a1"].deaf = made["a2"].deaf = False
        assert len((await router.get(["p"], S))["p"]) == 2
        assert not await router.settled("p")
        await put(router, "p", pictures=2)

    play(scene)


def test_a_router_that_slept_shows_nothing_that_others_replaced_meanwhile() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        await put(one, "p")
        lease = one._core.lease
        assert lease._task is not None
        lease._task.cancel()  # it sleeps: nothing of its own goes on
        await asyncio.sleep(5.0)
        made["a2"].down = True
        assert await two.delete("p", S) == 1
        made["a2"].down, made["a1"].paused = False, asyncio.Event()
        assert sync(one, "a/2") is Sync.IN_SYNC  # as it still believes
        reading = asyncio.ensure_future(one.get(["p"], 2.0))
        await asyncio.sleep(1.0)
        made["a1"].paused.set()
        made["a1"].paused = None
        assert await reading == {}

    play(scene)


def test_a_try_that_took_effect_and_was_overwritten_is_not_repeated_when_it_is_sent_again() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        real = made.store.finish

        async def away(*_: object) -> int:
            raise StoreFailed("the store is away")

        made.store.finish = away  # type: ignore[method-assign,assignment]
        with pytest.raises(StoreFailed):
            await put(router, "p", request=Request("first", "digest", "answer"))
        made.store.finish = real  # type: ignore[method-assign]
        assert "p" in await found(router)
        await put(router, "p", pictures=2, request=Request("second", "digest", "another"))
        assert await router.replay("first", "digest") == "answer"

    play(scene)


def test_a_try_that_took_no_effect_is_not_answered_for() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        made["a1"].down = made["a2"].down = True
        with pytest.raises(ShardError):
            await put(router, "p", request=Request("first", "digest", "answer"))
        made["a1"].down = made["a2"].down = False
        await asyncio.sleep(1.0)
        await put(router, "p", pictures=2, request=Request("second", "digest", "another"))
        assert await router.replay("first", "digest") is None

    play(scene)
