import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.core import Core
from lookalike_router.errors import RouterError, ShardTimedOut, ShardUnreachable
from lookalike_router.fill import Filler, Filling, Progress, filled_fraction, filling_duty, strangers
from lookalike_router.keeper import Keeper
from lookalike_router.reconcile import Reconciler
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_router.store import Sync
from lookalike_router.writer import WriteJob, Writer
from tests.parts.shop import product, row, vectors
from tests.router.breakable import BreakableShard, until
from tests.router.stage import Fate, S, Stage, head, rows, stage
from tests.simulation.loop import run

VECTOR = vectors(1)[0]
# So that a handful of rows are several windows.
FEW = 8
LONG_S = 600.0
Scene = Callable[[Stage, Core, Reconciler], Awaitable[None]]


def nowhere(job: WriteJob) -> None:
    raise AssertionError(f"{job.product_id} has moved")


class SlowShard(BreakableShard):
    """An endpoint that takes its time, so that calls overtake each other."""

    chance = random.Random(0)

    async def _pass(self, deadline_s: float) -> None:
        await asyncio.sleep(self.chance.random() * 0.02)
        await super()._pass(deadline_s)


def play(scene: Scene, endpoint: type[BreakableShard] = BreakableShard, **shards: int) -> None:
    """Play a scene with one router on virtual time."""

    async def whole() -> None:
        made = await stage(shards or {"a": 1}, endpoint)
        try:
            await scene(made, *await made.router("me"))
        finally:
            await made.close()

    run(whole())


async def fill(core: Core, reconciler: Reconciler, name: str, *, rows_per_s: float = 1e9) -> None:
    """Fill a replica to the end; fail if that takes long in virtual time."""
    await core.atlas.refresh()
    await core.lease.renew()
    filler = Filler(name, core, reconciler, rows_per_s=rows_per_s, window_rows=FEW)
    await asyncio.wait_for(filler.run(), LONG_S)


async def filled(made: Stage, name: str) -> bool:
    return await made.sync(name) is Sync.IN_SYNC


def test_a_new_replica_gets_every_row_of_its_shard_and_is_in_sync() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        of_a = [one for one in rows(300) if core.atlas.view.placement.owners[one.slot] == "a"]
        await made.hold("a/1", of_a)
        name = await made.add("a")
        await fill(core, reconciler, name)
        assert made.held(name) == made.held("a/1") == {head(one) for one in of_a}
        assert await filled(made, name)
        assert core.atlas.view.groups["a"].replicas[1].sync is Sync.IN_SYNC

    play(scene, a=1, b=1)


def test_what_is_dead_or_old_is_not_copied_and_is_gone_from_the_sibling_too() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", [*rows(6), *rows(3, version=2)])
        await made.bury(core, {"product 5": 1})
        name = await made.add("a")
        await fill(core, reconciler, name)
        wanted = {head(one) for one in [*rows(3, version=2), *rows(5)[3:]]}
        assert made.held(name) == made.held("a/1") == wanted

    play(scene)


def test_a_fill_is_paced() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(100))
        name = await made.add("a")
        begun_s = asyncio.get_running_loop().time()
        await fill(core, reconciler, name, rows_per_s=10.0)
        # The pass that copies meets 100 rows, the one that proves 200, half of them on each replica.
        assert asyncio.get_running_loop().time() - begun_s == pytest.approx(30.0, rel=0.2)

    play(scene)


def test_a_fill_that_stops_at_any_call_is_finished_by_another_router() -> None:
    stopped = 0
    for calls in range(1, 1_000):
        met = [stops_at(calls, last_is_done=done) for done in (False, True)]
        stopped += sum(met)
        if not any(met):
            break
    assert stopped > 100


def stops_at(calls: int, *, last_is_done: bool) -> bool:
    """Let a router that fills stop at one call; check that another one ends the work. Return whether it did stop."""

    async def scene() -> bool:
        made = await stage({"a": 1})
        await made.hold("a/1", [*rows(20), *rows(2, version=2)])
        name = await made.add("a")
        fate = Fate(calls, last_is_done=last_is_done)
        dying = asyncio.ensure_future(
            Filler(name, *await made.router("dies", lease_s=3.0, fate=fate), window_rows=FEW).run()
        )
        met = asyncio.ensure_future(fate.met.wait())
        await asyncio.wait([dying, met], return_when=asyncio.FIRST_COMPLETED)
        core, reconciler = await made.router("lives")
        keeper = Keeper(core, reconciler)
        keeper.start()
        await fill(core, reconciler, name)
        await keeper.close()
        wanted = {head(one) for one in [*rows(2, version=2), *rows(20)[2:]]}
        assert made.held(name) == made.held("a/1") == wanted, (calls, last_is_done)
        assert await filled(made, name)
        await made.close()
        return fate.met.is_set()

    return run(scene())


OPS = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 40)), max_size=30)


@given(ops=OPS, seed=st.integers(0, 99))
def test_writes_during_a_fill_are_on_both_replicas_when_it_ends(ops: list[tuple[int, bool, int]], seed: int) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        SlowShard.chance = random.Random(seed)
        await made.hold("a/1", rows(10))
        name = await made.add("a")
        await core.atlas.refresh()
        keeper = Keeper(core, reconciler)  # the new replica gets hints until it has joined
        keeper.start()
        writer = Writer("a", core, nowhere)
        last: dict[str, bool] = {}

        async def write() -> None:
            for number, deletes, wait in ops:
                await asyncio.sleep(wait / 100)
                product_id = f"product {number}"
                whole = None if deletes else product(product_id, [VECTOR])
                await writer.put(product_id, whole, None, asyncio.get_running_loop().time() + S)
                last[product_id] = not deletes

        filling = asyncio.ensure_future(fill(core, reconciler, name))
        await write()
        await filling
        await writer.close()
        await keeper.close()

        assert made.held(name) == made.held("a/1")
        there = {one.product_id for one in made.held(name)}
        assert there == {f"product {i}" for i in range(10) if last.get(f"product {i}", True)}
        assert len(made.held(name)) == len(there)

    play(scene, SlowShard)


def test_nothing_is_compared_before_every_router_writes_to_the_new_replica() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        old = core.atlas.view.epoch
        await made.store.beat("slow", 1e6, old)
        name = await made.add("a")
        filling = asyncio.ensure_future(fill(core, reconciler, name))
        await asyncio.sleep(LONG_S / 2)
        assert not made.held(name)
        await made.store.beat("slow", 1e6, old + 1)
        await filling
        assert await filled(made, name)

    play(scene)


def test_nothing_is_compared_while_this_router_writes_without_the_new_replica() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        begun, _, epoch = await core.take(["product 0"])
        name = await made.add("a")
        filling = asyncio.ensure_future(fill(core, reconciler, name))
        await asyncio.sleep(LONG_S / 2)
        assert not made.held(name)
        core.holds.drop(begun, epoch)
        await core.holds.let_go()
        keeper = Keeper(core, reconciler)
        keeper.start()
        await filling
        await keeper.close()
        assert await filled(made, name)

    play(scene)


def test_nothing_is_compared_while_the_write_of_a_dead_router_is_unsettled() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        dead, _ = await made.router("dead", lease_s=3.0)
        await dead.take(["product 0"])
        name = await made.add("a")
        filling = asyncio.ensure_future(fill(core, reconciler, name))
        await asyncio.sleep(LONG_S / 2)
        assert not await filled(made, name)
        await reconciler.reconcile(core.atlas.view.groups["a"], ["product 0"], asyncio.get_running_loop().time() + S)
        await filling
        assert await filled(made, name)

    play(scene)


@pytest.mark.parametrize("away", ["a/1", "a/2"])
def test_a_fill_waits_for_a_replica_that_is_away_and_goes_on(away: str) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(50))
        name = await made.add("a")
        filling = asyncio.ensure_future(fill(core, reconciler, name, rows_per_s=10.0))
        await until(lambda: len(made.held(name)) > 10)
        made.shards[away].error = ShardUnreachable(away, "is down")
        await asyncio.sleep(LONG_S / 2)
        assert 10 < len(made.held(name)) < 50
        made.shards[away].error = None
        await filling
        assert made.held(name) == made.held("a/1")

    play(scene)


def test_a_copy_that_is_not_confirmed_is_looked_at_again_before_the_replica_is_in_sync() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        name = await made.add("a")
        made.shards[name].deaf = True
        filling = asyncio.ensure_future(fill(core, reconciler, name))
        await until(lambda: made.held(name))
        await asyncio.sleep(S)
        assert not await filled(made, name)
        assert (await made.store.hint_counts())[name].pending == 5
        made.shards[name].deaf = False
        await asyncio.sleep(LONG_S / 2)
        assert not await filled(made, name)  # its hints are not settled
        keeper = Keeper(core, reconciler)
        keeper.start()
        await filling
        await keeper.close()
        assert await filled(made, name)

    play(scene)


def test_one_router_at_a_time_fills_a_replica() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        name = await made.add("a")
        await made.store.take_duty(filling_duty(name), "another", 60.0)
        begun_s = asyncio.get_running_loop().time()
        await fill(core, reconciler, name)
        assert asyncio.get_running_loop().time() - begun_s >= 60.0

    play(scene)


def test_a_router_finds_what_is_to_be_filled_and_ends_with_a_replica_that_is_removed() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        filling = Filling(core, reconciler)
        filling.start()
        first = await made.add("a")
        await core.atlas.refresh()
        await core.lease.renew()
        await until(lambda: core.atlas.view.groups["a"].replicas[1].sync is Sync.IN_SYNC)
        assert await filled(made, first)
        made.shards["a/1"].down = made.shards[first].down = True
        second = await made.add("a")
        await core.atlas.refresh()
        await asyncio.sleep(S)
        assert list(filling._fillers) == [second]
        await made.store.remove_replica(second)
        await core.atlas.refresh()
        await until(lambda: not filling._fillers)
        await filling.close()

    play(scene)


def test_progress_is_a_fraction_that_grows_and_survives_as_text() -> None:
    assert filled_fraction("") == 0
    half = Progress().after(SlotRange(0, SLOTS // 2 - 1), 7)
    assert Progress.read(half.write()) == half == Progress(1, SLOTS // 2, 7)
    assert filled_fraction(half.write()) == 0.5
    assert filled_fraction(Progress(1, SLOTS, 7).write()) == 1.0
    assert filled_fraction(Progress(2).write()) == 1.0


def test_rows_that_a_sibling_does_not_have_are_strangers() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(1_500)
        await made.hold("a/1", many)
        new = BreakableShard("a/2", "memory:new")
        sibling = made.shards["a/1"]
        loop = asyncio.get_running_loop()

        async def odd() -> list[str]:
            return await strangers(new, sibling, loop.time() + S)

        assert await odd() == []
        await new.rows.write(many, (), S)
        assert await odd() == []
        assert len(await strangers(new, None, loop.time() + S)) == 10
        await new.rows.write([row("product 3", version=2), row("nobody's")], (), S)
        assert await odd() == ["nobody's", "product 3"]
        await new.rows.write((), [head(one) for one in [*many, row("product 3", version=2)]], S)
        assert await odd() == ["nobody's"]
        with pytest.raises(ShardTimedOut, match="give an empty server"):
            await strangers(new, sibling, loop.time())
        new.down = True
        with pytest.raises(RouterError):
            await odd()

    play(scene)
