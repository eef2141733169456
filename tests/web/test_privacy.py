"""What the page promises on photos holds: not on a disk, not in a log, not to another place."""

import re
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Browser, expect

from lookalike_server.demo import SAMPLE
from tests.web.conftest import opened
from tests.web.recorder import picture_in, recording
from tests.web.shopfront import Shopfront
from tests.web.shopper import PHONE, Shopper

Open = Callable[..., Shopper]
PIECE = 64


def test_a_searched_photo_is_on_no_disk_and_in_no_log(browser: Browser, shopfront: Shopfront) -> None:
    with recording(shopfront.http_port) as recorder, opened(browser, f"http://127.0.0.1:{recorder.port}") as shoppers:
        shopper = shoppers(PHONE)
        shopper.visit()
        with shopper.page.expect_response("**/v1/search") as answered:
            shopper.upload(SAMPLE / "photos" / "photo-020.jpg")
        shopper.found()
        token = answered.value.json()["imageToken"]
        sent = picture_in(recorder.sent())
    pieces = [sent[at : at + PIECE] for at in range(1000, len(sent) - PIECE, len(sent) // 8)]
    assert len(pieces) >= 5
    assert token
    for path, content in written(shopfront):
        assert not any(piece in content for piece in pieces), path
        assert token.encode() not in content, path


def written(shopfront: Shopfront) -> list[tuple[Path, bytes]]:
    """Return what the shop's processes have on a disk: their folder with the log, and whatever else they hold open."""
    files = {path for path in shopfront.home.rglob("*") if path.is_file()}
    assert shopfront.server.process is not None
    held = psutil.Process(shopfront.server.process.pid).open_files()
    files |= {Path(one.path) for one in held if Path(one.path).is_file()}
    assert shopfront.home / "server.log" in files
    return [(path, path.read_bytes()) for path in sorted(files)]


def test_the_page_says_so_in_one_line(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.visit()
    expect(shopper.page.locator(".privacy")).to_contain_text("never stored")


def test_browsers_are_told_to_keep_to_this_place(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    answer = shopper.page.goto(shopper.url)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert shopper.context.cookies() == []
