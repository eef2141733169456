"""Runs transactions on SQLite or PostgreSQL, one writer at a time. Knows no table's meaning.

Writers wait for each other: SQLite by its own lock, PostgreSQL by one advisory lock. So a transaction is a plain
function that sees nobody else's half. A database that is away is a StoreFailed in seconds, never a call that hangs.
"""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Engine,
    String,
    any_,
    create_engine,
    event,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from lookalike_router.errors import StoreFailed
from lookalike_router.sql_schema import FACTS, METADATA, SCHEMA_VERSION

# Transactions take milliseconds; these many at once wait for each other anyway.
CONNECTIONS_MAX = 4
CONNECT_DEADLINE_S = 2
# How long a statement may take, waiting for another writer included; and a call in all, from its caller's view.
STATEMENT_DEADLINE_S = 5
CALL_DEADLINE_S = 6.0
# Between two attempts to change a new SQLite file's journal, which takes a millisecond.
BUSY_PAUSE_S = 0.01
# A router that was paused in the middle of a transaction loses it before the others, who wait, give up.
IDLE_DEADLINE_S = 3
# Any number, as long as it is the same in every router: the database is the shop's own.
ADVISORY_LOCK = 7_201_606

T = TypeVar("T")


class Transaction:
    """One transaction: its connection, and the store's time in it."""

    def __init__(self, connection: Connection, wall_s: Callable[[], float] | None) -> None:
        """Take the clock; None for the database's own."""
        self.connection = connection
        self._wall_s = wall_s

    @cached_property
    def now(self) -> float:
        """Seconds since 1970, the same all through the transaction; read once its writer's turn has come."""
        if self._wall_s is not None:
            return self._wall_s()
        return float(self.connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def among(self, column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
        """Say that a column is one of these values."""
        # One parameter, however many values: the statement stays the same, and neither driver nor server reads it anew.
        if self._wall_s is None:
            return column == any_(literal(list(values), ARRAY(String)))
        each = func.json_each(json.dumps(list(values))).table_valued("value")
        return column.in_(select(each.c.value))


class Database:
    """One database; opened by the first call."""

    def __init__(self, url: str, wall_s: Callable[[], float]) -> None:
        """Take the URL; `wall_s` is SQLite's clock, PostgreSQL has its own. Raises StoreFailed if it is no URL."""
        self._url = _parsed(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self._wall_s = wall_s if self._sqlite else None
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()  # PostgreSQL's alone
        self._running_since: dict[threading.Event, float] = {}
        self._threads = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix="store")

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction that changes nothing. Raises StoreFailed, and what `work` raises."""
        return await self._run(work, writes=False)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction; it takes place whole or not at all. Raises StoreFailed, and what `work` raises."""
        return await self._run(work, writes=True)

    async def close(self) -> None:
        """Let go of connections; calls that are under way end first, or are cut off."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        ended = asyncio.ensure_future(asyncio.to_thread(self._threads.shutdown))
        await asyncio.wait([ended], timeout=CALL_DEADLINE_S)
        self._hang_up(0.0)
        await ended
        if self._engine is not None:
            self._engine.dispose()

    async def _run(self, work: Callable[[Transaction], T], writes: bool) -> T:
        given_up = threading.Event()
        try:
            call = asyncio.get_running_loop().run_in_executor(self._threads, self._transact, work, writes, given_up)
        except RuntimeError as error:
            raise self._failed("was closed") from error
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                return await asyncio.shield(call)
        except TimeoutError as error:
            # A server that is stopped answers nothing, not even that it is late; and nobody else wakes the threads.
            self._hang_up(STATEMENT_DEADLINE_S)
            raise self._failed("does not answer") from error
        finally:
            given_up.set()
            call.add_done_callback(_forget)

    def _transact(self, work: Callable[[Transaction], T], writes: bool, given_up: threading.Event) -> T:
        self._running_since[given_up] = time.monotonic()
        try:
            if given_up.is_set():
                raise self._failed("was not asked: the caller has gone")
            with self._opened().connect() as connection:
                # A read of several statements sees one moment.
                level = {} if writes or self._sqlite else {"isolation_level": "REPEATABLE READ"}
                connection = connection.execution_options(lookalike_writes=writes, **level)
                with connection.begin():
                    if writes:
                        self._lock(connection)
                    # From here on whoever comes later waits. Only a write that nobody waits for must not come late:
                    # its caller may have undone it by now.
                    if given_up.is_set():
                        raise self._failed("was not written to: the caller has gone")
                    return work(Transaction(connection, self._wall_s))
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(_reason(error)) from error
        finally:
            del self._running_since[given_up]

    def _lock(self, connection: Connection) -> None:
        """Wait for the writer's turn; in SQLite it has come with the transaction's beginning."""
        if not self._sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> Engine:
        if self._sqlite and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            engine = create_engine(
                self._url,
                connect_args={"timeout": STATEMENT_DEADLINE_S} if self._sqlite else _postgres_options(),
                pool_size=CONNECTIONS_MAX,
                max_overflow=0,
                pool_timeout=CALL_DEADLINE_S,
                pool_pre_ping=not self._sqlite,
            )
        except ImportError as error:
            raise self._failed("needs its driver: pip install 'lookalike[postgres]'") from error
        if self._sqlite:
            event.listen(engine, "connect", _connected)
            event.listen(engine, "begin", _begun)
        else:
            event.listen(engine, "connect", self._take_note, insert=True)
        try:
            with engine.connect() as connection, connection.begin():
                self._lock(connection)
                self._check_schema(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _check_schema(self, connection: Connection) -> None:
        """Make the tables of a new store; refuse one that another version made."""
        if not inspect(connection).has_table(FACTS.name):
            METADATA.create_all(connection)
            connection.execute(FACTS.insert().values(name="schema", value=SCHEMA_VERSION))
            return
        version = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "schema")).scalar_one_or_none()
        if version != SCHEMA_VERSION:
            raise self._failed(
                f"was made by another version (schema {version}, this one reads {SCHEMA_VERSION}); "
                "start a new store with empty shards and import again"
            )

    def _take_note(self, connection: Any, record: object) -> None:
        self._connections.add(connection)

    def _hang_up(self, after_s: float) -> None:
        """Wake the threads that wait for a server which does not answer, if any has waited for so long."""
        now_s = time.monotonic()
        if any(now_s - since_s >= after_s for since_s in list(self._running_since.values())):
            for connection in list(self._connections):
                _shut_down(connection)

    def _failed(self, why: str) -> StoreFailed:
        return StoreFailed(f"the store {self._url.render_as_string(hide_password=True)} {why}")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        # Not the URL itself: it may hold a password.
        raise StoreFailed("the store's address is no URL like sqlite:///FILE or postgresql://HOST/DATABASE") from error
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreFailed("the store is a file: sqlite:///FILE")
    return parsed


def _postgres_options() -> dict[str, Any]:
    limits = {
        "statement_timeout": STATEMENT_DEADLINE_S,
        "lock_timeout": STATEMENT_DEADLINE_S,
        "idle_in_transaction_session_timeout": IDLE_DEADLINE_S,
    }
    options = " ".join(f"-c {name}={limit_s}s" for name, limit_s in limits.items())
    return {"connect_timeout": CONNECT_DEADLINE_S, "options": options}


def _connected(connection: Any, record: object) -> None:
    # The driver's own begin is too late and too weak: see _begun.
    connection.isolation_level = None
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")


def _write_ahead(connection: Any) -> None:
    """Have the journal written ahead; wait where several change that at once, as SQLite itself refuses to."""
    until_s = time.monotonic() + STATEMENT_DEADLINE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
                raise
        time.sleep(BUSY_PAUSE_S)


def _begun(connection: Connection) -> None:
    # A writer that starts as a reader could not wait for another writer, but would fail.
    writes = connection.get_execution_options().get("lookalike_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _shut_down(connection: Any) -> None:
    """End a connection under the thread that uses it: there it reads as if the server had gone."""
    gone = contextlib.suppress(OSError, connection.OperationalError)
    with gone, socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().splitlines()
    what = said[0] if said else type(cause).__name__
    return f"cannot be used: {what}; is it running, and is its path right and writable?"


def _forget(call: "asyncio.Future[Any]") -> None:
    if not call.cancelled():
        call.exception()
