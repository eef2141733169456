"""Keeps the shop's identity, placement map and model in a small SQL database. Knows no vectors and no shard."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from lookalike_router.errors import StoreFailed
from lookalike_router.placement import Placement, owners_of
from lookalike_router.slots import SlotRange

SCHEMA_VERSION = "1"
_META = MetaData()
FACTS = Table("facts", _META, Column("name", String, primary_key=True), Column("value", String, nullable=False))
SHARDS = Table("shards", _META, Column("name", String, primary_key=True), Column("weight", Float, nullable=False))
OWNERS = Table(
    "owners",
    _META,
    Column("first_slot", Integer, primary_key=True),
    Column("last_slot", Integer, nullable=False),
    Column("shard", String, nullable=False),
)


class SqlStore:
    """The store at a SQLAlchemy URL, for example "sqlite:///lookalike-data/placement.db"."""

    def __init__(self, url: str) -> None:
        """Take the URL; nothing is opened yet."""
        self._url = make_url(url)
        # Calls are few and come from any thread; a connection held between them would only go stale.
        self._engine = create_engine(self._url, poolclass=NullPool)
        self._ready = False

    def shop(self) -> str:
        """Return the shop's identity; the first call makes it."""
        with self._transaction() as connection:
            shop = _fact(connection, "shop")
            if shop is None:
                shop = secrets.token_hex(16)
                connection.execute(insert(FACTS).values(name="shop", value=shop))
            return shop

    def placement(self) -> Placement | None:
        """Return the placement map; None before the first."""
        with self._transaction() as connection:
            epoch = _fact(connection, "epoch")
            if epoch is None:
                return None
            weights = {row.name: row.weight for row in connection.execute(select(SHARDS).order_by(SHARDS.c.name))}
            ranges: dict[str, list[SlotRange]] = {name: [] for name in weights}
            for row in connection.execute(select(OWNERS)):
                ranges[row.shard].append(SlotRange(row.first_slot, row.last_slot))
        try:
            return Placement(int(epoch), weights, owners_of(ranges))
        except ValueError as error:
            raise StoreFailed(f"{self._url}: the placement map is damaged: {error}; restore a backup") from error

    def found(self, placement: Placement) -> None:
        """Write the first map; raise StoreFailed if there is one."""
        owned = [(shard, run) for shard in placement.weights for run in placement.ranges(shard)]
        with self._transaction() as connection:
            connection.execute(insert(FACTS).values(name="epoch", value=str(placement.epoch)))
            weights = [{"name": name, "weight": weight} for name, weight in placement.weights.items()]
            connection.execute(insert(SHARDS), weights)
            rows = [{"first_slot": run.first, "last_slot": run.last, "shard": shard} for shard, run in owned]
            connection.execute(insert(OWNERS), rows)

    def claim(self, model: str, dim: int) -> tuple[str, int]:
        """Write which model makes the vectors unless that is known; return the one that stands."""
        with self._transaction() as connection:
            standing = _fact(connection, "model")
            if standing is None:
                connection.execute(insert(FACTS).values(name="model", value=model))
                connection.execute(insert(FACTS).values(name="dim", value=str(dim)))
                return model, dim
            return standing, int(_fact(connection, "dim") or dim)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Run one transaction; every failure of the database is a StoreFailed."""
        try:
            self._prepare()
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise StoreFailed(f"{self._url.render_as_string()}: {error}; is the path right and writable?") from error

    def _prepare(self) -> None:
        if self._ready:
            return
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        _META.create_all(self._engine)
        with self._engine.begin() as connection:
            version = _fact(connection, "schema")
            if version is None:
                connection.execute(insert(FACTS).values(name="schema", value=SCHEMA_VERSION))
            elif version != SCHEMA_VERSION:
                raise StoreFailed(f"{self._url} has schema {version}, this version reads {SCHEMA_VERSION}; upgrade")
        self._ready = True


def _fact(connection: Connection, name: str) -> str | None:
    return connection.execute(select(FACTS.c.value).where(FACTS.c.name == name)).scalar_one_or_none()
