import json
from pathlib import Path

import pytest

from lookalike_server.regions import Box
from lookalike_server.trial import BadTruth, Known, KnownPhoto, Tapped, Tried, judged, read_truth

LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


def tap(product_id: str, box: Box, found: str, whole: str = "") -> Tapped:
    return Tapped(Known(product_id, box), box, tuple(found), tuple(whole))


def test_truth_is_gathered_by_photo(tmp_path: Path) -> None:
    lines = [("b.jpg", "x", [0, 0, 0.5, 1]), ("a.jpg", "y", [0, 0, 1, 1]), ("b.jpg", "z", [0.5, 0, 1, 1])]
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(json.dumps({"photo": p, "product_id": i, "box": b}) for p, i, b in lines))
    photos = read_truth(path)
    assert photos == (
        KnownPhoto("a.jpg", (Known("y", Box(0, 0, 1, 1)),)),
        KnownPhoto("b.jpg", (Known("x", LEFT), Known("z", RIGHT))),
    )
    assert (photos[1].products[1].middle.x, photos[1].products[1].middle.y) == (0.75, 0.5)


@pytest.mark.parametrize("text", ["no json", "{}", '{"photo": "a", "product_id": "x", "box": [1, 0, 0, 1]}'])
def test_a_broken_truth_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(text)
    with pytest.raises(BadTruth):
        read_truth(tmp_path / "truth.jsonl")


def test_recall_counts_products_and_boxes_only_where_several_are_shown() -> None:
    tried = [
        Tried("1", (LEFT,), (tap("a", LEFT, "abc", "xyzab"), tap("b", RIGHT, "xb", "b")), 10.0, 1.0),
        Tried("2", (), (tap("c", LEFT, "xyzuvc", "c"),), 30.0, 0.5),
    ]
    verdict = judged(tried)
    assert (verdict.photos, verdict.products_shown) == (2, 3)
    assert (verdict.recall_at_1, verdict.recall_at_5) == (1 / 3, 2 / 3)
    assert (verdict.whole_recall_at_1, verdict.whole_recall_at_5) == (2 / 3, 1.0)
    assert verdict.boxes_found == 0.5
    assert (verdict.search_p50_ms, verdict.coverage) == (20.0, 0.5)


def test_of_no_photos_nothing_was_found() -> None:
    assert judged([]).recall_at_1 == 0.0
