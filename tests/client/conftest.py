from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.client.both import Shop, opened
from tests.client.scripted import ScriptedShop

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("client", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("client")


@pytest.fixture
def server() -> Iterator[ScriptedShop]:
    with ScriptedShop() as server:
        yield server


@pytest.fixture(params=["blocking", "async"])
def shop(request: pytest.FixtureRequest, server: ScriptedShop) -> Iterator[Shop]:
    shop = opened(request.param, server.address)
    yield shop
    shop.close()
