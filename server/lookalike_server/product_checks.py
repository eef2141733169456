"""Turns requests of the catalogue into what was asked, or says every field that is wrong. Knows no shop."""

import json
import math
import re
from collections.abc import Iterable, Mapping

from google.protobuf import struct_pb2

from lookalike.v1 import catalog_pb2
from lookalike_router.filter import Json
from lookalike_server.checks import checked_box
from lookalike_server.complaints import Complaints, has_controls
from lookalike_server.filter_checks import ATTRIBUTE_CHARS_MAX, checked_filter
from lookalike_server.page_token import read_page_token
from lookalike_server.product import NewPicture, NewProduct
from lookalike_server.query import Listing

TITLE_CHARS_MAX = 512
LABEL_CHARS_MAX = 128
URL_CHARS_MAX = 2048
TAGS_MAX = 64
# A row repeats its product's attributes: with 32 pictures this is half a megabyte per product.
ATTRIBUTES_BYTES_MAX = 16 * 2**10
ATTRIBUTES_DEPTH_MAX = 16
# Two views find most products; more than this is a gallery of one product, and every picture costs a vector.
PICTURES_MAX = 32
PAGE_DEFAULT = 50
PAGE_MAX = 500

CURRENCY = re.compile(r"[A-Z]{3}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_product(wire: catalog_pb2.Product, path: str = "product") -> NewProduct:
    """Check one product to store."""
    complaints = Complaints()
    complaints.identifier(f"{path}.product_id", wire.product_id)
    attributes = checked_attributes(wire, path, complaints)
    pictures = checked_pictures(wire.images, f"{path}.images", complaints)
    complaints.settle()
    return NewProduct(wire.product_id, attributes, pictures)


def checked_listing(wire: catalog_pb2.ListProductsRequest) -> Listing:
    """Check one page to list."""
    complaints = Complaints()
    if not 0 <= wire.page_size <= PAGE_MAX:
        complaints.add(
            "page_size", f"is {wire.page_size}; 1 to {PAGE_MAX} products can be asked for, 0 for {PAGE_DEFAULT}"
        )
    where = checked_filter(wire.filter, "filter", complaints) if wire.HasField("filter") else None
    complaints.settle()
    after = read_page_token(wire.page_token, where) if wire.page_token else None
    return Listing(wire.page_size or PAGE_DEFAULT, after, where)


def checked_product_id(value: str) -> str:
    """Check the id of a product that is asked for."""
    complaints = Complaints()
    complaints.identifier("product_id", value)
    complaints.settle()
    return value


def checked_item_id(value: str) -> str:
    """Check a caller's name for an item of a stream; it may be empty."""
    complaints = Complaints()
    if value:
        complaints.identifier("item_id", value)
    complaints.settle()
    return value


def checked_request_id(value: str) -> str:
    """Check a write's own name; it may be empty."""
    complaints = Complaints()
    if value:
        complaints.identifier("request_id", value)
    complaints.settle()
    return value


def checked_attributes(wire: catalog_pb2.Product, path: str, complaints: Complaints) -> dict[str, Json]:
    """Return a product's attributes as the shop keeps them; what was not said is left out."""
    found: dict[str, Json] = {}
    for name, chars_max in (
        ("title", TITLE_CHARS_MAX), ("category", LABEL_CHARS_MAX), ("brand", LABEL_CHARS_MAX), ("url", URL_CHARS_MAX)
    ):  # fmt: skip
        if value := getattr(wire, name):
            complaints.text(f"{path}.{name}", value, chars_max)
            found[name] = value
    if wire.HasField("price"):
        found |= checked_price(wire.price, f"{path}.price", complaints)
    if wire.HasField("in_stock"):
        found["in_stock"] = wire.in_stock
    if wire.tags:
        found["tags"] = checked_tags(wire.tags, f"{path}.tags", complaints)
    if wire.attributes.fields:
        found["attributes"] = checked_own(wire.attributes, f"{path}.attributes", complaints)
    return found


def checked_price(wire: catalog_pb2.Money, path: str, complaints: Complaints) -> dict[str, Json]:
    """Check an amount of money."""
    if wire.amount_minor < 0:
        complaints.add(f"{path}.amount_minor", f"is {wire.amount_minor}; a price is not negative")
    if not CURRENCY.fullmatch(wire.currency_code):
        complaints.add(f"{path}.currency_code", "is no ISO 4217 code of three capital letters, for example EUR")
    return {"price_minor": wire.amount_minor, "currency": wire.currency_code}


def checked_tags(tags: Iterable[str], path: str, complaints: Complaints) -> list[Json]:
    """Check free labels."""
    some = list(tags)
    if len(some) > TAGS_MAX:
        complaints.add(path, f"holds {len(some)} tags; at most {TAGS_MAX} are allowed")
        return []
    for i, tag in enumerate(some):
        if not tag:
            complaints.add(f"{path}[{i}]", "is empty")
        complaints.text(f"{path}[{i}]", tag, LABEL_CHARS_MAX)
    return list(some)


def checked_own(wire: struct_pb2.Struct, path: str, complaints: Complaints) -> Json:
    """Check the shop's own attributes."""
    for name in wire.fields:
        if not name or len(name) > ATTRIBUTE_CHARS_MAX or has_controls(name):
            complaints.add(
                path, f"has a name that is empty, longer than {ATTRIBUTE_CHARS_MAX} characters or unprintable"
            )
            return {}
    try:
        own = struct_json(wire.fields, depth=1)
    except ValueError as error:
        complaints.add(path, str(error))
        return {}
    if (size := len(json.dumps(own, ensure_ascii=False).encode())) > ATTRIBUTES_BYTES_MAX:
        complaints.add(path, f"are {size} bytes as JSON; at most {ATTRIBUTES_BYTES_MAX} are allowed")
    return own


def struct_json(fields: Mapping[str, struct_pb2.Value], depth: int) -> dict[str, Json]:
    """Return a Struct as JSON, or raise ValueError: what JSON cannot say, or nested too deep."""
    if depth > ATTRIBUTES_DEPTH_MAX:
        raise ValueError(f"are nested more than {ATTRIBUTES_DEPTH_MAX} deep")
    return {name: value_json(value, depth) for name, value in fields.items()}


def value_json(value: struct_pb2.Value, depth: int) -> Json:
    """Return a Value as JSON; whole numbers become int, as a shop wrote them."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            if not math.isfinite(number):
                raise ValueError("hold a number that is not finite")
            return int(number) if number.is_integer() and abs(number) <= 2**53 else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return struct_json(value.struct_value.fields, depth + 1)
        case "list_value":
            if depth > ATTRIBUTES_DEPTH_MAX:
                raise ValueError(f"are nested more than {ATTRIBUTES_DEPTH_MAX} deep")
            return [value_json(one, depth + 1) for one in value.list_value.values]
    return None


def checked_pictures(
    wires: Iterable[catalog_pb2.ProductImage], path: str, complaints: Complaints
) -> tuple[NewPicture, ...]:
    """Check a product's pictures; whether their bytes are pictures is found out later."""
    some = list(wires)
    if not 1 <= len(some) <= PICTURES_MAX:
        complaints.add(path, f"holds {len(some)} pictures; 1 to {PICTURES_MAX} are needed")
        return ()
    named = [wire.image_id for wire in some if wire.image_id]
    for i, wire in enumerate(some):
        if wire.image_id and named.count(wire.image_id) > 1:
            complaints.add(f"{path}[{i}].image_id", "is the id of more than one of the pictures")
    return tuple(checked_picture(wire, i, f"{path}[{i}]", complaints) for i, wire in enumerate(some))


def checked_picture(wire: catalog_pb2.ProductImage, position: int, path: str, complaints: Complaints) -> NewPicture:
    """Check one picture to store."""
    if wire.image_id:
        complaints.identifier(f"{path}.image_id", wire.image_id)
    complaints.text(f"{path}.uri", wire.uri, URL_CHARS_MAX)
    if wire.content_sha256 and not SHA256.fullmatch(wire.content_sha256):
        complaints.add(f"{path}.content_sha256", "is not 64 lower-case hex digits")
    if not wire.content and not wire.content_sha256:
        complaints.add(f"{path}.content", "is required, or the content_sha256 of bytes that the product already has")
    box = checked_box(wire.box, f"{path}.box", complaints) if wire.HasField("box") else None
    return NewPicture(wire.image_id, wire.content or None, wire.content_sha256, wire.uri, box, position)
