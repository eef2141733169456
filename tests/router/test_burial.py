import asyncio
import logging

import pytest

from lookalike_router.burial import DUTY, TOMBSTONES_AT_ONCE, Burial
from lookalike_router.core import Core
from lookalike_router.reconcile import Reconciler
from lookalike_router.store import REPLACED_KEPT_S
from lookalike_router.timing import USUAL
from tests.router.stage import Stage, head, rows
from tests.router.test_fill import play


def test_rows_that_come_back_are_deleted_when_their_tombstone_comes_of_age(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        dead, alive = rows(TOMBSTONES_AT_ONCE + 5), rows(3, version=9)
        await made.bury(core, {one.product_id: 8 for one in dead})
        for name in ("a/1", "a/2"):
            await made.hold(name, alive)
        await made.hold("a/2", dead)
        burial = Burial(core, reconciler)
        await burial.step()
        assert len(made.held("a/2")) == len(dead) + len(alive)  # it is too early
        await asyncio.sleep(USUAL.bury_after_s)
        await burial.step()
        assert made.held("a/1") == made.held("a/2") == {head(one) for one in alive}
        await made.hold("a/2", dead)
        await burial.step()
        assert len(made.held("a/2")) == len(dead) + len(alive)  # once is enough

    with caplog.at_level(logging.WARNING, "lookalike_router.burial"):
        play(scene, a=2)
    assert sum(int(str(record.args[2])) for record in caplog.records if isinstance(record.args, tuple)) == 261
    assert "product 1" not in caplog.text


def test_one_router_looks_after_them_and_another_goes_on_from_there() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        other = Burial(*await made.router("other"))
        await Burial(core, reconciler).step()
        await made.bury(core, {"p": 8})
        await asyncio.sleep(USUAL.bury_after_s)
        assert await made.store.take_duty(DUTY, core.router, REPLACED_KEPT_S)
        await other.step()
        assert not await made.store.progress(DUTY)
        await asyncio.sleep(REPLACED_KEPT_S - 1)
        await made.bury(core, {"q": 8})
        await asyncio.sleep(USUAL.bury_after_s)
        await other.step()
        assert int(await made.store.progress(DUTY)) == 2

    play(scene)


def test_a_shard_that_cannot_be_asked_does_not_hold_the_others_up() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        dead = rows(40)
        owners = core.atlas.view.placement.owners
        for shard in ("a", "b"):
            await made.hold(f"{shard}/1", [one for one in dead if owners[one.slot] == shard])
        await made.bury(core, {one.product_id: 8 for one in dead})
        made.shards["a/1"].down = True
        await asyncio.sleep(USUAL.bury_after_s)
        await Burial(core, reconciler).step()
        assert made.held("a/1")
        assert not made.held("b/1")

    play(scene, a=1, b=1)
