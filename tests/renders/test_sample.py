"""The sample shop that ships: its catalogue, its photos and its truth agree. Needs no Blender."""

from __future__ import annotations

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SAMPLE = Path(__file__).parents[2] / "server" / "lookalike_server" / "sample"
SHIPPED_BYTES_MAX = 15 * 2**20
COLUMNS = {
    "product_id",
    "image",
    "title",
    "category",
    "brand",
    "price",
    "currency",
    "url",
    "in_stock",
    "color",
    "material",
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (SAMPLE / "catalog.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def truth() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / "truth.jsonl").read_text().splitlines()]


def test_the_shop_has_at_least_150_products_in_12_categories(rows: list[dict[str, str]]) -> None:
    assert len({row["product_id"] for row in rows}) >= 150
    assert len({row["category"] for row in rows}) >= 12


def test_every_product_has_two_pictures_that_exist(rows: list[dict[str, str]]) -> None:
    assert set(Counter(row["product_id"] for row in rows).values()) == {2}
    assert len({row["image"] for row in rows}) == len(rows)
    assert all((SAMPLE / row["image"]).is_file() for row in rows)


def test_both_rows_of_a_product_say_the_same(rows: list[dict[str, str]]) -> None:
    said = {(row["product_id"], *(row[name] for name in sorted(COLUMNS - {"image"}))) for row in rows}
    assert len(said) * 2 == len(rows)


def test_every_row_is_complete_and_its_price_a_decimal(rows: list[dict[str, str]]) -> None:
    assert all(set(row) == COLUMNS and all(row.values()) for row in rows)
    assert all(Decimal(row["price"]) > 0 and row["in_stock"] in {"true", "false"} for row in rows)


def test_at_least_40_photos_show_one_to_four_products_each(truth: list[dict[str, Any]]) -> None:
    shown = Counter(line["photo"] for line in truth)
    assert len(shown) >= 40
    assert set(shown.values()) == {1, 2, 3, 4}


def test_every_product_in_a_photo_is_in_the_catalogue(rows: list[dict[str, str]], truth: list[dict[str, Any]]) -> None:
    assert {line["product_id"] for line in truth} <= {row["product_id"] for row in rows}


def test_every_box_lies_in_its_picture_and_has_an_area(truth: list[dict[str, Any]]) -> None:
    for line in truth:
        left, top, right, bottom = line["box"]
        assert 0 <= left < right <= 1, line
        assert 0 <= top < bottom <= 1, line


def test_no_product_hides_another(truth: list[dict[str, Any]]) -> None:
    for one in truth:
        for other in truth:
            if one is not other and one["photo"] == other["photo"]:
                assert _overlap(one["box"], other["box"]) < 0.4, (one, other)


def _overlap(a: list[float], b: list[float]) -> float:
    """Return the intersection over union of two boxes."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_every_photo_is_a_jpeg_with_its_truth_and_nothing_else_ships(truth: list[dict[str, Any]]) -> None:
    assert {f"photos/{p.name}" for p in (SAMPLE / "photos").iterdir()} == {line["photo"] for line in truth}
    for path in (SAMPLE / "photos").iterdir():
        with Image.open(path) as picture:
            assert (picture.format, max(picture.size)) == ("JPEG", 640)


def test_the_pictures_take_at_most_15_mib_in_all() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= SHIPPED_BYTES_MAX
