import math
from typing import Any

import pytest

from lookalike.v1 import catalog_pb2
from lookalike_server.errors import BadField
from lookalike_server.page_token import write_page_token
from lookalike_server.product import NewPicture
from lookalike_server.product_checks import PICTURES_MAX, checked_listing, checked_product
from lookalike_server.regions import Box
from tests.server.wrong import wrong_fields

IMAGE = catalog_pb2.ProductImage(content=b"x")
SHOUTED = catalog_pb2.ProductImage(content_sha256="A" * 64)


def product(**changes: object) -> catalog_pb2.Product:
    plain: dict[str, object] = {"product_id": "mug-1", "images": [IMAGE]}
    return catalog_pb2.Product(**(plain | changes))  # type: ignore[arg-type]


def with_attributes(attributes: dict[str, Any]) -> catalog_pb2.Product:
    wire = product()
    wire.attributes.update(attributes)
    return wire


def test_what_was_not_said_is_left_out() -> None:
    assert checked_product(product()).attributes == {}


def test_attributes_are_as_shards_keep_them() -> None:
    wire = with_attributes({"size": 4, "weight": 0.5, "nested": {"a": [1, None, True]}})
    wire.MergeFrom(
        catalog_pb2.Product(
            title="Mug", price=catalog_pb2.Money(amount_minor=1990, currency_code="EUR"), in_stock=False, tags=["a"]
        )
    )
    assert checked_product(wire).attributes == {
        "title": "Mug",
        "price_minor": 1990,
        "currency": "EUR",
        "in_stock": False,
        "tags": ["a"],
        "attributes": {"size": 4, "weight": 0.5, "nested": {"a": [1, None, True]}},
    }


def test_pictures_keep_their_order() -> None:
    box = catalog_pb2.Box(left=0, top=0, right=0.5, bottom=1)
    sha = "a" * 64
    images = [catalog_pb2.ProductImage(image_id="1", content=b"x", uri="u"), {"content_sha256": sha, "box": box}]
    assert checked_product(product(images=images)).pictures == (
        NewPicture("1", b"x", "", "u", None, 0),
        NewPicture("", None, sha, "", Box(0, 0, 0.5, 1), 1),
    )


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (product(product_id=""), "product.product_id"),
        (product(product_id="a\nb\x07"), "product.product_id"),
        (product(product_id="x" * 129), "product.product_id"),
        (product(title="x" * 513), "product.title"),
        (product(category="x" * 129), "product.category"),
        (product(brand="\x00"), "product.brand"),
        (product(url="x" * 2049), "product.url"),
        (product(price=catalog_pb2.Money(amount_minor=-1, currency_code="EUR")), "product.price.amount_minor"),
        (product(price=catalog_pb2.Money(amount_minor=1, currency_code="eur")), "product.price.currency_code"),
        (product(price=catalog_pb2.Money(amount_minor=1)), "product.price.currency_code"),
        (product(tags=["x"] * 65), "product.tags"),
        (product(tags=["x", ""]), "product.tags[1]"),
        (product(images=[]), "product.images"),
        (product(images=[IMAGE] * (PICTURES_MAX + 1)), "product.images"),
        (product(images=[catalog_pb2.ProductImage()]), "product.images[0].content"),
        (
            product(images=[IMAGE, catalog_pb2.ProductImage(content_sha256="A" * 64)]),
            "product.images[1].content_sha256",
        ),
        (product(images=[catalog_pb2.ProductImage(content=b"x", uri="u" * 2049)]), "product.images[0].uri"),
        (product(images=[catalog_pb2.ProductImage(content=b"x", image_id="\x1b")]), "product.images[0].image_id"),
        (product(images=[catalog_pb2.ProductImage(content=b"x", box=catalog_pb2.Box())]), "product.images[0].box"),
        (with_attributes({"x": "y" * 17_000}), "product.attributes"),
        (with_attributes({"": 1}), "product.attributes"),
        (with_attributes({"x": math.nan}), "product.attributes"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_is_named(wire: catalog_pb2.Product, field: str) -> None:
    assert set(wrong_fields(lambda: checked_product(wire))) == {field}


def test_an_id_given_to_two_pictures_is_refused_at_both() -> None:
    twice = catalog_pb2.ProductImage(image_id="1", content=b"x")
    wrong = wrong_fields(lambda: checked_product(product(images=[twice, twice])))
    assert set(wrong) == {"product.images[0].image_id", "product.images[1].image_id"}


def test_attributes_nested_too_deep_are_refused() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = {"a": deep}
    assert set(wrong_fields(lambda: checked_product(with_attributes({"deep": deep})))) == {"product.attributes"}


def test_a_page_holds_fifty_products_unless_told() -> None:
    assert checked_listing(catalog_pb2.ListProductsRequest()).limit == 50
    assert checked_listing(catalog_pb2.ListProductsRequest(page_size=500)).limit == 500


@pytest.mark.parametrize("size", [-1, 501])
def test_a_wrong_page_size_is_refused(size: int) -> None:
    with pytest.raises(BadField, match="page_size"):
        checked_listing(catalog_pb2.ListProductsRequest(page_size=size))


def test_a_page_goes_on_where_the_one_before_ended() -> None:
    token = write_page_token((7, "mug-ü"), None)
    assert checked_listing(catalog_pb2.ListProductsRequest(page_token=token)).after == (7, "mug-ü")
