"""What only the SQL store must bear: files that are none, races between processes, callers that go away."""

import asyncio
import multiprocessing
import sqlite3
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lookalike_router import sql_database
from lookalike_router.errors import StoreFailed
from lookalike_router.sql_database import ADVISORY_LOCK, Database, Transaction
from lookalike_router.sql_store import SqlStore
from lookalike_router.store import VERSION_BITS, Begun, Finish
from tests.parts.milvus import free_ports
from tests.parts.postgres import fresh_database
from tests.parts.stores import PLACEMENT, URIS, until

RACERS = 2
RACED_FOR = [f"p{i}" for i in range(100)]
LONG_S = 600.0
# Far beyond what anything here takes, also where many processes share two cores.
DEADLINE_S = 180.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
    else:
        yield request.getfixturevalue("postgres_url")


@pytest.fixture
def postgres_url(postgresql_server: str) -> Iterator[str]:
    with fresh_database(postgresql_server) as made:
        yield made


async def said_by(store: SqlStore) -> str:
    with pytest.raises(StoreFailed) as failed:
        await store.shop()
    await store.close()
    return str(failed.value)


async def test_a_path_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "writable" in await said_by(SqlStore(f"sqlite:///{tmp_path}/file/store.db"))


async def test_a_file_that_is_no_database_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("not a database " * 100)
    assert "not a database" in await said_by(SqlStore(f"sqlite:///{tmp_path}/store.db"))


@pytest.mark.parametrize("wrong", ["s3cret", "sqlite://", "sqlite:///:memory:", "postgresql://u:s3cret@h:port/d"])
def test_an_address_that_is_none_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(StoreFailed) as failed:
        SqlStore(wrong)
    assert "s3cret" not in str(failed.value)


async def test_an_older_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "placement.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE facts (name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL)")
        connection.execute("INSERT INTO facts VALUES ('schema', '1')")
    connection.close()
    assert "was made by another version (schema 1, this one reads 4)" in await said_by(SqlStore(f"sqlite:///{file}"))
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("facts",)]
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM owners WHERE first_slot = 0",
        "DELETE FROM shards WHERE name = 'a'",
        "UPDATE replicas SET sync = '?'",
    ],
)
async def test_a_damaged_map_is_said_to_be_so(tmp_path: Path, damage: str) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    await store.found(PLACEMENT, URIS)
    connection = sqlite3.connect(tmp_path / "store.db")
    with connection:
        assert connection.execute(damage).rowcount
    connection.close()
    with pytest.raises(StoreFailed, match="damaged"):
        await store.load()
    await store.close()


async def test_a_password_is_never_shown(postgres_url: str) -> None:
    del postgres_url
    store = SqlStore(f"postgresql://u:s3cret@127.0.0.1:{free_ports(1)[0]}/d")
    with pytest.raises(StoreFailed) as failed:
        await store.shop()
    await store.close()
    assert "refused" in str(failed.value)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))


async def test_a_store_that_was_closed_says_so(url: str) -> None:
    store = SqlStore(url)
    await store.shop()
    await store.close()
    assert "was closed" in await said_by(store)


async def test_all_who_open_a_new_store_at_once_get_the_same_shop(url: str) -> None:
    stores = [SqlStore(url) for _ in range(4)]
    shops = await asyncio.gather(*(store.shop() for store in stores for _ in range(5)))
    await asyncio.gather(*(store.close() for store in stores))
    assert len(set(shops)) == 1


async def test_whoever_opens_a_new_file_waits_where_sqlite_refuses_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN")
    other.execute("SELECT * FROM theirs").fetchall()  # nobody may change the journal now
    refused: list[str] = []

    class Impatient(sqlite3.Connection):
        """Does not wait for locks, as SQLite does not for one that two ask for at once; what it is refused ends."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"timeout": 0.0})

        def execute(self, sql: str, /, *args: Any) -> sqlite3.Cursor:
            try:
                return super().execute(sql, *args)
            except sqlite3.OperationalError:
                refused.append(sql)
                other.rollback()
                raise

    monkeypatch.setattr(sqlite3.dbapi2, "connect", partial(sqlite3.connect, factory=Impatient))
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    assert (await store.found(PLACEMENT, URIS)).epoch == PLACEMENT.epoch
    await store.close()
    other.close()
    assert refused == ["PRAGMA journal_mode=WAL"]


async def test_a_lock_that_is_never_given_back_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_database, "STATEMENT_DEADLINE_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in await said_by(SqlStore(f"sqlite:///{tmp_path}/store.db"))


async def test_of_all_who_found_a_shop_at_once_one_does(url: str) -> None:
    stores = [SqlStore(url) for _ in range(4)]
    uris = [{"a": [f"http://a{i}"], "b": [f"http://b{i}"]} for i in range(4)]
    maps = await asyncio.gather(*(store.found(PLACEMENT, given) for store, given in zip(stores, uris, strict=True)))
    await asyncio.gather(*(store.close() for store in stores))
    assert all(one == maps[0] for one in maps)
    assert [place.uri for place in maps[0].replicas["a"]] in [given["a"] for given in uris]


async def take_all(url: str, router: str, start: Barrier) -> list[tuple[str, int]]:
    """Begin all products, some at once, each time in the same moment as the others; return those that one got."""
    store = SqlStore(url)
    await store.beat(router, LONG_S, 1)
    got: list[tuple[str, int]] = []
    for i in range(0, len(RACED_FOR), 4):
        await asyncio.to_thread(start.wait, DEADLINE_S)
        outcome = await store.begin(router, RACED_FOR[i : i + 4], 1)
        got += [(one.product_id, one.version) for one in outcome if isinstance(one, Begun)]
    await store.close()
    return got


def race(url: str, router: str, start: Barrier, told: "multiprocessing.Queue[list[tuple[str, int]]]") -> None:
    told.put(asyncio.run(take_all(url, router, start)))


@pytest.mark.parametrize("by", ["thread", "process"])
def test_of_all_who_reach_for_a_product_at_once_one_gets_it(url: str, by: str) -> None:
    store = SqlStore(url)
    asyncio.run(store.found(PLACEMENT, URIS))
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(RACERS), context.Queue()
    kind = threading.Thread if by == "thread" else context.Process
    racers = [kind(target=race, args=(url, f"r{i}", start, told)) for i in range(RACERS)]
    for racer in racers:
        racer.start()
    got = [told.get(timeout=DEADLINE_S) for _ in racers]
    for racer in racers:
        racer.join()
    asyncio.run(store.close())
    names = [name for of in got for name, _ in of]
    assert sorted(names) == sorted(RACED_FOR)
    assert len({version for of in got for _, version in of}) == len(RACED_FOR)


async def test_whoever_loads_the_map_sees_one_moment(url: str) -> None:
    writer, reader = SqlStore(url), SqlStore(url)
    await writer.found(PLACEMENT, URIS)
    loaded = [await reader.load()]

    async def read() -> None:
        while True:
            loaded.append(await reader.load())

    reading = asyncio.create_task(read())
    for i in range(3, 40):
        await writer.add_replica(f"a/{i}", f"http://{i}")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.gather(writer.close(), reader.close())
    maps = {one.epoch: one for one in loaded if one is not None}
    assert len(maps) > 3, "nothing was read in between"
    assert all(len(one.replicas["a"]) == 2 + epoch - PLACEMENT.epoch for epoch, one in maps.items())


async def test_postgresqls_clock_rules_not_the_routers(postgres_url: str) -> None:
    store = SqlStore(postgres_url, lambda: 0.0)
    await store.found(PLACEMENT, URIS)
    before = time.time()
    await store.beat("r", 0.5, 1)
    (begun,) = await store.begin("r", ["p"], 1)
    assert isinstance(begun, Begun)
    assert before - 1 < (begun.version >> VERSION_BITS) / 1000 < time.time() + 1

    async def ended() -> bool:
        return await store.orphans(1) == ["p"]

    await until(ended, DEADLINE_S)
    assert [one.live for one in await store.routers()] == [False]
    await store.close()


async def test_what_is_cancelled_while_it_waits_does_not_come_late(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    await store.found(PLACEMENT, URIS)
    await store.beat("r", LONG_S, 1)
    with psycopg.connect(postgres_url, autocommit=True) as another:
        another.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        late = asyncio.create_task(store.begin("r", ["p"], 1))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"

        async def waiting() -> bool:
            return another.execute(waits).fetchone() == (1,)

        await until(waiting, DEADLINE_S)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
    await store.close()
    again = SqlStore(postgres_url)
    (begun,) = await again.begin("r", ["p"], 1)
    assert isinstance(begun, Begun)
    assert not begun.suspect
    await again.close()


async def test_a_router_that_stops_in_the_middle_of_a_transaction_does_not_stop_the_others(postgres_url: str) -> None:
    paused, others = Database(postgres_url, time.time), SqlStore(postgres_url)
    await others.found(PLACEMENT, URIS)
    inside, go_on = threading.Event(), threading.Event()

    def work(tx: Transaction) -> float:
        inside.set()
        go_on.wait(DEADLINE_S)
        return tx.now

    stuck = asyncio.create_task(paused.write(work))
    assert await asyncio.to_thread(inside.wait, DEADLINE_S)
    assert (await others.beat("r", LONG_S, 1)).epoch == 1
    go_on.set()
    with pytest.raises(StoreFailed):
        await stuck
    await paused.close()
    await others.close()


async def test_a_writer_on_sqlite_waits_for_another_processs_transaction(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/store.db")
    await store.found(PLACEMENT, URIS)
    another = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    another.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.beat("r", LONG_S, 1))
    assert await store.routers() == []
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done, "the other's transaction was no obstacle"
    another.execute("COMMIT")
    assert (await waiting).epoch == 1
    another.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match="locked"):
        await store.finish("r", Finish([]))
    another.close()
    await store.close()
