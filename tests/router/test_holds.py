import asyncio
from collections.abc import Mapping, Sequence

import pytest

from lookalike_router.errors import LeaseLost, StoreFailed
from lookalike_router.holds import Holds
from lookalike_router.memory_store import MemoryStore
from lookalike_router.placement import plan
from lookalike_router.store import Answer, Begun, Busy, Finish
from tests.simulation.loop import run


class Flaky(MemoryStore):
    """A store that can go away after, or instead of, doing what it is told."""

    away = False
    deaf = False

    async def begin(
        self, router: str, product_ids: Sequence[str], epoch: int, answers: Mapping[str, Answer] | None = None
    ) -> list[Begun | Busy]:
        if self.away:
            raise StoreFailed("away")
        begun = await super().begin(router, product_ids, epoch, answers)
        if self.deaf:
            raise StoreFailed("lost its reply")
        return begun

    async def finish(self, router: str, finish: Finish) -> int:
        if self.away:
            raise StoreFailed("away")
        return await super().finish(router, finish)

    async def let_go(self, router: str, product_ids: Sequence[str]) -> None:
        if self.away:
            raise StoreFailed("away")
        await super().let_go(router, product_ids)


async def made() -> tuple[Flaky, Holds]:
    store = Flaky(asyncio.get_running_loop().time)
    await store.found(plan({"a": 1.0}), {"a": ["memory:"]})
    await store.beat("me", 100.0, 1)
    return store, Holds(store, "me", lambda: 1)


def test_a_product_is_in_one_hand_at_a_time() -> None:
    async def scene() -> None:
        _, holds = await made()
        begun, busy = await holds.take(["p", "q"], 1)
        assert [one.product_id for one in begun] == ["p", "q"]
        assert not busy
        assert await holds.take(["p"], 1) == ([], {"p"})
        await holds.finish(Finish(begun), 1)
        begun, _ = await holds.take(["p"], 1)
        assert not begun[0].suspect

    run(scene())


def test_what_is_dropped_is_taken_again_only_when_it_was_let_go_and_is_suspect_then() -> None:
    async def scene() -> None:
        store, holds = await made()
        begun, _ = await holds.take(["p"], 1)
        store.away = True
        holds.drop(begun, 1)
        with pytest.raises(StoreFailed):
            await holds.let_go()
        store.away = False
        assert await holds.take(["p"], 1) == ([], {"p"})
        await holds.let_go()
        [again] = (await holds.take(["p"], 1))[0]
        assert again.suspect
        assert again.left

    run(scene())


def test_a_hold_whose_reply_was_lost_is_let_go_and_not_kept_for_ever() -> None:
    async def scene() -> None:
        store, holds = await made()
        store.deaf = True
        with pytest.raises(StoreFailed):
            await holds.take(["p"], 1)
        store.deaf = False
        assert await holds.take(["p"], 1) == ([], {"p"})
        await holds.let_go()
        [begun] = (await holds.take(["p"], 1))[0]
        assert isinstance(begun, Begun)

    run(scene())


def test_an_epoch_is_reached_when_everything_begun_before_has_ended() -> None:
    async def scene() -> None:
        _, holds = await made()
        begun, _ = await holds.take(["p"], 1)
        holds._view_epoch = lambda: 7
        assert holds.reached() == 1
        await holds.finish(Finish(begun), 1)
        assert holds.reached() == 7

    run(scene())


def test_who_was_taken_over_cannot_finish() -> None:
    async def scene() -> None:
        store, holds = await made()
        await store.beat("me", 0.5, 1)
        begun, _ = await holds.take(["p"], 1)
        await asyncio.sleep(1.0)
        await store.beat("other", 100.0, 1)
        [taken] = await store.begin("other", ["p"], 1)
        assert isinstance(taken, Begun)
        assert taken.suspect
        with pytest.raises(LeaseLost):
            await holds.finish(Finish(begun), 1)
        assert holds.reached() == 1

    run(scene())


def test_a_hold_that_the_store_takes_after_all_is_let_go_of_as_well() -> None:
    async def scene() -> None:
        store, holds = await made()
        store.away = True
        with pytest.raises(StoreFailed):
            await holds.take(["p"], 1)
        store.away = False
        await holds.let_go()
        await store.begin("me", ["p"], 1)  # what was on its way
        assert await holds.take(["p"], 1) == ([], {"p"})
        await holds.let_go()
        [begun] = (await holds.take(["p"], 1))[0]
        assert begun.suspect

    run(scene())
