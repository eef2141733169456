import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("lookalike", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lookalike")

# Started in the background, a shell's child ignores Ctrl-C and so do its children; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that runs for the tests, on which databases may be made."""
    from tests.parts import postgres  # here, as most tests need no database and nothing that it imports

    if postgres.GIVEN is not None:
        yield postgres.GIVEN
        return
    if postgres.binaries() is None:
        pytest.skip(postgres.MISSING)
    server = postgres.Postgres()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


@pytest.fixture(scope="module")
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database in PostgreSQL."""
    from tests.parts import postgres

    with postgres.fresh_database(postgresql_server) as url:
        yield url
