import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from lookalike_router import mover
from lookalike_router.balance import Batch
from lookalike_router.core import Core
from lookalike_router.errors import RouterError, ShardUnreachable
from lookalike_router.jobs import DUTY, LATE_S, JobKind, Move, Step
from lookalike_router.mover import Halted, Mover, Reins
from lookalike_router.rebalancer import Rebalancer
from lookalike_router.reconcile import Reconciler
from lookalike_router.safeguards import Safeguards
from lookalike_router.shard import Head, Row
from lookalike_router.slots import SlotRange
from lookalike_router.store import Finish, Sync
from lookalike_router.stride import Stride
from tests.router.breakable import until
from tests.router.stage import FOREVER_S, Fate, S, Stage, head, rows, stage
from tests.simulation.loop import run

Scene = Callable[[Stage, Core], Awaitable[None]]
LONG_S = 900.0


def play(scene: Scene, **shards: int) -> None:
    """Play a scene with one router on virtual time."""

    async def whole() -> None:
        made = await stage(shards or {"a": 1, "b": 1})
        core, _ = await made.router("me")
        try:
            await scene(made, core)
        finally:
            await made.close()

    run(whole())


def owned(core: Core, many: Sequence[Row], shard: str) -> list[Row]:
    return [one for one in many if core.atlas.view.placement.owners[one.slot] == shard]


async def stocked(made: Stage, core: Core, count: int = 40) -> list[Row]:
    """Put rows where they belong, on every replica; return those of shard a."""
    many = rows(count)
    for shard, group in core.atlas.view.groups.items():
        for one in group.replicas:
            await made.hold(one.name, owned(core, many, shard))
    return owned(core, many, "a")


async def job(made: Stage, core: Core, *, router: str = "me") -> Move:
    """Start a job that moves all slots of a to b in one batch, run by a router."""
    await core.store.start_job(JobKind.BALANCE, [(Batch("a", "b", core.atlas.view.placement.ranges("a")), 1)])
    assert await core.store.take_duty(DUTY, router, FOREVER_S)
    return await standing(made)


async def standing(made: Stage) -> Move:
    found = await made.store.job()
    assert found is not None
    return found.moves[0]


async def attentive(core: Core) -> None:
    """Look at the store, as a router does."""
    while True:
        await core.lease.renew()
        await asyncio.sleep(0.1)


def reins(may_go_on: Callable[[Step], None] = lambda _: None) -> Reins:
    async def spend(rows: int) -> None:
        pass

    strides = {name: Stride(1_000) for name in "ab"}
    return Reins(may_go_on, spend, asyncio.Lock(), strides, strides)


async def moved(core: Core, move: Move, quiet_at: float = 0.0) -> None:
    """Move a batch, and whatever it left behind."""
    await asyncio.wait_for(Mover(core, move, reins(), quiet_at).run(), LONG_S)
    found = await core.store.job()
    assert found is not None
    for rest in found.moves:
        if not rest.step.ended:
            await asyncio.wait_for(Mover(core, rest, reins(), quiet_at).run(), LONG_S)


def test_rows_move_and_nothing_is_left() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        before = made.held("b/1")
        await moved(core, await job(made, core))
        move = await standing(made)
        assert (move.step, move.rows, move.pauses) == (Step.DONE, len(mine), 1)
        assert made.held("b/1") == before | {head(one) for one in mine}
        assert not made.held("a/1")
        assert set(core.atlas.view.placement.owners) == {"b"}

    play(scene)


def test_every_replica_of_the_target_gets_everything_and_of_the_source_nothing_stays() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        before = made.held("b/1")
        await moved(core, await job(made, core))
        assert made.held("b/1") == made.held("b/2") == before | {head(one) for one in mine}
        assert not made.held("a/1")
        assert not made.held("a/2")

    play(scene, a=2, b=2)


def test_what_is_dead_or_old_does_not_move() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        newer = replace(mine[0], version=2)
        await made.hold("a/1", [newer])
        await made.bury(core, {mine[1].product_id: 1})
        before = made.held("b/1")
        await moved(core, await job(made, core))
        assert made.held("b/1") - before == {head(newer), *map(head, mine[2:])}
        assert not made.held("a/1")

    play(scene)


def test_what_an_earlier_try_left_on_the_target_is_put_right() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        before = made.held("b/1")
        unknown = owned(core, rows(80)[40:], "a")[0]
        await made.hold("b/1", [replace(mine[0], version=0), unknown])
        stray = replace(mine[2], image_id="never acknowledged")
        await made.hold("b/1", [stray])
        await moved(core, await job(made, core))
        assert made.held("b/1") - before == {head(one) for one in mine}

    play(scene)


def test_a_write_during_the_copy_moves_too() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        newer = replace(mine[0], version=5)

        async def write(name: str) -> None:
            if name == "catch_up":
                await made.shards["a/1"].rows.write([newer], [head(mine[0])], S)

        await moved(replace(core, failpoint=write), await job(made, core))
        assert head(newer) in made.held("b/1")
        assert head(mine[0]) not in made.held("b/1")

    play(scene)


@pytest.mark.parametrize("proof", [True, False])
def test_only_the_proof_saves_a_write_that_slips_in(proof: bool) -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        slipped = replace(mine[0], version=5)

        async def write(name: str) -> None:
            if name == "prove":
                await made.shards["a/1"].rows.write([slipped], [head(mine[0])], S)

        careless = replace(core, failpoint=write, safeguards=Safeguards(proof=proof))
        await moved(careless, await job(made, core))
        assert (head(slipped) in made.held("b/1")) is proof
        found = await made.store.job()
        assert found is not None
        assert [move.batch.slots for move in found.moves[1:]] == [(SlotRange(mine[0].slot, mine[0].slot),)] * proof

    play(scene)


def test_a_slot_of_which_somebody_has_a_product_in_hand_is_left_and_moves_later() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        other, _ = await made.router("other")
        looking = asyncio.ensure_future(attentive(other))
        begun, _, epoch = await other.take([mine[0].product_id])
        move = await job(made, core)
        running = asyncio.ensure_future(moved(core, move))
        await asyncio.sleep(3.0)
        assert (await standing(made)).pauses == 1
        owners = core.atlas.view.placement.owners
        assert {one.slot for one in mine if owners[one.slot] == "a"} == {mine[0].slot}
        assert set(owners) == {"a", "b"}
        await other.give_back(begun, epoch)
        await running
        looking.cancel()
        assert set(core.atlas.view.placement.owners) == {"b"}
        assert not made.held("a/1")

    play(scene)


def test_writers_wait_no_longer_than_a_proof_may_take() -> None:
    async def scene(made: Stage, core: Core) -> None:
        many = await stocked(made, core, 4 * mover.LEFT_SLOTS_MAX)
        other, _ = await made.router("other")
        await other.take([one.product_id for one in many])
        running = asyncio.ensure_future(moved(core, await job(made, core)))
        await until(lambda: core.atlas.view.epoch)
        while (await standing(made)).pauses < 2:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.1)
        assert (await standing(made)).paused_s <= mover.PROOF_S + 0.1
        running.cancel()
        await asyncio.wait([running])

    play(scene)


def test_nothing_is_proven_before_what_may_come_late_has_come() -> None:
    async def scene(made: Stage, core: Core) -> None:
        await stocked(made, core)
        loop = asyncio.get_running_loop()
        quiet_at = loop.time() + LATE_S
        await moved(core, await job(made, core), quiet_at)
        assert loop.time() >= quiet_at

    play(scene)


def test_after_a_copy_of_unknown_outcome_the_proof_waits() -> None:
    async def scene(made: Stage, core: Core) -> None:
        await stocked(made, core)
        made.shards["b/1"].deaf = True
        one = Mover(core, await job(made, core), reins(), 0.0)
        with pytest.raises(RouterError):
            await one.run()
        assert one.quiet_at >= asyncio.get_running_loop().time() + LATE_S - 0.1

    play(scene)


def test_a_target_replica_that_does_not_answer_is_not_left_out() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        made.shards["b/2"].down = True
        core.atlas.view.groups["b"].replicas[1].report(ShardUnreachable("b/2", "is down"))
        with pytest.raises(ShardUnreachable, match="b/2"):
            await moved(core, await job(made, core))
        assert core.atlas.view.placement.owners[mine[0].slot] == "a"

    play(scene, a=1, b=2)


def test_rows_are_read_from_a_replica_that_holds_everything() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        made.shards["a/1"].rows._rows.clear()
        core.atlas.view.groups["a"].replicas[0].sync = Sync.BEHIND
        begun, _, epoch = await core.take(["somebody else's"])
        await core.holds.finish(Finish(begun, hints=[("a/1", "somebody else's", False)]), epoch)
        await moved(core, await job(made, core))
        assert {head(one) for one in mine} <= made.held("b/1")

    play(scene, a=2, b=1)


def test_a_move_that_is_undone_leaves_the_source_as_it_was() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        before = made.held("b/1")

        def halt(step: Step) -> None:
            if step is Step.CATCH_UP:
                raise Halted("halted")

        move = await job(made, core)
        with pytest.raises(Halted):
            await Mover(core, move, reins(halt), 0.0).run()
        assert made.held("b/1") > before
        await Mover(core, await standing(made), reins(), 0.0).undo()
        assert made.held("b/1") == before
        assert made.held("a/1") == {head(one) for one in mine}
        assert (await standing(made)).step is Step.UNDONE

    play(scene)


def test_a_router_without_a_lease_moves_nothing() -> None:
    async def scene(made: Stage, core: Core) -> None:
        await stocked(made, core)
        move = await job(made, core)
        core.lease._until = 0.0
        before = made.held("b/1")
        with pytest.raises(Halted):
            await moved(core, move)
        assert made.held("b/1") == before

    play(scene)


def test_a_move_that_stops_at_any_call_is_finished_by_another_router() -> None:
    stopped = 0
    for calls in range(1, 1_000):
        met = [stops_at(calls, last_is_done=done) for done in (False, True)]
        stopped += sum(met)
        if not any(met):
            break
    assert stopped > 60


def stops_at(calls: int, *, last_is_done: bool) -> bool:
    """Let a router that moves slots stop at one call; check that another one ends the work. Return whether it did."""

    async def scene() -> bool:
        made = await stage({"a": 1, "b": 1})
        first, _ = await made.router("first")
        mine = await stocked(made, first)
        before = made.held("b/1")
        await first.store.start_job(JobKind.BALANCE, [(Batch("a", "b", first.atlas.view.placement.ranges("a")), 1)])
        await first.store.leave("first")
        fate = Fate(calls, last_is_done=last_is_done)
        dies, _ = await made.router("dies", lease_s=3.0, fate=fate)
        lives, _ = await made.router("lives")
        dies.lease._moving = True
        looking = asyncio.ensure_future(attentive(lives))
        dying = Rebalancer(dies)
        dying.start()
        ended = asyncio.ensure_future(until(lambda: not made.store._moving(), LONG_S))
        met = asyncio.ensure_future(fate.met.wait())
        await asyncio.wait([ended, met], return_when=asyncio.FIRST_COMPLETED)
        living = Rebalancer(lives)
        living.start()
        await ended
        await living.close()
        await dying.close()
        met.cancel()
        looking.cancel()
        moved_rows: set[Head] = {head(one) for one in mine}
        assert made.held("b/1") == before | moved_rows, (calls, last_is_done)
        assert not made.held("a/1"), (calls, last_is_done)
        assert (await standing(made)).step is Step.DONE
        await made.close()
        return fate.met.is_set()

    return run(scene())


def test_a_reconciler_leaves_what_another_shard_owns_alone() -> None:
    async def scene(made: Stage, core: Core) -> None:
        mine = await stocked(made, core)
        group = core.atlas.view.groups["a"]
        await moved(core, await job(made, core))
        await made.hold("a/1", mine[:1])
        found = await Reconciler(core).reconcile(group, [mine[0].product_id], asyncio.get_running_loop().time() + S)
        assert (found.differed, found.busy) == ((), ())
        assert not made.held("a/2")

    play(scene, a=2, b=1)
