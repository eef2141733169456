import asyncio
import logging

import pytest

from lookalike_router.core import Core
from lookalike_router.reconcile import Reconciler
from lookalike_router.slots import SLOTS
from lookalike_router.store import Finish, Sync
from lookalike_router.sweep import DUTY, Sweeper
from tests.router.breakable import until
from tests.router.stage import Stage, rows
from tests.router.test_fill import play


def test_what_differs_is_repaired_by_and_by_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(2_000)
        await made.hold("a/1", many)
        await made.hold("a/2", many[5:])
        sweeper = Sweeper(core, reconciler)
        begun_s = asyncio.get_running_loop().time()
        sweeper.start()
        await until(lambda: made.held("a/1") == made.held("a/2"))
        took_s = asyncio.get_running_loop().time() - begun_s
        await sweeper.close()
        assert took_s > core.timing.sweep_s

    with caplog.at_level(logging.WARNING, "lookalike_router.sweep"):
        play(scene, a=2)
    assert sum(int(str(record.args[3])) for record in caplog.records if isinstance(record.args, tuple)) == 5
    assert "product" not in caplog.text


def test_a_sweep_goes_round_and_another_router_goes_on_from_there() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        sweepers = [Sweeper(core, reconciler), Sweeper(*await made.router("other"))]
        many = rows(2_000)
        for name in ("a/1", "a/2"):
            await made.hold(name, many)
        await sweepers[0].step()
        first = int(await made.store.progress(DUTY))
        assert 0 < first < SLOTS
        await sweepers[1].step()
        assert int(await made.store.progress(DUTY)) == first  # not its duty yet
        await asyncio.sleep(100)
        await sweepers[1].step()
        assert int(await made.store.progress(DUTY)) > first
        seen: list[int] = []
        while not seen or seen[-1]:
            await sweepers[1].step()
            seen.append(int(await made.store.progress(DUTY)))
        assert seen[:-1] == sorted(seen[:-1])
        assert seen[-1] == 0

    play(scene, a=2)


def test_a_shard_that_is_being_filled_is_left_to_who_fills_it() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(40)
        owners = core.atlas.view.placement.owners
        for shard in ("a", "b"):
            await made.hold(f"{shard}/1", [one for one in many if owners[one.slot] == shard])
        new = await made.add("a")
        await core.atlas.refresh()
        sweeper = Sweeper(core, reconciler)
        sweeper.start()
        await until(lambda: made.held("b/1") == made.held("b/2"), deadline_s=1_000)
        await asyncio.sleep(100 * core.timing.sweep_s)
        await sweeper.close()
        assert made.held("b/2")
        assert not made.held("a/2")
        assert not made.held(new)

    play(scene, a=2, b=2)


def test_a_shard_that_cannot_be_asked_does_not_hold_the_sweep_up() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(40)
        await made.hold("b/1", [one for one in many if core.atlas.view.placement.owners[one.slot] == "b"])
        made.shards["a/1"].down = made.shards["a/2"].down = True
        sweeper = Sweeper(core, reconciler)
        sweeper.start()
        await until(lambda: made.held("b/1") == made.held("b/2"), deadline_s=1_000)
        await sweeper.close()

    play(scene, a=2, b=2)


def test_what_a_replica_behind_lacks_is_left_to_its_hints() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        await made.hold("a/1", rows(5))
        await made.store.finish("writer", Finish([], hints=[("a/2", "missed", False)]))
        await core.atlas.refresh()
        assert core.atlas.view.groups["a"].replicas[1].sync is Sync.BEHIND
        await Sweeper(core, reconciler).step()
        assert not made.held("a/2")

    play(scene, a=2)
