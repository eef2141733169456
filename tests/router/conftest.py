"""Real servers for the router's tests: started once, founded once, emptied between tests."""

from collections.abc import Iterator

import pytest

from lookalike_server.lite import LiteProcess
from tests.parts import milvus

SHOP = "a shop of tests"
no_standalone = pytest.mark.skipif(milvus.package() is None, reason="the package milvus is for Linux on x86-64 alone")


@pytest.fixture(scope="session")
def founded() -> set[str]:
    """The addresses at which the shard "contract" of the shop of tests has been founded."""
    return set()


@pytest.fixture(scope="session")
def lite_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = LiteProcess("contract", tmp_path_factory.mktemp("lite") / "rows")
    process.start()
    try:
        process.wait_ready()
        yield process.uri
    finally:
        process.stop()


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[milvus.Standalone]:
    server = milvus.Standalone(tmp_path_factory.mktemp("standalone"), lease_s=20)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        milvus.kill(server.pid)  # its own end takes many seconds, and nobody needs its data
        server.stop()


@pytest.fixture(scope="session")
def standalone_uri(standalone: milvus.Standalone) -> str:
    return standalone.uri


@pytest.fixture
def standalone_of_ones_own(standalone: milvus.Standalone, founded: set[str]) -> Iterator[milvus.Standalone]:
    """The standalone, ready and empty; a test may kill and pause it."""
    milvus.empty(standalone.uri)
    founded.discard(standalone.uri)
    yield standalone
    if standalone.running:
        milvus.resume(standalone.pid)
    else:
        standalone.start()
    standalone.wait_ready()
    milvus.empty(standalone.uri)


@pytest.fixture(scope="session")
def lite_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LiteProcess]]:
    folder = tmp_path_factory.mktemp("lites")
    processes = [LiteProcess(name, folder / name) for name in "abc"]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.wait_ready()
        yield processes
    finally:
        for process in processes:
            process.stop()


@pytest.fixture
def lites(lite_pool: list[LiteProcess]) -> Iterator[list[LiteProcess]]:
    """Three Milvus Lite processes, ready and empty; a test may kill and pause them."""
    yield lite_pool
    for process in lite_pool:
        if process.running:
            milvus.resume(process.pid)
        else:
            process.start()
    for process in lite_pool:
        process.wait_ready()
        milvus.empty(process.uri)
