"""One shop and one browser for all tests of the page, as both take seconds to start."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from lookalike import Client
from tests.web.shopfront import Shopfront, stock
from tests.web.shopper import DESKTOP, PHONE, Shopper

CHROMIUM = os.environ.get("LOOKALIKE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "no Chromium is installed; as root: apt-get install chromium"
# Where the screenshots of the last run lie, to be looked at.
SHOTS = Path(__file__).parent.parent.parent / "build" / "screenshots"

Open = Callable[..., Shopper]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # As root Chromium refuses its sandbox; pages here come from this machine alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shopfront(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shopfront]:
    shop = Shopfront(tmp_path_factory.mktemp("shopfront"))
    try:
        with Client(shop.server.address) as client:
            stock(client)
        yield shop
    finally:
        shop.close()


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Open]:
    """Let a test open shoppers at `url`; afterwards each of them must have seen nothing that it should not."""
    shoppers: list[Shopper] = []

    def open_one(device: dict[str, object] = PHONE, **more: object) -> Shopper:
        shopper = Shopper(browser.new_context(**{"locale": "en-GB", **device, **more}), url, SHOTS)  # type: ignore[arg-type]
        shoppers.append(shopper)
        return shopper

    yield open_one
    for shopper in shoppers:
        shopper.context.close()
        assert shopper.troubles == []


@pytest.fixture
def shoppers(browser: Browser, shopfront: Shopfront) -> Iterator[Open]:
    with opened(browser, shopfront.url) as open_one:
        yield open_one


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def shopper(shoppers: Open, request: pytest.FixtureRequest) -> Shopper:
    return shoppers(request.param)
