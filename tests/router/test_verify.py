import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.answer import Verified
from lookalike_router.core import Core
from lookalike_router.errors import ShardFailed, ShardTimedOut
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import InUse
from lookalike_router.shard import Head
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.store import Begun, Finish
from lookalike_router.verify import NAMES_AT_ONCE, verifying
from tests.parts.shop import row, vectors
from tests.router.breakable import until
from tests.router.stage import Stage, head, rows, stage
from tests.simulation.loop import run

VECTOR = vectors(1)[0]
Scene = Callable[[Stage, Core, Reconciler], Awaitable[None]]


def play(scene: Scene, **shards: int) -> None:
    """Play a scene with one router on virtual time."""

    async def whole() -> None:
        made = await stage(shards or {"a": 2})
        try:
            await scene(made, *await made.router("me"))
        finally:
            await made.close()

    run(whole())


async def verified(
    core: Core, reconciler: Reconciler, *, repair: bool, shard: str | None = None, from_slot: int = 0
) -> list[Verified]:
    reports = verifying(core, reconciler, shard=shard, repair=repair, from_slot=from_slot)
    return [report async for report in reports]


def differing(reports: list[Verified]) -> list[str]:
    return sorted(name for report in reports for name in report.differing)


def right(held: list[set[Head]], dead: dict[str, int]) -> set[Head]:
    """Return what every replica should hold: of each product the newest rows that live. Said without the router."""
    live = {one for heads in held for one in heads if one.version > dead.get(one.product_id, 0)}
    return {one for one in live if all(one.version >= two.version for two in live if two.product_id == one.product_id)}


PLACES = st.sets(
    st.builds(
        lambda product, image, version: row(f"product {product}", f"image {image}", VECTOR, version=version),
        st.integers(0, 5),
        st.integers(0, 1),
        st.integers(1, 3),
    ).map(head),
    max_size=12,
)
DEAD = st.dictionaries(st.integers(0, 5).map("product {}".format), st.integers(1, 3), max_size=3)


async def set_up(made: Stage, core: Core, held: list[set[Head]], dead: dict[str, int]) -> None:
    for number, heads in enumerate(held, 1):
        await made.hold(
            f"a/{number}", [row(one.product_id, one.image_id, VECTOR, version=one.version) for one in sorted_(heads)]
        )
    await made.bury(core, dead)


def sorted_(heads: set[Head]) -> list[Head]:
    return sorted(heads, key=lambda one: (one.product_id, one.image_id, one.version))


@given(held=st.lists(PLACES, min_size=1, max_size=3), dead=DEAD)
def test_a_repair_leaves_on_every_replica_the_newest_rows_that_live_and_nothing_else(
    held: list[set[Head]], dead: dict[str, int]
) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await set_up(made, core, held, dead)
        wanted = right(held, dead)
        wrong = {one.product_id for heads in held for one in heads ^ wanted}

        reports = await verified(core, reconciler, repair=True)

        for number in range(1, len(held) + 1):
            assert made.held(f"a/{number}") == wanted
        assert differing(reports) == sorted(wrong)
        assert reports[-1].done
        assert (reports[-1].differing_total, reports[-1].repaired_total) == (len(wrong), len(wrong))
        assert differing(await verified(core, reconciler, repair=False)) == []

    play(scene, a=len(held))


@given(held=st.lists(PLACES, min_size=1, max_size=3), dead=DEAD)
def test_without_repair_the_same_products_are_named_and_nothing_changes(
    held: list[set[Head]], dead: dict[str, int]
) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await set_up(made, core, held, dead)
        wrong = {one.product_id for heads in held for one in heads ^ right(held, dead)}

        reports = await verified(core, reconciler, repair=False)

        assert differing(reports) == sorted(wrong)
        assert reports[-1].repaired_total == 0
        assert [made.held(f"a/{number}") for number in range(1, len(held) + 1)] == held
        assert not await made.store.hint_counts()

    play(scene, a=len(held))


def test_progress_is_told_after_every_window_and_can_be_taken_up_anywhere() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(3_000)
        await made.hold("a/1", [one for one in many if slot_of(one.product_id) % 2])
        for name in ("a/2", "b/1", "b/2"):
            await made.hold(name, many if name == "a/2" else [])
        lacking = sorted(
            one.product_id
            for one in many
            if not slot_of(one.product_id) % 2 and core.atlas.view.placement.owners[one.slot] == "a"
        )

        reports = await verified(core, reconciler, repair=False)

        assert differing(reports) == lacking
        assert [one.next_slot for one in reports] == sorted(one.next_slot for one in reports)
        assert [one.slots_done for one in reports] == sorted(one.slots_done for one in reports)
        assert len({one.next_slot for one in reports}) > 5
        assert all(len(one.differing) <= NAMES_AT_ONCE for one in reports)
        assert (reports[-1].slots_done, reports[-1].slots, reports[-1].next_slot) == (SLOTS, SLOTS, SLOTS)
        for stop in (1, len(reports) // 2, len(reports) - 2):
            rest = await verified(core, reconciler, repair=False, from_slot=reports[stop].next_slot)
            heard = {name for one in reports[: stop + 1] for name in one.differing}
            assert heard.union(differing(rest)) == set(lacking)

    play(scene, a=2, b=2)


def test_one_shard_is_verified_alone_where_that_is_asked() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(40)
        owners = core.atlas.view.placement.owners
        for shard in ("a", "b"):
            await made.hold(f"{shard}/1", [one for one in many if owners[one.slot] == shard])

        reports = await verified(core, reconciler, repair=True, shard="b")

        of_b = sorted(one.product_id for one in many if owners[one.slot] == "b")
        assert of_b
        assert differing(reports) == of_b
        assert {one.shard for one in reports} == {"b"}
        assert reports[-1].slots == reports[-1].slots_done == owners.count("b")
        assert made.held("b/1") == made.held("b/2")
        assert not made.held("a/2")

    play(scene, a=2, b=2)


def test_rows_in_slots_of_another_shard_are_left_alone() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        stray = next(one for one in rows(40) if core.atlas.view.placement.owners[one.slot] == "b")
        await made.hold("a/1", [stray])
        assert differing(await verified(core, reconciler, repair=True)) == []
        assert made.held("a/1") == {head(stray)}

    play(scene, a=2, b=2)


def test_a_write_under_way_is_no_difference() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        begun, _, epoch = await core.take(["product 0"])
        [written] = rows(1, version=begun[0].version)
        await made.hold("a/1", [written])
        verification = asyncio.ensure_future(verified(core, reconciler, repair=False))
        await asyncio.sleep(1)
        assert not verification.done()
        await made.hold("a/2", [written])
        await finish(core, begun, epoch)
        assert differing(await verification) == []

    play(scene)


async def finish(core: Core, begun: list[Begun], epoch: int) -> None:
    await core.holds.finish(Finish(begun), epoch)


def test_products_that_are_never_free_end_the_verification_and_say_where() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await core.take(["product 0"])
        await made.hold("a/1", rows(1))
        with pytest.raises(ShardTimedOut, match=r"product 0.*from slot 0"):
            await verified(core, reconciler, repair=False)

    play(scene)


def test_a_replica_that_is_away_or_being_filled_is_skipped_and_named() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        new = await made.add("a")
        await core.atlas.refresh()
        await until(lambda: isinstance(core.atlas.view.groups["a"].replicas[3].state, InUse))
        many = rows(10)
        await made.hold("a/1", many)
        await made.hold("a/2", many[:5])
        made.shards["a/3"].down = True

        reports = await verified(core, reconciler, repair=True)

        assert new == "a/4"
        assert reports[-1].skipped == ("a/3", "a/4")
        assert reports[-1].repaired_total == 5
        assert made.held("a/1") == made.held("a/2")

    play(scene, a=3)


@pytest.mark.parametrize("victim", ["a/1", "a/2", "a/3"])
@pytest.mark.parametrize("call", ["count", "digests", "heads_in", "heads"])
def test_a_replica_that_fails_at_any_call_is_skipped_and_the_others_are_repaired(victim: str, call: str) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        others = sorted({"a/1", "a/2", "a/3"} - {victim})
        await made.hold(others[0], rows(3))
        await made.hold(victim, rows(2))
        failed: list[str] = []

        async def fail(*_: object) -> None:
            failed.append(call)
            raise ShardFailed(victim, "fails as told")

        setattr(made.shards[victim], call, fail)

        reports = await verified(core, reconciler, repair=True)

        assert bool(failed) == (call != "digests" or victim != "a/1")  # the first is listed, and gives no digests
        assert reports[-1].skipped == ((victim,) if failed else ())
        assert made.held(others[0]) == made.held(others[1]) == {head(one) for one in rows(3)}

    play(scene, a=3)


def test_a_shard_that_nobody_can_ask_is_skipped_and_the_other_is_verified() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(40)
        await made.hold("b/1", [one for one in many if core.atlas.view.placement.owners[one.slot] == "b"])
        made.shards["a/1"].down = made.shards["a/2"].down = True

        reports = await verified(core, reconciler, repair=True)

        assert reports[-1].skipped == ("a/1", "a/2")
        assert made.held("b/1") == made.held("b/2")
        assert reports[-1].slots_done == SLOTS

    play(scene, a=2, b=2)


def test_a_replica_that_cannot_be_written_to_is_not_said_to_be_repaired() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(3))
        made.shards["a/2"].deaf = True

        reports = await verified(core, reconciler, repair=True)

        assert (reports[-1].differing_total, reports[-1].repaired_total) == (3, 0)
        assert reports[-1].skipped == ("a/2",)
        assert (await made.store.hint_counts())["a/2"].pending == 3

    play(scene)
