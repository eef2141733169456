"""What every store promises about who writes what, and about hints: SQLite, PostgreSQL and memory alike."""

from dataclasses import replace

import pytest

from lookalike_router.errors import LeaseLost, ShardUnreachable, StaleMap
from lookalike_router.store import (
    RECHECK_AFTER_S,
    VERSION_BITS,
    Answer,
    Begun,
    Busy,
    Finish,
    Hint,
    HintCount,
    Store,
    Sync,
    Unfinished,
)
from tests.parts.stores import LEASE_S, START_S, Place, epoch, hold, left


async def sync(store: Store, name: str) -> Sync:
    found = await store.load()
    assert found is not None
    return next(one.sync for places in found.replicas.values() for one in places if one.name == name)


async def hints(store: Store, name: str) -> list[tuple[str, bool, bool]]:
    return [(one.product_id, one.unknown, one.recheck) for one in await store.hints(name, 100)]


def names(outcome: list[Begun | Busy]) -> list[str]:
    return [one.product_id if isinstance(one, Begun) else f"busy {one.product_id}" for one in outcome]


async def test_versions_tell_the_time_and_grow_over_all_products_and_routers(
    founded: Store, other: Store, place: Place
) -> None:
    first = await hold(founded, "p", "q")
    assert [one.product_id for one in first] == ["p", "q"]
    assert first[0].version == int(START_S * 1000) << VERSION_BITS
    assert first[1].version == first[0].version + 1
    assert [(one.deleted, one.suspect, one.left) for one in first] == 2 * [(0, False, False)]
    await other.beat("s", LEASE_S, 1)
    (third,) = await other.begin("s", ["r"], 1)
    assert isinstance(third, Begun)
    assert third.version > first[1].version
    place.wait(1)
    assert (await hold(founded, "t"))[0].version == int((START_S + 1) * 1000) << VERSION_BITS


async def test_versions_grow_when_the_clock_goes_back_and_after_everything_was_finished(
    founded: Store, place: Place
) -> None:
    (first,) = await hold(founded, "p")
    await founded.finish("r", Finish([first]))
    place.wait(-3600)
    assert (await hold(founded, "p"))[0].version == first.version + 1


async def test_a_version_is_newer_than_the_products_tombstone(founded: Store) -> None:
    far = (await hold(founded, "q"))[0].version + 1_000_000
    await left(founded, Finish([], tombstones={"p": far}))
    (begun,) = await hold(founded, "p")
    assert (begun.deleted, begun.version) == (far, far + 1)
    assert (await hold(founded, "z"))[0].version == far + 2


async def test_a_product_that_a_live_router_holds_is_busy_for_all(founded: Store, other: Store) -> None:
    await hold(founded, "p")
    await other.beat("s", LEASE_S, 1)
    assert names(await other.begin("s", ["o", "p", "q"], 1)) == ["o", "busy p", "q"]
    assert names(await founded.begin("r", ["p", "q", "t", "t"], 1)) == ["busy p", "busy q", "t", "busy t"]


async def test_a_product_that_was_finished_is_free_and_not_suspect(founded: Store) -> None:
    await founded.finish("r", Finish(await hold(founded, "p")))
    assert not (await hold(founded, "p"))[0].suspect
    assert await founded.orphans(10) == []


async def test_nobody_begins_without_a_lease_or_under_an_old_map(founded: Store, place: Place) -> None:
    with pytest.raises(LeaseLost):
        await founded.begin("r", ["p"], 1)
    await founded.beat("r", LEASE_S, 1)
    for wrong in (0, 2):
        with pytest.raises(StaleMap):
            await founded.begin("r", ["p"], wrong)
    place.wait(LEASE_S)
    with pytest.raises(LeaseLost):
        await founded.begin("r", ["p"], 1)
    await founded.beat("r", LEASE_S, 1)
    assert names(await founded.begin("r", ["p"], 1)) == ["p"]


async def test_nobody_begins_before_there_is_a_map(store: Store) -> None:
    await store.beat("r", LEASE_S, 0)
    with pytest.raises(StaleMap):
        await store.begin("r", ["p"], 0)


async def test_what_a_dead_router_held_is_taken_over_and_its_finish_writes_nothing(
    founded: Store, other: Store, place: Place
) -> None:
    begun = await hold(founded, "p", "q")
    place.wait(LEASE_S)
    assert await other.orphans(10) == ["p", "q"]
    await other.beat("s", LEASE_S, 1)
    (taken,) = await other.begin("s", ["p"], 1)
    assert isinstance(taken, Begun)
    assert taken.suspect
    assert taken.left
    assert taken.version > begun[1].version
    assert await other.orphans(10) == ["q"]
    await founded.beat("r", LEASE_S, 1)
    before = await founded.look()
    late = Finish(
        begun,
        hints=[("a/2", "p", True)],
        tombstones={"p": 9},
        replaced={"q": 9},
        answers=[Answer("a", "", "")],
        rechecks=[("a/1", "q")],
        announce=True,
    )
    with pytest.raises(LeaseLost):
        await founded.finish("r", late)
    assert await founded.look() == before
    assert not await founded.hint_counts()
    assert not await founded.deaths(["p"])
    assert not await founded.answers(["a"])
    assert names(await other.begin("s", ["q"], 1)) == ["busy q"]
    await other.finish("s", Finish([taken]))


async def test_a_lease_that_ended_and_was_renewed_loses_nothing_that_nobody_took(founded: Store, place: Place) -> None:
    begun = await hold(founded, "p")
    place.wait(LEASE_S)
    await founded.beat("r", LEASE_S, 1)
    assert await founded.orphans(10) == []
    await founded.finish("r", Finish(begun))


async def test_what_was_let_go_is_an_orphan_that_only_its_next_holder_finishes(founded: Store) -> None:
    begun = await hold(founded, "p", "q")
    await founded.let_go("r", ["p", "never held"])
    await founded.let_go("s", ["q"])
    assert await founded.orphans(10) == ["p"]
    with pytest.raises(LeaseLost):
        await founded.finish("r", Finish([begun[0]]))
    (again,) = await hold(founded, "p")
    assert again.suspect
    assert again.left
    with pytest.raises(LeaseLost):
        await founded.finish("r", Finish([begun[0]]))
    await founded.finish("r", Finish([again, begun[1]]))
    assert not (await hold(founded, "p"))[0].suspect


async def test_orphans_come_oldest_first(founded: Store, place: Place) -> None:
    for product_id in ("z", "a", "m"):
        await hold(founded, product_id)
        place.wait(1)
    await founded.let_go("r", ["m", "a", "z"])
    assert await founded.orphans(2) == ["z", "a"]


async def test_what_a_router_held_when_it_left_is_left_to_others(founded: Store) -> None:
    begun = await hold(founded, "p")
    await founded.leave("r")
    assert await founded.orphans(10) == ["p"]
    await founded.beat("r", LEASE_S, 1)
    with pytest.raises(LeaseLost):
        await founded.finish("r", Finish(begun))


async def two_of_b(founded: Store) -> None:
    """Give shard b a second replica in sync, in two epochs."""
    await founded.add_replica("b/2", "http://b2")
    assert await founded.mark_in_sync("b/2")


@pytest.mark.parametrize("lacking", [["b/1"], ["a/1", "a/2"]])
async def test_a_shard_keeps_one_replica_in_sync_whatever_a_batch_leaves(founded: Store, lacking: list[str]) -> None:
    begun = await hold(founded, "p")
    with pytest.raises(ShardUnreachable, match="in sync"):
        await founded.finish("r", Finish(begun, hints=[(one, "p", True) for one in lacking], tombstones={"p": 1}))
    assert await founded.hint_counts() == {}
    assert await founded.deaths(["p"]) == {}
    assert await epoch(founded) == 1
    assert await founded.finish("r", Finish(begun)) == 1


async def test_replicas_that_lack_a_write_are_behind_from_one_new_epoch_on(founded: Store) -> None:
    await two_of_b(founded)
    assert await left(founded, Finish([], hints=[("a/2", "p", False), ("b/1", "p", False)])) == 4
    assert (await sync(founded, "a/1"), await sync(founded, "a/2")) == (Sync.IN_SYNC, Sync.BEHIND)
    assert await sync(founded, "b/1") is Sync.BEHIND
    assert await left(founded, Finish([], hints=[("a/2", "q", False)])) == 4
    assert await founded.hint_counts() == {"a/2": HintCount(2, 0.0), "b/1": HintCount(1, 0.0)}


async def test_a_replica_that_is_being_filled_gets_hints_and_no_new_epoch(founded: Store) -> None:
    reached = (await founded.add_replica("a/3", "http://a3")).epoch
    assert await left(founded, Finish([], hints=[("a/3", "p", False)])) == reached
    assert await sync(founded, "a/3") is Sync.FILLING
    assert await hints(founded, "a/3") == [("p", False, False)]
    assert not await founded.mark_in_sync("a/3")


async def test_hints_for_a_replica_that_was_removed_are_dropped(founded: Store) -> None:
    gone = Finish([], hints=[("a/2", "p", True)], rechecks=[("a/2", "q")])
    begun = await hold(founded, "p")
    reached = (await founded.remove_replica("a/2")).epoch
    assert await founded.finish("r", replace(gone, begun=begun)) == reached
    assert await founded.hints("a/2", 10) == []
    assert not (await hold(founded, "p"))[0].suspect


async def test_an_announcement_refuses_no_writer_and_a_change_of_the_map_does(founded: Store) -> None:
    assert await left(founded, Finish([], announce=True)) == 2
    [one] = await founded.begin("r", ["q"], 1)
    assert isinstance(one, Begun)
    for wrong in (0, 3):
        with pytest.raises(StaleMap):
            await founded.begin("r", ["s"], wrong)
    assert await left(founded, Finish([], hints=[("a/2", "p", False)])) == 3
    for old in (1, 2):
        with pytest.raises(StaleMap):
            await founded.begin("r", ["s"], old)
    assert isinstance((await founded.begin("r", ["s"], 3))[0], Begun)


async def test_what_is_announced_raises_the_epoch_once(founded: Store) -> None:
    assert await left(founded, Finish([], announce=True)) == 2
    assert await left(founded, Finish([], hints=[("a/2", "p", False)], announce=True)) == 3
    assert await left(founded, Finish([], tombstones={"p": 1})) == 3


async def test_hints_come_in_order_and_are_as_old_as_the_first_write_that_was_missed(
    founded: Store, place: Place
) -> None:
    for product_id in ("z", "a", "z"):
        await left(founded, Finish([], hints=[("a/2", product_id, False)]))
        place.wait(2)
    found = await founded.hints("a/2", 10)
    assert [(one.replica, one.product_id, one.age_s) for one in found] == [("a/2", "a", 4.0), ("a/2", "z", 6.0)]
    assert await founded.hints("a/2", 1) == found[:1]
    assert await founded.hint_counts() == {"a/2": HintCount(2, 6.0)}
    assert await founded.hints("a/1", 10) == []


async def test_a_hint_that_was_caught_up_with_is_gone_unless_another_write_was_missed_meanwhile(founded: Store) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", False), ("a/2", "q", False)]))
    read = await founded.hints("a/2", 10)
    await left(founded, Finish([], hints=[("a/2", "p", False)]))
    await left(founded, Finish([], caught_up=read))
    assert await hints(founded, "a/2") == [("p", False, False)]
    await left(founded, Finish([], caught_up=await founded.hints("a/2", 10)))
    assert await founded.hints("a/2", 10) == []


async def test_a_hint_of_the_same_batch_outlives_the_one_it_caught_up_with(founded: Store) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", False)]))
    read = await founded.hints("a/2", 10)
    await left(founded, Finish([], hints=[("a/2", "p", False)], caught_up=read))
    assert await hints(founded, "a/2") == [("p", False, False)]


async def test_a_write_of_unknown_outcome_is_looked_at_once_more(founded: Store, place: Place) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", True)]))
    (hint,) = await founded.hints("a/2", 10)
    assert (hint.unknown, hint.recheck) == (True, False)
    place.wait(1)
    for _ in range(2):  # of two who have caught up with it, the second changes nothing
        await left(founded, Finish([], caught_up=[hint]))
    assert await founded.hint_counts() == {}
    assert await founded.mark_in_sync("a/2")
    place.wait(RECHECK_AFTER_S - 1)
    assert await founded.hints("a/2", 10) == []
    place.wait(1)
    (recheck,) = await founded.hints("a/2", 10)
    assert recheck == Hint("a/2", "p", True, True, RECHECK_AFTER_S, recheck.number)
    await left(founded, Finish([], caught_up=[recheck]))
    place.wait(10 * RECHECK_AFTER_S)
    assert await founded.hints("a/2", 10) == []


async def test_a_product_is_suspect_as_long_as_a_late_write_is_feared(founded: Store, place: Place) -> None:
    await founded.finish("r", Finish(await hold(founded, "p", "q"), hints=[("a/2", "p", True), ("a/2", "q", False)]))
    p, q = await hold(founded, "p", "q")
    assert (p.suspect, p.left, q.suspect) == (True, False, False)
    await founded.finish("r", Finish([p, q], caught_up=await founded.hints("a/2", 10)))
    place.wait(RECHECK_AFTER_S)
    (p,) = await hold(founded, "p")
    assert p.suspect
    await founded.finish("r", Finish([p], caught_up=await founded.hints("a/2", 10)))
    assert not (await hold(founded, "p"))[0].suspect


async def test_another_missed_write_makes_a_recheck_a_hint_again_and_keeps_the_fear(
    founded: Store, place: Place
) -> None:
    await left(founded, Finish([], rechecks=[("a/2", "p")]))
    assert await sync(founded, "a/2") is Sync.IN_SYNC
    place.wait(5)
    await left(founded, Finish([], hints=[("a/2", "p", False)]))
    assert [(one.unknown, one.recheck, one.age_s) for one in await founded.hints("a/2", 10)] == [(True, False, 0.0)]


async def test_a_recheck_of_a_product_whose_hint_is_pending_is_that_hint(founded: Store) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", False)]))
    await left(founded, Finish([], rechecks=[("a/2", "p")]))
    assert await hints(founded, "a/2") == [("p", True, False)]
    await two_of_b(founded)
    await left(founded, Finish([], hints=[("b/1", "p", False)], rechecks=[("b/1", "p")]))
    assert await hints(founded, "b/1") == [("p", True, False)]


async def test_a_recheck_that_is_asked_for_again_waits_anew(founded: Store, place: Place) -> None:
    await left(founded, Finish([], rechecks=[("a/2", "p")]))
    place.wait(RECHECK_AFTER_S - 1)
    await left(founded, Finish([], rechecks=[("a/2", "p")]))
    place.wait(1)
    assert await founded.hints("a/2", 10) == []
    place.wait(RECHECK_AFTER_S - 1)
    assert await hints(founded, "a/2") == [("p", True, True)]


async def test_rechecks_come_after_all_hints(founded: Store, place: Place) -> None:
    await left(founded, Finish([], rechecks=[("a/2", "p")]))
    place.wait(RECHECK_AFTER_S)
    await left(founded, Finish([], hints=[("a/2", "q", False)]))
    assert await hints(founded, "a/2") == [("q", False, False), ("p", True, True)]
    assert await founded.hint_counts() == {"a/2": HintCount(1, 0.0)}


async def test_a_batch_of_many_products_is_one_step(founded: Store) -> None:
    await two_of_b(founded)
    many = [f"p{i}" for i in range(300)]
    begun = await hold(founded, *many)
    assert len({one.version for one in begun}) == 300
    lacking = [(name, one, True) for name in ("a/2", "b/1") for one in many]
    dead = {one.product_id: one.version - 1 for one in begun}
    said = [Answer(one, "digest", "text") for one in many]
    assert await founded.finish("r", Finish(begun, hints=lacking, tombstones=dead, answers=said)) == 4
    assert await founded.hint_counts() == {"a/2": HintCount(300, 0.0), "b/1": HintCount(300, 0.0)}
    assert await founded.deaths(many) == dead
    assert len(await founded.answers(many)) == 300
    assert await epoch(founded) == 4


async def test_a_product_is_unsettled_while_a_write_of_it_may_come_to_nothing(founded: Store) -> None:
    assert await founded.unsettled(["p", "q"]) == set()
    begun = await hold(founded, "p")
    assert await founded.unsettled(["p", "q"]) == {"p"}
    await founded.let_go("r", ["p"])
    assert await founded.unsettled(["p", "q"]) == {"p"}
    begun = await hold(founded, "p")
    assert await founded.finish("r", Finish(begun, rechecks=[("a/2", "p")])) == 1
    assert await founded.unsettled(["p", "q"]) == {"p"}
    begun = await hold(founded, "q")
    assert await founded.finish("r", Finish(begun)) == 1
    assert await founded.unsettled(["q"]) == set()


async def test_who_takes_over_learns_which_requests_were_not_finished(founded: Store) -> None:
    first, second = Answer("one", "digest", "first"), Answer("two", "digest", "second")
    await founded.beat("r", LEASE_S, 1)
    [begun] = await founded.begin("r", ["p"], 1, {"p": first})
    assert isinstance(begun, Begun)
    assert begun.unfinished == ()
    await founded.let_go("r", ["p"])
    [again] = await founded.begin("r", ["p"], 1, {"p": second})
    assert isinstance(again, Begun)
    assert again.unfinished == (Unfinished(begun.version, first),)
    await founded.let_go("r", ["p"])
    [third] = await founded.begin("r", ["p"], 1)
    assert isinstance(third, Begun)
    assert third.unfinished == (Unfinished(begun.version, first), Unfinished(again.version, second))
    await founded.finish("r", Finish([third]))
    [fresh] = await founded.begin("r", ["p"], 1)
    assert isinstance(fresh, Begun)
    assert fresh.unfinished == ()
