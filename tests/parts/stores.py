"""Makes stores of each kind over a clock that only the test moves. Knows no test.

PostgreSQL has its own clock: the databases made here have another one before it, which reads the time from a table.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lookalike_router.memory_store import MemoryStore
from lookalike_router.sql_store import SqlStore
from lookalike_router.store import Store

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


def empty(url: str) -> None:
    """Empty a store in PostgreSQL, for another shop."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'shop'").fetchall()
        names = ", ".join(f'shop."{name}"' for (name,) in found if name != "clock")
        connection.execute(f"TRUNCATE {names}".encode())
        connection.execute("INSERT INTO shop.facts VALUES ('schema', '2')")
