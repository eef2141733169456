import asyncio

import pytest

from lookalike_router.errors import LeaseLost, ShardTimedOut, StoreFailed
from lookalike_router.router import Router
from lookalike_router.store import Beat
from tests.parts.shop import product, vectors
from tests.router.breakable import S, Town, play

VECTOR = vectors(1)[0]


async def put(router: Router, product_id: str) -> None:
    [error] = await router.upsert([product(product_id, [VECTOR])], S)
    if error is not None:
        raise error


def test_a_lease_is_kept_while_the_store_answers_and_ends_when_it_does_not() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        lease = router._core.lease
        await asyncio.sleep(30)
        assert lease.valid

        async def away(*_: object) -> None:
            raise StoreFailed("away")

        made.store.beat = away  # type: ignore[assignment,method-assign]
        await asyncio.sleep(30)
        assert not lease.valid

    play(scene)


def test_a_write_that_makes_a_replica_fall_behind_waits_until_every_live_router_knows() -> None:
    async def scene(made: Town) -> None:
        one = await made.open()
        await made.store.beat("sleeper", 2.0, one.topology().epoch)
        made["a2"].down = True
        start = asyncio.get_running_loop().time()
        await put(one, "p")
        waited_s = asyncio.get_running_loop().time() - start
        assert 1.0 < waited_s < 3.0  # the sleeper's lease had to end first

    play(scene)


def test_a_router_that_never_learns_makes_the_outcome_unknown_and_not_an_acknowledgement() -> None:
    async def scene(made: Town) -> None:
        one = await made.open()
        await made.store.beat("deaf", 3_600.0, one.topology().epoch)
        made["a2"].down = True
        with pytest.raises(ShardTimedOut, match="unknown"):
            await put(one, "p")

    play(scene)


def test_a_router_that_leaves_is_waited_for_no_longer() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        made.routers.remove(two)
        await two.close()
        assert [lease.router for lease in await made.store.routers()] == [one.id]

    play(scene)


def test_a_read_under_a_lease_that_cannot_be_renewed_ends_in_its_own_time() -> None:
    async def scene(made: Town) -> None:
        router = await made.open()
        await put(router, "p")
        hangs = asyncio.Event()

        async def hang(*_: object) -> Beat:
            await hangs.wait()
            raise StoreFailed("away")

        made.store.beat = hang  # type: ignore[assignment,method-assign]
        await asyncio.sleep(30)
        start = asyncio.get_running_loop().time()
        with pytest.raises(LeaseLost):
            await router.get(["p"], 1.0)
        assert asyncio.get_running_loop().time() - start == pytest.approx(1.0)
        hangs.set()

    play(scene)


def test_a_copy_of_an_old_write_that_comes_right_after_the_delete_is_shown_by_no_router() -> None:
    async def scene(made: Town) -> None:
        one, two = await made.open(), await made.open()
        await put(one, "p")
        copy = await made["a1"].read(["p"], S)
        assert await one.delete("p", S) == 1
        for name in ("a1", "a2"):
            await made[name].write(copy, [], S)
        for router in (one, two):
            assert (await router.search(VECTOR[None], 10, deadline_s=S)).answers == [[]]
            assert await router.get(["p"], S) == {}

    play(scene)
