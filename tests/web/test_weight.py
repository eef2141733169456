"""The page is light and stands still; how fast it is, bench/page.py measures."""

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.web.shopper import DESKTOP, PHONE, Shopper

Open = Callable[..., Shopper]
PAGE_BYTES_MAX = 150_000
SHIFT_MAX = 0.05
PICTURES = ("/samples/", "/v1/images/")
WATCH_SHIFTS = """
    window.shifts = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


def test_the_page_is_light_without_its_photos(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(1)
    files = [one for one in shopper.requests if not urlsplit(one.url).path.startswith((*PICTURES, "/v1/"))]
    sizes = [one.sizes() for one in files if not one.url.startswith("blob:")]
    assert sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) <= PAGE_BYTES_MAX


def test_nothing_jumps_when_results_come(shoppers: Open) -> None:
    for device in (PHONE, DESKTOP):
        shopper = shoppers(device)
        shopper.context.add_init_script(WATCH_SHIFTS)
        shopper.sample(6)
        expect(shopper.cards.first).to_be_visible()
        shopper.shot("still")
        assert shopper.page.evaluate("window.shifts") < SHIFT_MAX
