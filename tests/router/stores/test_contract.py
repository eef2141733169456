"""What every store promises about the map, leases, duties, answers and deaths: SQLite, PostgreSQL and memory alike."""

from dataclasses import replace

import pytest

from lookalike_router.errors import MapConflict
from lookalike_router.placement import plan
from lookalike_router.store import (
    ANSWERS_KEPT_S,
    REPLACED_KEPT_S,
    ROUTERS_KEPT_S,
    TOMBSTONES_KEPT_S,
    Answer,
    Beat,
    Finish,
    HintCount,
    ReplicaPlace,
    RouterLease,
    ShopMap,
    Store,
    Sync,
    Tombstone,
)
from tests.parts import stores
from tests.parts.stores import LEASE_S, PLACEMENT, URIS, epoch, hold, left


async def replica(store: Store, name: str) -> ReplicaPlace:
    found = await store.load()
    assert found is not None
    return next(one for places in found.replicas.values() for one in places if one.name == name)


async def test_a_new_store_knows_nothing_and_makes_an_identity_that_stays(store: Store, other: Store) -> None:
    assert await store.load() is None
    assert await store.look() == Beat(0, 0)
    shop = await store.shop()
    assert len(shop) == 32
    assert await other.shop() == shop


async def test_the_map_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    written = await store.found(PLACEMENT, URIS)
    assert written == await other.load()
    assert written == ShopMap(
        PLACEMENT,
        {
            "a": (
                ReplicaPlace("a/1", "http://a1", Sync.IN_SYNC),
                ReplicaPlace("a/2", "http://a2", Sync.IN_SYNC),
            ),
            "b": (ReplicaPlace("b/1", "http://b1", Sync.IN_SYNC),),
        },
    )


async def test_a_second_founding_finds_the_first_one_and_changes_nothing(founded: Store, other: Store) -> None:
    first = await founded.load()
    assert await other.found(plan({"c": 1.0}), {"c": ["http://c1"]}) == first
    assert await founded.load() == first


async def test_one_address_for_two_replicas_founds_nothing(store: Store) -> None:
    with pytest.raises(MapConflict):
        await store.found(PLACEMENT, {"a": ["http://a1"], "b": ["http://a1"]})
    assert await store.load() is None


async def test_the_first_claim_of_a_model_stands(store: Store, other: Store) -> None:
    assert await store.claim("resnet@1", 256) == ("resnet@1", 256)
    assert await other.claim("resnet@2", 128) == ("resnet@1", 256)


async def test_a_shard_that_is_added_owns_no_slots(founded: Store) -> None:
    found = await founded.add_shard("c", 2.0, ["http://c1", "http://c2"])
    assert found == await founded.load()
    assert found.epoch == PLACEMENT.epoch + 1
    assert found.placement.weights == {"a": 1.0, "b": 2.5, "c": 2.0}
    assert found.placement.owners == PLACEMENT.owners
    assert [one.name for one in found.replicas["c"]] == ["c/1", "c/2"]


@pytest.mark.parametrize(
    ("name", "uris"),
    [("a", ["http://c1"]), ("c", ["http://b1"]), ("c", ["http://c1", "http://c1"]), ("c", [])],
    ids=["name taken", "address taken", "one address twice", "no address"],
)
async def test_a_shard_that_cannot_be_added_changes_nothing(founded: Store, name: str, uris: list[str]) -> None:
    before = await founded.load()
    with pytest.raises(MapConflict):
        await founded.add_shard(name, 1.0, uris)
    assert await founded.load() == before


async def test_a_new_replica_is_to_be_filled_and_its_number_is_never_anothers(founded: Store) -> None:
    assert await founded.next_replica("a") == "a/3"
    found = await founded.add_replica("a/3", "http://a3")
    assert found.replicas["a"][2] == ReplicaPlace("a/3", "http://a3", Sync.FILLING)
    assert found.epoch == PLACEMENT.epoch + 1
    assert (await founded.remove_replica("a/3")).epoch == PLACEMENT.epoch + 2
    assert await founded.next_replica("a") == "a/4"
    with pytest.raises(MapConflict):
        await founded.add_replica("a/3", "http://a3")


@pytest.mark.parametrize(("name", "uri"), [("a/2", "http://x"), ("a/3", "http://b1"), ("c/1", "http://x")])
async def test_a_replica_whose_name_or_address_is_taken_changes_nothing(founded: Store, name: str, uri: str) -> None:
    before = await founded.load()
    with pytest.raises(MapConflict):
        await founded.add_replica(name, uri)
    assert await founded.load() == before
    assert await founded.next_replica("a") == "a/3"


async def test_a_shard_that_is_not_there_has_no_next_replica(founded: Store) -> None:
    with pytest.raises(MapConflict):
        await founded.next_replica("c")


async def test_a_replica_stays_unless_another_one_is_in_sync(founded: Store) -> None:
    await founded.add_replica("b/2", "http://b2")
    for only in ("b/1", "c/1"):
        with pytest.raises(MapConflict):
            await founded.remove_replica(only)
    assert await founded.mark_in_sync("b/2")
    assert [one.name for one in (await founded.remove_replica("b/1")).replicas["b"]] == ["b/2"]


async def test_the_hints_of_a_removed_replica_go_with_it(founded: Store) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", True)]))
    assert await founded.hint_counts() == {"a/2": HintCount(1, 0.0)}
    await founded.remove_replica("a/2")
    assert await founded.hint_counts() == {}
    assert await founded.hints("a/2", 10) == []
    assert not (await hold(founded, "p"))[0].suspect


async def test_a_replica_may_move_to_an_address_that_is_free(founded: Store) -> None:
    assert (await founded.move_replica("a/2", "http://else")).epoch == PLACEMENT.epoch + 1
    assert await replica(founded, "a/2") == ReplicaPlace("a/2", "http://else", Sync.IN_SYNC)
    assert (await founded.move_replica("a/2", "http://else")).epoch == PLACEMENT.epoch + 1
    for name, uri in [("a/2", "http://b1"), ("a/9", "http://free")]:
        with pytest.raises(MapConflict):
            await founded.move_replica(name, uri)
    assert await epoch(founded) == PLACEMENT.epoch + 1


async def test_a_replica_is_in_sync_again_when_no_hint_is_pending(founded: Store) -> None:
    await left(founded, Finish([], hints=[("a/2", "p", True)]))
    before = await epoch(founded)
    assert not await founded.mark_in_sync("a/2")
    await left(founded, Finish([], caught_up=await founded.hints("a/2", 10)))
    assert await founded.mark_in_sync("a/2")
    assert (await replica(founded, "a/2")).sync is Sync.IN_SYNC
    assert await founded.mark_in_sync("a/2")
    assert await epoch(founded) == before + 1
    assert not await founded.mark_in_sync("a/9")


async def test_a_router_lives_as_long_as_its_lease(founded: Store, other: Store, place: stores.Place) -> None:
    assert await founded.beat("r", LEASE_S, 1) == Beat(1, 0)
    await other.beat("s", 2 * LEASE_S, 1)
    place.wait(LEASE_S)
    assert await other.routers() == [RouterLease("r", False, 1, 1), RouterLease("s", True, 1, 1)]
    await founded.add_replica("a/3", "http://a3")
    assert await founded.beat("r", LEASE_S, 2) == Beat(2, 0)
    assert await other.routers() == [RouterLease("r", True, 2, 2), RouterLease("s", True, 1, 1)]
    await founded.leave("r")
    assert await other.routers() == [RouterLease("s", True, 1, 1)]


async def test_a_duty_is_one_routers_until_its_lease_ends_or_it_leaves(
    store: Store, other: Store, place: stores.Place
) -> None:
    assert await store.take_duty("drain", "r", LEASE_S)
    assert not await other.take_duty("drain", "s", LEASE_S)
    assert await other.take_duty("sweep", "s", LEASE_S)
    place.wait(LEASE_S - 1)
    assert await store.take_duty("drain", "r", LEASE_S)
    place.wait(LEASE_S - 1)
    assert not await other.take_duty("drain", "s", LEASE_S)
    place.wait(1)
    assert await other.take_duty("drain", "s", LEASE_S)
    await other.leave("s")
    assert await store.take_duty("drain", "r", LEASE_S)


async def test_progress_is_what_was_last_written_by_any(store: Store, other: Store) -> None:
    assert await store.progress("fill a/3") == ""
    await store.set_progress("fill a/3", "12")
    await other.set_progress("fill a/3", "13")
    await other.set_progress("sweep", "1")
    assert await store.progress("fill a/3") == "13"


async def test_the_first_answer_to_a_request_stands(founded: Store, other: Store) -> None:
    first = Answer("q", "digest", "text")
    await founded.record(first)
    await other.record(Answer("q", "other digest", "other text"))
    written = Answer("q2", "digest", "written")
    await left(founded, Finish([], answers=[replace(first, text="late"), written, replace(written, text="again")]))
    assert await other.answers(["q", "q2", "q3"]) == {"q": first, "q2": written}
    assert await other.answers([]) == {}


async def test_tombstones_are_read_from_a_number_on(founded: Store, other: Store, place: stores.Place) -> None:
    await left(founded, Finish([], tombstones={"p": 5, "q": 7}))
    place.wait(10)
    await left(founded, Finish([], tombstones={"r": 9}))
    found = await other.tombstones(0, 100, 10)
    assert [(one.product_id, one.version) for one in found] == [("p", 5), ("q", 7), ("r", 9)]
    assert [one.number for one in found] == sorted({one.number for one in found})
    assert (await other.look()).tombstones == found[-1].number
    assert [one.product_id for one in await other.tombstones(0, 100, 2)] == ["p", "q"]
    assert [one.product_id for one in await other.tombstones(found[1].number, 100, 10)] == ["r"]
    assert [round(one.age_s) for one in found] == [10, 10, 0]
    assert [one.product_id for one in await other.tombstones(0, 9, 10)] == ["r"]


async def test_news_are_a_newer_map_and_the_tombstones_that_belong_to_it(founded: Store, other: Store) -> None:
    nothing = await other.news(1, 0, 100, 10)
    assert (nothing.map, list(nothing.tombstones)) == (None, [])
    await left(founded, Finish([], hints=[("a/2", "p", False)], replaced={"p": 5}))
    news = await other.news(1, 0, 100, 10)
    assert news.map == await founded.load()
    assert [(one.number, one.product_id, one.version) for one in news.tombstones] == [(1, "p", 5)]
    assert await other.news(2, 1, 100, 10) == nothing


async def test_a_later_tombstone_of_a_product_takes_the_place_of_the_first_and_never_revives(founded: Store) -> None:
    await left(founded, Finish([], tombstones={"p": 5}))
    first = (await founded.look()).tombstones
    await left(founded, Finish([], tombstones={"p": 4}))
    [again] = await founded.tombstones(first, 100, 10)
    assert again == Tombstone((await founded.look()).tombstones, "p", 5, again.age_s)
    await left(founded, Finish([], tombstones={"p": 8}))
    assert [one.version for one in await founded.tombstones(0, 100, 10)] == [8]
    assert await founded.deaths(["p", "q"]) == {"p": 8}
    assert await founded.deaths([]) == {}


async def test_what_no_one_can_need_is_forgotten(founded: Store, place: stores.Place) -> None:
    await left(founded, Finish([], tombstones={"p": 5}, answers=[Answer("q", "digest", "text")]))
    place.wait(ROUTERS_KEPT_S)
    assert ANSWERS_KEPT_S == ROUTERS_KEPT_S
    await founded.prune()
    assert await founded.answers(["q"])
    assert await founded.routers()
    place.wait(LEASE_S + 1)
    await founded.prune()
    assert not await founded.answers(["q"])
    assert await founded.routers() == []
    place.wait(TOMBSTONES_KEPT_S - ROUTERS_KEPT_S - LEASE_S - 1)
    await founded.prune()
    assert await founded.deaths(["p"])
    place.wait(1)
    await founded.prune()
    assert not await founded.deaths(["p"])
    assert (await founded.look()).tombstones == 1


async def test_what_was_replaced_is_dead_too_and_is_forgotten_sooner(founded: Store, place: stores.Place) -> None:
    await left(founded, Finish([], tombstones={"p": 5}, replaced={"q": 7, "r": 7}))
    assert await founded.deaths(["p", "q", "r"]) == {"p": 5, "q": 7, "r": 7}
    assert len(await founded.tombstones(0, 100, 10)) == 3
    place.wait(REPLACED_KEPT_S - 1)
    await left(founded, Finish([], tombstones={"q": 8}))
    place.wait(2)
    await founded.prune()
    assert await founded.deaths(["p", "q", "r"]) == {"p": 5, "q": 8}
    place.wait(REPLACED_KEPT_S)
    await founded.prune()
    assert await founded.deaths(["p", "q"]) == {"p": 5, "q": 8}


@pytest.mark.parametrize("reason", ["hold", "hint", "recheck", "behind"])
async def test_tombstones_stay_while_an_old_row_could_come_back(
    founded: Store, place: stores.Place, reason: str
) -> None:
    await left(founded, Finish([], tombstones={"p": 5}))
    if reason == "hold":
        await hold(founded, "q")
    elif reason == "hint":
        await left(founded, Finish([], hints=[("a/2", "q", False)]))
    elif reason == "recheck":
        await left(founded, Finish([], rechecks=[("a/2", "q")]))
    else:
        await founded.add_replica("a/3", "http://a3")
    place.wait(TOMBSTONES_KEPT_S + 1)
    await founded.prune()
    assert await founded.deaths(["p"])
