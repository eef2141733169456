from collections.abc import Iterator

import pytest

from tests.client.both import Shop, opened
from tests.client.scripted import ScriptedShop


@pytest.fixture
def server() -> Iterator[ScriptedShop]:
    with ScriptedShop() as server:
        yield server


@pytest.fixture(params=["blocking", "async"])
def shop(request: pytest.FixtureRequest, server: ScriptedShop) -> Iterator[Shop]:
    shop = opened(request.param, server.address)
    yield shop
    shop.close()
