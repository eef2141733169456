"""Nobody is kept out: axe finds nothing in any view, and everything can be done without a pointer."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.shopper import DESKTOP, PHONE, Shopper

Open = Callable[..., Shopper]
SMALL = {"viewport": {"width": 320, "height": 640}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
TARGET_PX_MIN = 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing(shoppers: Open, device: dict[str, object], scheme: str) -> None:
    shopper = shoppers(device, color_scheme=scheme)
    shopper.visit()
    assert shopper.barriers() == []
    shopper.sample(4)
    shopper.button("Adjust").click()
    shopper.shot(f"axe-{scheme}")
    assert shopper.barriers() == []
    for button in ("Filters", "Language and currency"):
        shopper.button(button).click()
        assert shopper.barriers() == []
        shopper.button("Close").click()
    shopper.cards.first.get_by_role("button", name="More like this").click()
    shopper.page.wait_for_url("**/?like=*")
    shopper.found()
    assert shopper.barriers() == []


@pytest.mark.parametrize("language", ["ar", "ja"])
def test_axe_finds_nothing_in_other_scripts(shoppers: Open, language: str) -> None:
    shopper = shoppers(PHONE, locale=language)
    shopper.visit()
    shopper.page.locator("#samples button").first.click()
    shopper.found()
    shopper.shot(f"language-{language}")
    assert shopper.barriers() == []


def test_all_is_done_by_keyboard(shoppers: Open) -> None:
    shopper = shoppers(DESKTOP)
    shopper.visit()
    keys = shopper.page.keyboard
    shopper.button("Sample photo 4").focus()
    keys.press("Enter")
    shopper.found()
    item = shopper.page.locator('#items [aria-pressed="false"]').first
    name = item.get_attribute("aria-label") or ""
    item.focus()
    keys.press("Space")
    expect(shopper.button(name).last).to_have_attribute("aria-pressed", "true")
    shopper.found()
    shopper.button("Filters").focus()
    keys.press("Enter")
    expect(shopper.page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    expect(shopper.button("Filters")).to_be_focused()


def test_screen_readers_hear_what_happens_and_each_item_has_a_name(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(4)
    expect(shopper.page.locator("#status")).to_contain_text("Matches: ")
    names = shopper.page.locator("#items button").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names[0].startswith("Item 1 of ")
    assert names[-2:] == ["Whole picture", "Adjust"]


def test_the_page_fits_320_pixels_and_every_target_a_finger(shoppers: Open) -> None:
    shopper = shoppers(SMALL)
    shopper.visit()
    shopper.shot("small-home")
    assert wider(shopper) == 0
    shopper.sample(4)
    shopper.button("Adjust").click()
    shopper.shot("small")
    assert wider(shopper) == 0
    small = shopper.page.locator("button:visible, select:visible").evaluate_all(
        """(all, least) => all.map(one => [one, one.getBoundingClientRect()])
            .filter(([_, at]) => at.width && (at.width < least || at.height < least)).map(([one]) => one.outerHTML)""",
        TARGET_PX_MIN,
    )
    assert small == []


def wider(shopper: Shopper) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(shopper.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def test_nothing_moves_for_those_who_want_it_still(shoppers: Open) -> None:
    shopper = shoppers(PHONE, reduced_motion="reduce")
    shopper.sample(1)
    assert shopper.page.evaluate("document.getAnimations().length") == 0
