"""What a shopper does with the page, on a phone and at a desk, in Chromium, against a shop of real parts."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from lookalike_server.demo import SAMPLE
from tests.web.conftest import opened
from tests.web.recorder import picture_in, recording
from tests.web.shopfront import Shopfront
from tests.web.shopper import DESKTOP, PHONE, Shopper

Open = Callable[..., Shopper]
TEAPOT_PHOTO = SAMPLE / "photos" / "photo-001.jpg"
SEVERAL = 4  # the sample photo that shows a mug and a vase


def test_one_tap_on_a_sample_photo_gives_boxes_and_the_right_product(shopper: Shopper) -> None:
    shopper.visit()
    shopper.shot("home")
    shopper.sample(1)
    assert shopper.ids()[0] == "teapot-0001"
    expect(shopper.page.locator(".box")).to_be_visible()
    expect(shopper.page.get_by_role("heading", name="Matches")).to_be_visible()
    expect(shopper.page.locator("#figures")).to_contain_text("sec")
    shopper.shot("results")


def test_a_file_or_a_photo_from_the_camera_is_searched(shopper: Shopper) -> None:
    for source in ("file", "camera"):
        shopper.visit()
        shopper.upload(TEAPOT_PHOTO, source)
        shopper.found()
        assert shopper.ids()[0] == "teapot-0001"


def test_a_picture_that_is_pasted_or_dropped_is_searched(shoppers: Open) -> None:
    shopper = shoppers(DESKTOP)
    for event, holder in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        shopper.visit()
        expect(shopper.page.locator("#samples button").first).to_be_attached()  # drawn once the page listens
        shopper.page.evaluate(
            """async ([kind, holder]) => {
                const blob = await (await fetch("/samples/photo-001.jpg")).blob();
                const transfer = new DataTransfer();
                transfer.items.add(new File([blob], "photo.jpg", { type: "image/jpeg" }));
                const event = new Event(kind, { bubbles: true, cancelable: true });
                Object.defineProperty(event, holder, { value: transfer });
                window.dispatchEvent(event);
            }""",
            [event, holder],
        )
        shopper.found()
        assert shopper.ids()[0] == "teapot-0001"


def test_tapping_another_dot_searches_that_item_without_sending_the_photo_again(shopper: Shopper) -> None:
    shopper.sample(SEVERAL)
    seen = len(shopper.page.locator(".dot").all())
    assert seen >= 2
    before = shopper.ids()
    other = shopper.page.locator('.dot[aria-pressed="false"]').first
    tap(shopper, other)
    expect(shopper.page.locator("#items [aria-pressed=true]")).to_have_count(1)
    shopper.found()
    assert shopper.ids() != before
    first, second = shopper.searches()[:2]
    assert "multipart" in first.headers["content-type"]
    assert set(json.loads(second.post_data or "")) >= {"imageToken", "box"}
    shopper.shot("another-item")


def tap(shopper: Shopper, target: Locator) -> None:
    """Tap in the middle of an element, whatever lies there."""
    box = target.bounding_box()
    assert box is not None
    shopper.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_the_whole_picture_can_be_searched(shopper: Shopper) -> None:
    shopper.sample(SEVERAL)
    shopper.button("Whole picture").click()
    shopper.found()
    assert "wholeImage" in json.loads(shopper.searches()[-1].post_data or "")
    expect(shopper.button("Whole picture")).to_have_attribute("aria-pressed", "true")


def first_item(shopper: Shopper) -> None:
    """Search for the first thing in a sample photo, whatever matched best."""
    shopper.sample(1)
    item = shopper.page.locator('[data-item="item-0"]')
    if item.get_attribute("aria-pressed") == "false":
        item.click()
        expect(item).to_have_attribute("aria-pressed", "true")
    shopper.found()


def test_dragging_a_corner_searches_the_new_part_by_the_token(shopper: Shopper) -> None:
    first_item(shopper)
    before = len(shopper.searches())
    corner = shopper.page.locator('.corner[data-corner="rb"]').bounding_box()
    assert corner is not None
    x, y = corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2
    shopper.page.mouse.move(x, y)
    shopper.page.mouse.down()
    shopper.page.mouse.move(x - 40, y - 50, steps=4)
    with shopper.page.expect_request("**/v1/search") as asked:
        shopper.page.mouse.up()
    sent = json.loads(asked.value.post_data or "")
    assert sent["imageToken"]
    assert sent["box"]["right"] < 0.8
    shopper.found()
    assert len(shopper.searches()) == before + 1
    shopper.shot("recropped")


def test_a_corner_moves_by_keyboard_and_a_box_by_plain_buttons(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    first_item(shopper)
    shopper.page.locator('.corner[data-corner="lt"]').focus()
    with shopper.page.expect_request("**/v1/search") as asked:
        shopper.page.keyboard.press("ArrowRight")
        shopper.page.keyboard.press("ArrowDown")
    by_keyboard = json.loads(asked.value.post_data or "")["box"]
    shopper.found()
    shopper.button("Adjust").click()
    shopper.shot("adjust")
    with shopper.page.expect_request("**/v1/search") as asked:
        shopper.button("Larger").click()
    by_button = json.loads(asked.value.post_data or "")["box"]
    assert by_button["left"] < by_keyboard["left"]
    assert by_button["right"] > by_keyboard["right"]
    shopper.found()


def test_filters_have_counts_and_narrow_the_results(shopper: Shopper) -> None:
    shopper.sample(1)
    shopper.button("Filters").click()
    shopper.shot("filters")
    shopper.page.get_by_role("checkbox", name="teapots, 6").check(force=True)
    shopper.page.get_by_label("To", exact=True).fill("40")
    shopper.button("Show results").click()
    shopper.found()
    assert all(one.startswith("teapot") for one in shopper.ids())
    shopper.shot("filtered")
    shopper.button("Clear: teapots").click()
    shopper.found()
    assert not all(one.startswith("teapot") for one in shopper.ids())


def test_results_can_be_sorted_by_price(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(1)
    shopper.page.get_by_label("Sort by").select_option("low")
    shopper.found()
    prices = shopper.cards.locator(".price").all_inner_texts()
    amounts = [float(price.strip("€").replace(",", "")) for price in prices]
    assert amounts == sorted(amounts)


def test_more_like_this_and_back_to_where_the_shopper_was(shopper: Shopper) -> None:
    shopper.sample(1)
    found = shopper.ids()
    shopper.cards.nth(1).get_by_role("button", name="More like this").click()
    shopper.page.wait_for_url("**/?like=*")
    shopper.found()
    assert found[1] not in shopper.ids()
    shopper.shot("more-like-this")
    searches = len(shopper.searches())
    shopper.page.go_back()
    expect(shopper.page.locator(".box")).to_be_visible()
    assert shopper.ids() == found
    assert len(shopper.searches()) == searches
    shopper.page.go_back()
    expect(shopper.page.get_by_role("heading", name="Seen something you like?")).to_be_visible()


def test_more_results_come_when_asked_for(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.visit("/?like=bottle-0001")
    shopper.found()
    before = shopper.ids()
    assert len(before) == 12
    shopper.button("Show more").click()
    expect(shopper.cards.nth(12)).to_be_attached()
    assert shopper.ids()[:12] == before
    assert len(shopper.ids()) == len(set(shopper.ids()))


def test_a_link_shows_what_was_found_without_the_photo(shoppers: Open) -> None:
    shopper = shoppers(DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    shopper.sample(1)
    found = shopper.ids()
    shopper.button("Share").click()
    expect(shopper.page.locator("#toast")).to_have_text("Link copied")
    link = shopper.page.evaluate("navigator.clipboard.readText()")
    friend = shoppers(PHONE)
    friend.visit(link.removeprefix(shopper.url))
    friend.found()
    assert friend.ids() == found[:24]
    friend.shot("shared")
    assert friend.searches() == []


def test_the_bag_keeps_products_on_the_phone(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(1)
    shopper.cards.first.locator(".add").click()
    expect(shopper.page.locator("#toast")).to_contain_text("In your bag")
    shopper.page.get_by_role("button", name="Bag: 1", exact=True).click()
    expect(shopper.cards).to_have_count(1)
    assert shopper.ids() == ["teapot-0001"]
    shopper.shot("bag")


def test_the_language_changes_at_once_with_the_shops_own_titles(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(1)
    shopper.button("Language and currency").click()
    shopper.shot("preferences")
    shopper.page.locator("#choose-language").select_option("de")
    shopper.page.get_by_role("button", name="Schließen").click()
    expect(shopper.page.locator("html")).to_have_attribute("lang", "de")
    expect(shopper.cards.first).to_contain_text("Gepunktete Teekanne, violett")
    expect(shopper.cards.first.locator(".price")).to_have_text("29,50 €")
    shopper.shot("german")


def test_arabic_reads_from_right_to_left(shopper: Shopper) -> None:
    shopper.visit()
    shopper.page.evaluate("localStorage.setItem('lookalike.language', 'ar')")
    shopper.visit()
    expect(shopper.page.locator("html")).to_have_attribute("dir", "rtl")
    shopper.shot("arabic-home")
    shopper.page.locator("#samples button").first.click()
    shopper.found()
    first, second = shopper.cards.nth(0).bounding_box(), shopper.cards.nth(1).bounding_box()
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]
    shopper.shot("arabic")


def test_prices_are_shown_in_the_shoppers_currency(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.sample(1)
    shopper.button("Language and currency").click()
    offered = shopper.page.locator("#choose-currency option").count()
    assert offered - 1 >= 35
    shopper.page.locator("#choose-currency").select_option("JPY")
    shopper.button("Close").click()
    expect(shopper.cards.first.locator(".price")).to_have_text("JP¥5,399")
    expect(shopper.page.locator("#rates")).to_contain_text("2026-01-15")


def test_a_dark_device_gets_a_dark_page(shoppers: Open) -> None:
    for device in (PHONE, DESKTOP):
        shopper = shoppers(device, color_scheme="dark")
        shopper.sample(SEVERAL)
        shopper.shot("dark")
        assert shopper.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 18, 16)"


def test_what_a_shopper_does_is_kept_where_the_operator_wants_it(shoppers: Open, shopfront: Shopfront) -> None:
    shopper = shoppers(DESKTOP)
    shopper.sample(1)
    with shopper.page.expect_response("**/v1/events"):
        shopper.cards.first.locator(".add").click()
    kept = [json.loads(line) for line in shopfront.events.read_text().splitlines()]
    carted = [one for one in kept if one["kind"] == "add_to_cart"][-1]
    assert (carted["product_id"], carted["position"]) == ("teapot-0001", 1)
    assert any(one["kind"] == "view" and one["search_id"] == carted["search_id"] for one in kept)


def test_the_page_can_be_installed(shoppers: Open) -> None:
    shopper = shoppers(PHONE)
    shopper.visit()
    session = shopper.context.new_cdp_session(shopper.page)
    told = session.send("Page.getAppManifest")
    assert json.loads(told["data"])["display"] == "standalone"
    assert told["errors"] == []


def test_a_phones_photo_arrives_small_upright_and_without_metadata(
    browser: Browser, shopfront: Shopfront, tmp_path: Path
) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(phone_photo())
    with recording(shopfront.http_port) as recorder, opened(browser, f"http://127.0.0.1:{recorder.port}") as shoppers:
        shopper = shoppers(PHONE)
        shopper.visit()
        shopper.upload(path)
        shopper.found()
        sent = picture_in(recorder.sent())
    assert len(sent) <= 400_000
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (768, 1024)
        assert not image.getexif()
        top = np.asarray(image.convert("RGB"))[:200].mean(axis=(0, 1))
        assert top[0] > 200 > top[2]  # red was at the camera's left, which is up
    assert b"GPS" not in sent
    assert b"Exif" not in sent


def phone_photo() -> bytes:
    """Return 12 megapixels of noise over red and blue, lying on its side, with a place on it."""
    pixels = np.random.default_rng(1).integers(0, 60, (3024, 4032, 3), dtype=np.uint8)
    pixels[:, :1300, 0] += 190
    pixels[:, 1300:, 2] += 190
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90, exif=exif)
    return out.getvalue()
