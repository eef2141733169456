"""Drives the page as a shopper does, and notes whatever the page does that it should not."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Request, expect

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
# A search waits for two busy cores, and for nothing else.
WAIT_MS = 60_000
# What axe must find nothing against.
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}

SETTLED = """async () => {
    const coming = [...document.images].filter(one => !one.complete && one.loading !== "lazy" && one.offsetParent);
    await Promise.all(coming.map(one => new Promise(done => { one.onload = one.onerror = done; })));
    const moving = document.getAnimations().filter(one => one.effect.getComputedTiming().iterations !== Infinity);
    await Promise.all(moving.map(one => one.finished.catch(() => {})));
}"""


class Shopper:
    """One browser window at the shop."""

    def __init__(self, context: BrowserContext, url: str, shots: Path) -> None:
        self.context = context
        self.url = url
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        self.requests: list[Request] = []
        self.troubles: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Parts of what the console may say: the browser reports refused requests by itself."""
        self._shots = shots
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if not any(part in message.text for part in self.expected):
            self.troubles.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != self.url:
            self.troubles.append(f"another origin: {request.url}")

    def visit(self, path: str = "/") -> None:
        """Open an address of the shop."""
        self.page.goto(self.url + path)
        expect(self.page.locator("body")).to_be_visible()

    def sample(self, number: int = 1) -> None:
        """Tap on a sample photo and wait for what is found."""
        self.visit()
        self.page.get_by_role("button", name=f"Sample photo {number}", exact=True).click()
        self.found()

    def upload(self, path: Path | str, source: str = "file") -> None:
        """Choose a file from the device, once the page listens: it draws its samples after that."""
        expect(self.page.locator("#samples button").first).to_be_attached()
        self.page.locator(f"#{source}-input").set_input_files(path)

    def found(self) -> None:
        """Wait until products are there."""
        expect(self.cards.first).to_be_visible()
        expect(self.page.locator("#cards")).to_have_attribute("aria-busy", "false")

    @property
    def cards(self) -> Locator:
        """The products shown."""
        return self.page.locator(".card[data-id]")

    def ids(self) -> list[str]:
        """Return the products shown, in their order."""
        return [str(one) for one in self.cards.evaluate_all("cards => cards.map(card => card.dataset.id)")]

    def button(self, name: str) -> Locator:
        """Return the button with a spoken name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def searches(self) -> list[Request]:
        """Return the searches sent so far."""
        return [one for one in self.requests if urlsplit(one.url).path == "/v1/search"]

    def shot(self, name: str) -> None:
        """Keep what the shopper sees now, with its pictures there and nothing moving."""
        self.page.evaluate(SETTLED)  # not wait_for_function(): it evaluates text, which the page's policy forbids
        size = self.page.viewport_size or {"width": 0}
        self.page.screenshot(path=self._shots / f"{name}-{size['width']}.png")

    def barriers(self) -> list[str]:
        """Return what axe finds that keeps people out, once nothing moves: what fades in has little contrast."""
        self.page.evaluate(SETTLED)
        found = Axe().run(self.page, options=RULES).response["violations"]
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]
