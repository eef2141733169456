"""Makes stores of each kind over a clock that only the test moves. Knows no test.

PostgreSQL has its own clock: the databases made here have another one before it, which reads the time from a table.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from lookalike_router.memory_store import MemoryStore
from lookalike_router.placement import plan
from lookalike_router.sql_store import SqlStore
from lookalike_router.store import Begun, Finish, Store

PLACEMENT = plan({"a": 1.0, "b": 2.5})
URIS = {"a": ["http://a1", "http://a2"], "b": ["http://b1"]}
LEASE_S = 3.0
START_S = 1_700_000_000.0
CLOCK = """
    CREATE SCHEMA shop;
    CREATE TABLE shop.clock (now_s double precision NOT NULL);
    INSERT INTO shop.clock VALUES ({start_s});
    CREATE FUNCTION shop.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT to_timestamp(now_s) FROM shop.clock';
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = shop, pg_catalog', current_database()); END $$;
"""


@dataclass
class Place:
    """One shop's store, to which any number of routers may open a way."""

    open: Callable[[], Store]
    """A handle of one's own, as another process would have."""
    _tell: Callable[[float], None] = lambda _: None
    now_s: float = START_S

    def wait(self, seconds: float) -> None:
        """Let time pass, or go back where `seconds` is negative."""
        self.now_s += seconds
        self._tell(self.now_s)


def in_memory() -> Place:
    """Return a new store in memory."""
    place = Place(lambda: store)
    store = MemoryStore(lambda: place.now_s)
    return place


def in_sqlite(file: Path) -> Place:
    """Return a store in a file."""
    place = Place(lambda: SqlStore(f"sqlite:///{file}", lambda: place.now_s))
    return place


@contextlib.contextmanager
def in_postgres(url: str) -> Iterator[Place]:
    """Give a store in an empty database."""
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(CLOCK.format(start_s=START_S).encode())

        def tell(now_s: float) -> None:
            connection.execute("UPDATE shop.clock SET now_s = %s", [now_s])

        yield Place(lambda: SqlStore(url), tell)


async def epoch(store: Store) -> int:
    """Return the map's epoch."""
    return (await store.look()).epoch


async def hold(store: Store, *product_ids: str) -> list[Begun]:
    """Take hold of products as the router r; fail if any of them is busy."""
    await store.beat("r", LEASE_S, await epoch(store))
    begun = await store.begin("r", product_ids, await epoch(store))
    assert all(isinstance(one, Begun) for one in begun)
    return [one for one in begun if isinstance(one, Begun)]


async def left(store: Store, finish: Finish) -> int:
    """Leave something in the store, as a write of the product p would; return the epoch."""
    return await store.finish("r", replace(finish, begun=await hold(store, "p")))


async def until(true: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
    """Return once something has come true; raise TimeoutError if it does not."""
    async with asyncio.timeout(deadline_s):
        while True:
            if await true():
                return
            await asyncio.sleep(0.01)
