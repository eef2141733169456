"""What a row is in a collection: keys, filter columns and the document. Knows no Milvus and no network.

No text of a shop or a shopper ever enters an expression: filters compare 64-bit fingerprints, so that there is
nothing to escape, whatever a server's grammar makes of quotes, backslashes or other scripts. Milvus 2.3 has no null;
what a product lacks is a value that it cannot have.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from lookalike_router.filter import Json, Scalar

# What a column holds where the product lacks the attribute.
NO_TEXT = 0
NO_NUMBER = -(2**62)
NO_TRUTH = -1
# Milvus refuses longer text and JSON.
DOCUMENT_BYTES_MAX = 65_535
FACTS_BYTES_MAX = 65_535


def key_of(product_id: str, image_id: str, version: int) -> str:
    """Return the primary key of one version of a picture: 32 hex digits."""
    raw = product_id.encode()
    said = len(raw).to_bytes(4, "big") + raw + image_id.encode() + version.to_bytes(8, "big", signed=True)
    return blake2b(said, digest_size=16).hexdigest()


def fingerprint(text: str) -> int:
    """Return an int64 for a text, never 0."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"column").digest(), "big", signed=True) or 1


def column(name: str, attributes: Mapping[str, Json]) -> int:
    """Return what a row holds in the column of an attribute."""
    value = attributes.get(name)
    match name:
        case "price_minor":
            return value if isinstance(value, int) and not isinstance(value, bool) else NO_NUMBER
        case "in_stock":
            return int(value) if isinstance(value, bool) else NO_TRUTH
        case _:
            return fingerprint(value) if isinstance(value, str) else NO_TEXT


def token(name: str, value: Scalar) -> str:
    """Return the token that says "the attribute `name` is `value`"."""
    if isinstance(value, bool):
        said = f"truth {value}"
    elif isinstance(value, str):
        said = f"text {value}"
    else:
        said = f"number {float(value).hex()}" if value else "number 0"
    return _digest(name, said)


def presence(name: str) -> str:
    """Return the token that says "the product has the attribute `name`"."""
    return _digest(name, "there")


def number_key(name: str) -> str:
    """Return under which key a row's facts hold a number."""
    return "k" + _digest(name, "number")


def facts(attributes: Mapping[str, Json]) -> str:
    """Return the JSON by which filters see tags and the shop's own attributes: tokens and numbers."""
    tags = attributes.get("tags")
    tokens = {token("tags", tag) for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
    count = len(tokens)
    numbers: dict[str, float] = {}
    own = attributes.get("attributes")
    for name, value in (own if isinstance(own, dict) else {}).items():
        place = f"attributes.{name}"
        if value is not None:
            tokens.add(presence(place))
        if isinstance(value, str | int | float):
            tokens.add(token(place, value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[number_key(place)] = float(value)
            tokens.add(number_key(place))
    return json.dumps({"tags": count, "tokens": sorted(tokens), "numbers": numbers}, separators=(",", ":"))


def document(attributes: Mapping[str, Json], picture: Mapping[str, Json]) -> str:
    """Return the facts that an answer carries, as one text."""
    return json.dumps([attributes, picture], ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def opened(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes and the picture's facts of a document."""
    attributes, picture = json.loads(text)
    return attributes, picture


def _digest(name: str, said: str) -> str:
    raw = name.encode()
    return blake2b(len(raw).to_bytes(4, "big") + raw + said.encode(), digest_size=8).hexdigest()
