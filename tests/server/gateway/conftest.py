from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.parts.service import BLUE, GREEN, RED, product
from tests.server.gateway.http import Http, open_http
from tests.server.photos import jpeg, plain


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of catalogue pictures with a secret beside it and other things in it."""
    folder = tmp_path / "images"
    (folder / "red").mkdir(parents=True)
    (folder / "red" / "front side.jpg").write_bytes(jpeg(plain(RED, 400)))
    (folder / "notes.txt").write_text("the secret")
    (folder / ".hidden.jpg").write_bytes(jpeg(plain(RED)))
    (tmp_path / "secret.jpg").write_bytes(jpeg(plain(BLUE)))
    (folder / "way-out.jpg").symlink_to(tmp_path / "secret.jpg")
    return folder


@pytest.fixture
async def http(tmp_path: Path, images: Path) -> AsyncIterator[Http]:
    async with open_http(tmp_path, images=images) as http:
        await http.shop.put(
            product("red", RED, title="Red", category="colour", brand="One", in_stock=True),
            product("green", GREEN, title="Green", category="colour", brand="Two"),
            product("a/b c", BLUE, title="Blue", category="other"),
        )
        yield http
