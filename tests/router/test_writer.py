import asyncio

import pytest

from lookalike_router.errors import ShardTimedOut, StoreFailed, WriteRefused
from lookalike_router.router import Router
from lookalike_router.writer import BATCH_ROWS_MAX
from tests.parts.shop import product, products, vectors
from tests.router.breakable import BreakableShard, S, Town, play, until

PICTURES = list(vectors(3))


class Counting(BreakableShard):
    """Writes down how many rows each write had."""

    def __init__(self, name: str, uri: str) -> None:
        super().__init__(name, uri)
        self.sizes: list[int] = []

    async def write(self, rows, gone, deadline_s):  # type: ignore[no-untyped-def]
        self.sizes.append(len(rows))
        await super().write(rows, gone, deadline_s)


async def opened(made: Town) -> tuple[Router, Counting]:
    counting = Counting("a/1", "memory:a1")
    made.endpoints["memory:a1"] = counting
    return await made.open(), counting


async def put(router: Router, product_id: str, pictures: int = 1, deadline_s: float = S) -> None:
    [error] = await router.upsert([product(product_id, PICTURES[:pictures])], deadline_s)
    if error is not None:
        raise error


def test_calls_that_wait_join_one_batch() -> None:
    async def scene(made: Town) -> None:
        router, shard = await opened(made)
        shard.paused = asyncio.Event()
        calls = [asyncio.ensure_future(put(router, f"p{i}")) for i in range(10)]
        await asyncio.sleep(0.1)
        shard.paused.set()
        await asyncio.gather(*calls)
        assert len(shard.sizes) <= 2
        assert sum(shard.sizes) == 10

    play(scene, replicas=1)


def test_a_batch_has_a_limit() -> None:
    async def scene(made: Town) -> None:
        router, shard = await opened(made)
        assert await router.upsert(products(300, pictures=2), S) == [None] * 300
        assert sum(shard.sizes) == 600
        assert max(shard.sizes) <= BATCH_ROWS_MAX

    play(scene, replicas=1)


def test_writes_to_one_product_take_place_one_after_the_other() -> None:
    async def scene(made: Town) -> None:
        router, _ = await opened(made)
        await asyncio.gather(*(put(router, "p", pictures=1 + i % 3) for i in range(9)))
        [rows] = (await router.get(["p"], S)).values()
        assert len(rows) == len(made.held("a1")) in (1, 2, 3)

    play(scene, replicas=1)


def test_a_write_that_comes_too_late_is_not_sent() -> None:
    async def scene(made: Town) -> None:
        router, shard = await opened(made)
        shard.paused = asyncio.Event()
        first = asyncio.ensure_future(put(router, "p", deadline_s=2.0))
        await asyncio.sleep(0.1)
        with pytest.raises(ShardTimedOut):
            await put(router, "q", deadline_s=0.5)
        shard.paused.set()
        shard.paused = None
        await first
        await asyncio.sleep(5.0)
        assert {head.product_id for head in made.held("a1")} == {"p"}

    play(scene, replicas=1)


def test_a_product_that_another_router_holds_is_written_when_it_lets_go() -> None:
    async def scene(made: Town) -> None:
        router, _ = await opened(made)
        await made.store.beat("other", 2.0, 1)
        await made.store.begin("other", ["p"], 1)
        start = asyncio.get_running_loop().time()
        await put(router, "p", deadline_s=10.0)
        assert asyncio.get_running_loop().time() - start > 1.0  # until the lease of the other had ended
        assert {head.product_id for head in made.held("a1")} == {"p"}

    play(scene, replicas=1)


def test_a_finish_that_the_store_does_not_answer_is_not_acknowledged_and_settles() -> None:
    async def scene(made: Town) -> None:
        router, _ = await opened(made)
        real = made.store.finish

        async def deaf(*told: object) -> int:
            await real(*told)  # type: ignore[arg-type]
            raise StoreFailed("lost its reply")

        made.store.finish = deaf  # type: ignore[method-assign,assignment]
        with pytest.raises(StoreFailed):
            await put(router, "p")
        made.store.finish = real  # type: ignore[method-assign]
        await until(lambda: not router._core.holds._in_hand)
        await put(router, "p", pictures=2)
        assert len(made.held("a1")) == 2

    play(scene, replicas=1)


def test_a_bug_is_for_its_caller_and_the_next_write_finds_a_writer() -> None:
    async def scene(made: Town) -> None:
        router, shard = await opened(made)
        real = shard.rows.write

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        shard.rows.write = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(ZeroDivisionError):
            await put(router, "p")
        shard.rows.write = real  # type: ignore[method-assign]
        await put(router, "q")
        assert "q" in {head.product_id for head in made.held("a1")}

    play(scene, replicas=1)


def test_what_cannot_be_stored_is_refused_before_anything_is_held() -> None:
    async def scene(made: Town) -> None:
        router, shard = await opened(made)
        with pytest.raises(WriteRefused):
            await put(router, "p" * 600)
        assert shard.sizes == []

    play(scene, replicas=1)
