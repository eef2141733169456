from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from lookalike import Box, Hit, Image, Match, Product, Timings
from lookalike.cli.misses_page import page
from lookalike.cli.scoring import Judged, Mode

MUG = Product("mug-1", title="Mug <blue>", images=(Image(uri="mug.png"),))
FAR = Product("cup-1", title="Cup", images=(Image(uri="https://shop.example/cup.jpg"),))


class Pictures(HTMLParser):
    """The sources of a page's pictures, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "img":
            self.sources.append(told["src"] or "")
        if told.get("class") == "box":
            self.styles.append(told["style"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def miss(folder: Path, **changes: object) -> Judged:
    (folder / "photo.jpg").write_bytes(b"photo")
    (folder / "mug.png").write_bytes(b"mug")
    box = Box(0.25, 0.5, 0.75, 1.0)
    hits = (Hit(FAR, "i", 0.8, 1, Match.SAME),)
    one = Judged(
        Mode.TAPPED, folder / "photo.jpg", "mug-1", "", box, hits, (False,), 1, False, Timings(0, 0, 0, 0, 0, 0)
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def test_a_miss_shows_the_photo_its_box_what_should_have_come_and_what_came(tmp_path: Path) -> None:
    shown = Pictures(page([miss(tmp_path)], {"mug-1": MUG}, tmp_path))
    assert [source.split(",")[0] for source in shown.sources] == [
        "data:image/jpeg;base64",
        "data:image/png;base64",
        "https://shop.example/cup.jpg",
    ]
    assert shown.styles == ["left:25.00%;top:50.00%;width:50.00%;height:50.00%"]
    assert "should have been mug-1" in shown.text
    assert "expected: Mug <blue>" in shown.text
    assert "0.800, same: Cup" in shown.text


def test_what_the_shop_does_not_have_is_said(tmp_path: Path) -> None:
    unknown = Pictures(page([miss(tmp_path)], {}, tmp_path))
    assert "which the shop does not have" in unknown.text
    absent = Pictures(page([miss(tmp_path, relevant=0, wanted="")], {}, tmp_path))
    assert "not in the shop, taken for it" in absent.text


def test_a_picture_that_is_not_there_leaves_its_place(tmp_path: Path) -> None:
    gone = replace(MUG, images=(Image(uri="gone.png"),))
    assert "no picture" in Pictures(page([miss(tmp_path)], {"mug-1": gone}, tmp_path)).text


def test_no_misses_is_good_news(tmp_path: Path) -> None:
    assert "There are none" in page([], {}, tmp_path)
