import json
from pathlib import Path

import pytest

from lookalike import Box, Product
from lookalike.cli.tables import FeedError
from lookalike.cli.truth import AnyOfClass, OneProduct, Shown, read_truth


def written(folder: Path, name: str, text: str) -> Path:
    for photo in ("a.jpg", "b.jpg"):
        (folder / photo).write_bytes(b"photo")
    (folder / name).write_text(text)
    return folder / name


def test_a_csv_says_what_each_photo_shows(tmp_path: Path) -> None:
    text = 'photo,product_id,class,box,category\nb.jpg,mug-1,,"0.1,0.2,0.5,0.9",mugs\na.jpg,,cup,,\nb.jpg,mug-2,,,\n'
    first, second = read_truth(written(tmp_path, "truth.csv", text))
    assert (first.path, second.path) == (tmp_path / "b.jpg", tmp_path / "a.jpg")
    assert first.shown == (
        Shown(OneProduct("mug-1"), Box(0.1, 0.2, 0.5, 0.9), "mugs"),
        Shown(OneProduct("mug-2"), None, ""),
    )
    assert second.shown == (Shown(AnyOfClass("cup"), None, ""),)


def test_jsonl_says_the_same(tmp_path: Path) -> None:
    lines = [{"photo": "a.jpg", "product_id": "mug-1", "box": [0, 0, 0.5, 1]}, {"photo": "b.jpg"}]
    first, second = read_truth(written(tmp_path, "truth.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n"))
    assert first.shown == (Shown(OneProduct("mug-1"), Box(0, 0, 0.5, 1), ""),)
    assert second.shown == ()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("truth.txt", "photo\na.jpg\n", "as .csv or .jsonl"),
        ("truth.csv", "image,product_id\na.jpg,p\n", "photo is empty"),
        ("truth.csv", "photo,product_id\n", "names no photos"),
        ("truth.csv", "photo,product_id\ngone.jpg,p\n", "no such photo"),
        ("truth.csv", "photo,product_id,class\na.jpg,p,c\n", "not both"),
        ("truth.csv", "photo,product_id,box\na.jpg,p,0 0 1\n", "line 2: box is '0 0 1'"),
        ("truth.csv", "photo,product_id,box\na.jpg,p,0.5 0 0.1 1\n", "left before right"),
        ("truth.jsonl", '{"photo": "a.jpg"}\n{"photo"\n', "line 2 is no JSON"),
        ("truth.jsonl", "[1]\n", "no JSON object"),
        ("truth.jsonl", '{"photo": "a.jpg", "product_id": "p", "box": 7}\n', "box is 7"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(FeedError, match=says):
        read_truth(written(tmp_path, name, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="cannot read"):
        read_truth(tmp_path / "truth.csv")


def test_a_class_is_the_attribute_of_that_name_or_else_the_category() -> None:
    assert AnyOfClass("milk").accepts(Product("p", category="milk"))
    assert AnyOfClass("milk").accepts(Product("p", category="dairy", attributes={"class": "milk"}))
    assert not AnyOfClass("milk").accepts(Product("p", category="milk", attributes={"class": "cream"}))
    assert not OneProduct("p").accepts(Product("q"))
