"""What a shopper sees when not all is well; what goes wrong goes wrong at the server, not in the page."""

import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from lookalike_server.demo import SAMPLE
from tests.e2e.cluster import Server
from tests.web.conftest import opened
from tests.web.shopfront import Shopfront, free_port
from tests.web.shopper import DESKTOP, PHONE, Shopper

Open = Callable[..., Shopper]
DEVICES = (PHONE, DESKTOP)


def state(shopper: Shopper, name: str) -> None:
    """Wait for a designed state and keep a picture of it."""
    expect(shopper.page.locator(f'[data-state="{name}"]')).to_be_visible()
    shopper.shot(f"state-{name}")
    assert shopper.barriers() == []


@pytest.fixture(params=DEVICES, ids=["phone", "desktop"])
def shopper(shoppers: Open, request: pytest.FixtureRequest) -> Shopper:
    return shoppers(request.param)


def test_nothing_fits_the_filters(shopper: Shopper) -> None:
    shopper.sample(1)
    shopper.button("Filters").click()
    shopper.page.get_by_label("From", exact=True).fill("99999")
    shopper.button("Show results").click()
    state(shopper, "none")
    shopper.button("Clear").last.click()
    shopper.found()


def test_nothing_is_quite_like_it(shopper: Shopper, tmp_path: Path) -> None:
    Image.new("RGB", (400, 400), (128, 128, 128)).save(tmp_path / "grey.png")
    shopper.visit()
    shopper.upload(tmp_path / "grey.png")
    shopper.found()
    expect(shopper.page.get_by_text("Nothing quite like it").first).to_be_visible()
    shopper.shot("state-weak")
    assert shopper.barriers() == []


def test_a_file_that_is_no_picture(shopper: Shopper, tmp_path: Path) -> None:
    (tmp_path / "list.jpg").write_text("milk, bread")
    shopper.visit()
    shopper.upload(tmp_path / "list.jpg")
    state(shopper, "notimage")


def test_a_product_that_is_gone(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.expected = ("404",)
    shopper.visit("/?like=no-such-product")
    state(shopper, "gone")


def test_an_empty_bag(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.visit("/?bag")
    state(shopper, "bag")


def test_a_part_of_the_shop_that_does_not_answer_is_named_in_percent(shopper: Shopper, shopfront: Shopfront) -> None:
    shard = shopfront.shards["b"]
    os.kill(shard.pid, signal.SIGKILL)
    shard.stop()
    try:
        shopper.sample(2)
        expect(shopper.page.locator('[data-notice="part"]')).to_contain_text("66%")
        shopper.shot("state-part")
        assert shopper.barriers() == []
    finally:
        shard.start()
        shard.wait_ready(60)
    retry = shopper.button("Try again")
    while retry.count():  # until the server has found the shard again
        retry.click()
        shopper.found()


def test_a_server_that_is_away_and_comes_back(shopper: Shopper, shopfront: Shopfront) -> None:
    shopper.expected = ("ERR_CONNECTION_REFUSED", "404")  # the new server has forgotten the photo: it is sent again
    shopper.sample(1)
    shopfront.server.stop()
    try:
        shopper.button("Whole picture").click()
        state(shopper, "away")
    finally:
        shopfront.start()
    shopper.button("Try again").click()
    shopper.found()


@pytest.fixture(scope="module")
def narrow(shopfront: Shopfront) -> Iterator[str]:
    """The address of a second server of the shop: one that takes only tiny pictures."""
    with another(shopfront, "narrow", "--image-mib-max", "0.01") as url:
        yield url


@pytest.fixture(scope="module")
def hurried(shopfront: Shopfront) -> Iterator[str]:
    """The address of another one, which has no time at all."""
    with another(shopfront, "hurried", "--deadline-s", "0.05") as url:
        yield url


@contextmanager
def another(shopfront: Shopfront, name: str, *flags: str) -> Iterator[str]:
    """Run one more server of the shop; yield its address."""
    port = free_port()
    folder = shopfront.home / name
    folder.mkdir()
    server = Server(folder, store=shopfront.server.store, bundled=True)
    server.start(*shopfront.flags(port)[:-2], *flags)
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_a_picture_that_is_too_large(browser: Browser, narrow: str) -> None:
    with opened(browser, narrow) as shoppers:
        for device in DEVICES:
            shopper = shoppers(device)
            shopper.expected = ("400 (Bad Request)",)
            shopper.visit()
            shopper.upload(SAMPLE / "photos" / "photo-001.jpg")
            state(shopper, "large")


def test_a_server_that_is_too_busy(browser: Browser, hurried: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(out, "JPEG")
    (tmp_path / "small.jpg").write_bytes(out.getvalue())
    with opened(browser, hurried) as shoppers:
        shopper = shoppers(PHONE)
        shopper.expected = ("504",)
        shopper.visit()
        shopper.upload(tmp_path / "small.jpg")
        state(shopper, "busy")
