from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lookalike import Client, Image, Money, Product
from lookalike.cli.app import app
from tests.client.both import Shop, opened
from tests.client.scripted import ScriptedShop
from tests.client.typed import Cli


@pytest.fixture
def server() -> Iterator[ScriptedShop]:
    with ScriptedShop() as server:
        yield server


@pytest.fixture(params=["blocking", "async"])
def shop(request: pytest.FixtureRequest, server: ScriptedShop) -> Iterator[Shop]:
    shop = opened(request.param, server.address)
    yield shop
    shop.close()


@pytest.fixture
def cli(server: ScriptedShop) -> Cli:
    def run(*arguments: object, typed: str = "", **environment: str) -> Result:
        return CliRunner().invoke(
            app, [str(one) for one in arguments], input=typed, env={"LOOKALIKE_SERVER": server.address} | environment
        )

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"photo")
    return path


@pytest.fixture
def filled(server: ScriptedShop) -> ScriptedShop:
    with Client(server.address) as shop:
        for number in range(3):
            shop.upsert(
                Product(
                    f"mug-{number}",
                    title=f"Mug [{number}]",
                    category="mug",
                    price=Money(2490, "EUR"),
                    images=(Image(b"one", uri="mug.jpg"),),
                )
            )
    server.script.requests.clear()
    return server
