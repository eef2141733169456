"""Every kind of store, for one contract."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lookalike_router.store import Store
from tests.parts import stores
from tests.parts.postgres import fresh_database
from tests.parts.stores import PLACEMENT, URIS


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Place]:
    if request.param == "memory":
        yield stores.in_memory()
    elif request.param == "sqlite":
        yield stores.in_sqlite(tmp_path / "a new folder" / "store.db")
    else:
        with (
            fresh_database(request.getfixturevalue("postgresql_server")) as url,
            stores.in_postgres(url) as in_postgres,
        ):
            yield in_postgres


@pytest.fixture
async def store(place: stores.Place) -> AsyncIterator[Store]:
    opened = place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def other(place: stores.Place) -> AsyncIterator[Store]:
    """Another router's way to the same store."""
    opened = place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def founded(store: Store) -> Store:
    await store.found(PLACEMENT, URIS)
    return store
