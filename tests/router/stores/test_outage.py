"""The store in PostgreSQL goes away and comes back: calls fail soon, nothing is half-done, and nobody starts anew."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial

import pytest

from lookalike_router.errors import StoreFailed
from lookalike_router.sql_database import CALL_DEADLINE_S, CONNECTIONS_MAX
from lookalike_router.sql_store import SqlStore
from lookalike_router.store import Answer, Begun, Finish
from tests.parts import postgres
from tests.parts.postgres import Postgres, fresh_database
from tests.parts.processes import await_stop
from tests.parts.stores import PLACEMENT, URIS, until

pytestmark = postgres.breakable
LONG_S = 600.0
# Far beyond what any call is allowed; a test that reaches it has found one that hangs.
HANGS_S = 10 * CALL_DEADLINE_S
KILLS = 3
HINTS_MAX = 100_000

Breaking = tuple[Callable[[Postgres], None], Callable[[Postgres], None]]
WAYS: dict[str, Breaking] = {
    "paused": (Postgres.pause, Postgres.resume),
    "killed": (Postgres.kill, Postgres.start),
    "shut down": (Postgres.stop, Postgres.start),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that these tests may break."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
async def store(server: Postgres) -> AsyncIterator[SqlStore]:
    with fresh_database(server.url) as url:
        opened = SqlStore(url)
        await opened.found(PLACEMENT, URIS)
        await opened.beat("r", LONG_S, 1)
        yield opened
        await opened.close()


async def begun(store: SqlStore, product_id: str) -> Begun:
    (one,) = await store.begin("r", [product_id], (await store.look()).epoch)
    assert isinstance(one, Begun)
    return one


def whole(product_id: str, one: Begun) -> Finish:
    return Finish(
        [one],
        hints=[("a/2", product_id, False)],
        tombstones={product_id: one.version},
        answers=[Answer(product_id, "digest", "text")],
    )


async def traces(store: SqlStore, product_ids: Sequence[str]) -> list[set[str]]:
    """Return, of each thing that a finish leaves in the store, for which of these products it is there."""
    left = await store.orphans(HINTS_MAX)
    return [
        set(await store.deaths(product_ids)),
        set(await store.answers(product_ids)),
        {hint.product_id for hint in await store.hints("a/2", HINTS_MAX)},
        set(await store.deaths(product_ids)).difference(left),
    ]


def all_alike(found: list[set[str]]) -> bool:
    return all(one == found[0] for one in found)


async def back(store: SqlStore) -> bool:
    try:
        await store.look()
    except StoreFailed:
        return False
    return True


@pytest.mark.parametrize("way", WAYS)
async def test_calls_fail_soon_while_the_server_is_away_and_work_when_it_is_back(
    server: Postgres, store: SqlStore, way: str
) -> None:
    go_away, come_back = WAYS[way]
    held = await begun(store, "p")
    go_away(server)
    async with asyncio.timeout(HANGS_S):
        calls: list[Awaitable[object]] = [
            store.look(),
            store.beat("r", LONG_S, 1),
            store.load(),
            store.finish("r", whole("p", held)),
        ]
        calls += [store.begin("r", [f"q{i}"], 1) for i in range(8)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in outcomes] == [StoreFailed] * len(calls)
    come_back(server)
    await until(lambda: back(store), HANGS_S)
    async with asyncio.timeout(HANGS_S):
        # What its caller was told had failed may stand, if the server had it before it was stopped; but whole.
        await store.let_go("r", ["p", *(f"q{i}" for i in range(8))])
        assert all_alike(await traces(store, ["p"]))
        again = [await begun(store, f"q{i}") for i in range(8)]
        await store.finish("r", Finish(again))


async def test_a_server_that_was_started_anew_between_two_calls_is_no_failure(
    server: Postgres, store: SqlStore
) -> None:
    server.kill()
    server.start()
    assert (await store.look()).epoch == 1


async def test_connections_that_hang_for_ever_are_given_up_for_new_ones(server: Postgres, store: SqlStore) -> None:
    async def all_are_open() -> bool:
        await asyncio.gather(*(store.look() for _ in range(50)))
        return len(server.backends()) == CONNECTIONS_MAX

    await until(all_are_open, HANGS_S)
    opened = server.backends()
    for one in opened:
        one.send_signal(signal.SIGSTOP)
    try:
        await_stop(opened)
        async with asyncio.timeout(HANGS_S):
            outcomes = await asyncio.gather(*(store.look() for _ in range(50)), return_exceptions=True)
            assert {type(one) for one in outcomes} == {StoreFailed}
            assert (await store.look()).epoch == 1
    finally:
        for one in opened:
            one.send_signal(signal.SIGCONT)


async def test_what_was_acknowledged_is_there_after_the_server_was_killed_and_the_rest_is_whole_or_not(
    server: Postgres, store: SqlStore
) -> None:
    done: set[str] = set()
    tried: list[str] = []
    failures = 0

    async def write() -> None:
        nonlocal failures
        while True:
            tried.append(product_id := f"p{len(tried)}")
            try:
                await store.finish("r", whole(product_id, await begun(store, product_id)))
                done.add(product_id)
            except StoreFailed:
                failures += 1

    async def failed(more_than: int) -> bool:
        return failures > more_than

    async def written(more_than: int) -> bool:
        return len(done) > more_than

    for _ in range(KILLS):
        writers = [asyncio.create_task(write()) for _ in range(3)]
        before = failures
        await until(partial(written, len(done) + 20), HANGS_S)
        await asyncio.to_thread(server.kill)
        await until(partial(failed, before), HANGS_S)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await asyncio.to_thread(server.start)
    await until(lambda: back(store), HANGS_S)
    await store.let_go("r", tried)
    found = await traces(store, tried)
    assert all_alike(found)
    assert done <= found[0]
