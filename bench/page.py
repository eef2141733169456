"""Measures the page in Chromium on the sample shop: its weight, first paint, shifts, a tap on a photo and a re-crop.

Prints one table; --json adds a line for programs. The shop, the browser and the page share this machine's cores.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright
from rich.console import Console
from rich.table import Table

from lookalike import Client
from tests.web.shopfront import Shopfront, stock
from tests.web.shopper import PHONE

ROUNDS = 5
SAMPLES = 6  # those that a phone shows
WAIT_MS = 120_000
PICTURES = ("/samples/", "/v1/")
WATCH = """
    window.told = { shifts: 0, taps: [] };
    new PerformanceObserver(list => {
        const looks = !document.getElementById("look").hidden;
        for (const entry of list.getEntries()) if (looks && !entry.hadRecentInput) window.told.shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
# From the tap to the frame that shows the first product.
TAP = """async target => {
    const cards = document.getElementById("cards");
    const begun = performance.now();
    target.click();
    await new Promise(done => {
        let waits = false;
        const look = () => {
            waits ||= cards.getAttribute("aria-busy") === "true";
            const there = waits && cards.getAttribute("aria-busy") === "false";
            if (there) requestAnimationFrame(() => setTimeout(done)); else requestAnimationFrame(look);
        };
        look();
    });
    return performance.now() - begun;
}"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times that each photo is tapped")
    parser.add_argument("--json", action="store_true", help="end with a line for programs")
    told = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("bench/page.py: no Chromium is installed; as root: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as home:
        shop = Shopfront(Path(home))
        try:
            with Client(shop.server.address) as client:
                stock(client)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                figures = measured(browser, shop.url, told.rounds)
                browser.close()
        finally:
            shop.close()
    Console().print(table(figures))
    if told.json:
        print(json.dumps(figures))
    return 0


def measured(browser: Browser, url: str, rounds: int) -> dict[str, float]:
    """Return the figures."""
    loads = [loaded(browser, url) for _ in range(rounds)]
    firsts, recrops, shifts = [], [], []
    for _ in range(rounds):
        for sample in range(1, SAMPLES + 1):
            page = opened(browser, url)
            first, recrop = tapped(page, sample)
            firsts.append(first)
            recrops.append(recrop)
            shifts.append(float(page.evaluate("window.told.shifts")))
            page.context.close()
    return {
        "page_kb": round(max(kb for kb, _ in loads), 1),
        "first_contentful_paint_ms": round(statistics.median(paint for _, paint in loads), 1),
        "tap_to_results_p50_ms": round(statistics.median(firsts), 1),
        "tap_to_results_max_ms": round(max(firsts), 1),
        "recrop_p50_ms": round(statistics.median(recrops), 1),
        "recrop_to_first": round(statistics.median(recrops) / statistics.median(firsts), 3),
        "layout_shift_max": round(max(shifts), 4),
    }


def opened(browser: Browser, url: str) -> Page:
    """Open the page in a window of its own, with nothing cached."""
    context = browser.new_context(**PHONE)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    expect(page.locator("#samples button").first).to_be_visible(timeout=WAIT_MS)
    return page


def loaded(browser: Browser, url: str) -> tuple[float, float]:
    """Return what the page weighs without photos, in kB over the wire, and its first contentful paint in ms."""
    context = browser.new_context(**PHONE)
    page = context.new_page()
    requests: list[Any] = []
    page.on("request", lambda request: requests.append(request))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    files = [one for one in requests if not urlsplit(one.url).path.startswith(PICTURES)]
    sizes = [one.sizes() for one in files]
    paint = float(page.evaluate(PAINT))
    context.close()
    return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) / 1000, paint


def tapped(page: Page, sample: int) -> tuple[float, float]:
    """Tap on a sample photo, then search its whole by the token; return the milliseconds of both."""
    first = page.evaluate(TAP, page.locator(f"#samples button:nth-child({sample})").element_handle())
    recrop = page.evaluate(TAP, page.locator('#items [data-item="whole"]').element_handle())
    return float(first), float(recrop)


def table(figures: dict[str, float]) -> Table:
    """Write the figures."""
    shown = Table("what", "figure", title="The page on the sample shop")
    for name, value in figures.items():
        shown.add_row(name.replace("_", " "), f"{value:g}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
