"""Runs transactions on SQLite or PostgreSQL, one writer at a time. Knows no table's meaning.

Writers wait for each other: SQLite by its own lock, PostgreSQL by one advisory lock. So a transaction is a plain
function that sees nobody else's half. A database that is away is a StoreFailed in seconds, never a call that hangs.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lookalike_router.errors import StoreFailed
from lookalike_router.sql_schema import FACTS, METADATA, SCHEMA_VERSION

# Transactions take milliseconds; these many at once wait for each other anyway.
CONNECTIONS_MAX = 4
CONNECT_DEADLINE_S = 2
# How long a transaction may wait for another one, and how long a call may take in all.
LOCK_DEADLINE_S = 4
CALL_DEADLINE_S = 6.0
# Any number, as long as it is the same in every router: the database is the shop's own.
ADVISORY_LOCK = 7_201_606

T = TypeVar("T")


@dataclass(frozen=True)
class Transaction:
    """One transaction: its connection, and the store's time when it began, in seconds since 1970."""

    connection: Connection
    now: float


class Database:
    """One database; opened by the first call."""

    def __init__(self, url: str, wall_s: Callable[[], float]) -> None:
        """Take the URL; `wall_s` is SQLite's clock, PostgreSQL has its own."""
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._url = parsed
        self._wall_s = wall_s
        self._sqlite = parsed.get_backend_name() == "sqlite"
        self._engine: Engine | None = None
        self._threads = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix="store")

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction that changes nothing. Raises StoreFailed, and what `work` raises."""
        return await self._run(work, writes=False)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction; it takes place whole or not at all. Raises StoreFailed, and what `work` raises."""
        return await self._run(work, writes=True)

    async def close(self) -> None:
        """Let go of connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)

    async def _run(self, work: Callable[[Transaction], T], writes: bool) -> T:
        loop = asyncio.get_running_loop()
        try:
            call = loop.run_in_executor(self._threads, self._transact, work, writes)
            # A server that is stopped answers nothing, not even that it is late: then the thread is left behind.
            return await asyncio.wait_for(asyncio.shield(call), CALL_DEADLINE_S)
        except TimeoutError as error:
            call.add_done_callback(_forget)
            raise self._failed("does not answer") from error

    def _transact(self, work: Callable[[Transaction], T], writes: bool) -> T:
        try:
            engine = self._opened()
            with engine.connect().execution_options(lookalike_writes=writes) as connection, connection.begin():
                return work(Transaction(connection, self._now(connection, writes)))
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(_reason(error)) from error

    def _now(self, connection: Connection, writes: bool) -> float:
        if self._sqlite:
            return self._wall_s()
        if writes:
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def _opened(self) -> Engine:
        if self._engine is not None:
            return self._engine
        if self._sqlite and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            self._url,
            connect_args={"timeout": LOCK_DEADLINE_S} if self._sqlite else _postgres_options(),
            pool_size=CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=LOCK_DEADLINE_S,
            pool_pre_ping=not self._sqlite,
        )
        if self._sqlite:
            event.listen(engine, "connect", _connected)
            event.listen(engine, "begin", _begun)
        with engine.connect().execution_options(lookalike_writes=True) as connection, connection.begin():
            self._now(connection, writes=True)
            METADATA.create_all(connection)
            self._check_schema(connection)
        self._engine = engine
        return engine

    def _check_schema(self, connection: Connection) -> None:
        version = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "schema")).scalar_one_or_none()
        if version is None:
            connection.execute(FACTS.insert().values(name="schema", value=SCHEMA_VERSION))
        elif version != SCHEMA_VERSION:
            raise self._failed(
                f"was made by another version (schema {version}, this one reads {SCHEMA_VERSION}); "
                "start a new store with empty shards and import again"
            )

    def _failed(self, why: str) -> StoreFailed:
        return StoreFailed(f"the store {self._url.render_as_string(hide_password=True)} {why}")


def _postgres_options() -> dict[str, Any]:
    limits = f"-c lock_timeout={LOCK_DEADLINE_S}s -c statement_timeout={LOCK_DEADLINE_S}s"
    return {"connect_timeout": CONNECT_DEADLINE_S, "options": limits}


def _connected(connection: Any, record: object) -> None:
    # The driver's own begin is too late and too weak: see _begun.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begun(connection: Connection) -> None:
    # A writer that starts as a reader could not wait for another writer, but would fail.
    writes = connection.get_execution_options().get("lookalike_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().splitlines()
    what = said[0] if said else type(cause).__name__
    return f"cannot be used: {what}; is it running, and is its path right and writable?"


def _forget(call: "asyncio.Future[Any]") -> None:
    if not call.cancelled():
        call.exception()
