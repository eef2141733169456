"""A condition on a row's attributes, and what it means. Knows no wire and no Milvus."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | float | bool
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Attributes by which shops filter most: shards keep them as columns of their own. Every other attribute is reached
# as "attributes.NAME" inside the JSON document under "attributes"; "tags" is a list of strings.
COLUMNS: Mapping[str, type] = {
    "product_id": str,
    "title": str,
    "category": str,
    "brand": str,
    "price_minor": int,
    "currency": str,
    "in_stock": bool,
}
OWN_PREFIX = "attributes."


@dataclass(frozen=True)
class Equal:
    """The field is there and is `value` (with `negated`: is there and is not)."""

    field: str
    value: Scalar
    negated: bool = False


@dataclass(frozen=True)
class InList:
    """The field is one of `values`."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Range:
    """The field is a number between the bounds, which belong to it; None is no bound."""

    field: str
    at_least: float | None
    at_most: float | None


@dataclass(frozen=True)
class AllOf:
    """Every filter holds."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one filter holds."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True)
class Negate:
    """The filter does not hold."""

    filter: "Filter"


Filter: TypeAlias = Equal | InList | Range | AllOf | AnyOf | Negate


def matches(where: Filter, product_id: str, attributes: Mapping[str, Json]) -> bool:
    """Say whether a product meets a filter; every shard must agree with this function."""
    match where:
        case AllOf(filters):
            return all(matches(each, product_id, attributes) for each in filters)
        case AnyOf(filters):
            return any(matches(each, product_id, attributes) for each in filters)
        case Negate(inner):
            return not matches(inner, product_id, attributes)
        case Equal(field, value, negated):
            return any(same(found, value) != negated for found in values(field, product_id, attributes))
        case InList(field, wanted):
            return any(same(found, value) for found in values(field, product_id, attributes) for value in wanted)
        case Range(field, at_least, at_most):
            return any(_between(found, at_least, at_most) for found in values(field, product_id, attributes))


def values(field: str, product_id: str, attributes: Mapping[str, Json]) -> list[Json]:
    """Return what a field holds: nothing where the product lacks it, several only for tags."""
    if field == "product_id":
        return [product_id]
    if field == "tags":
        tags = attributes.get("tags")
        return tags if isinstance(tags, list) else []
    if field.startswith(OWN_PREFIX):
        own = attributes.get("attributes")
        found = own.get(field.removeprefix(OWN_PREFIX)) if isinstance(own, dict) else None
    else:
        found = attributes.get(field)
    return [] if found is None else [found]


def same(found: Json, value: Scalar) -> bool:
    """Say whether an attribute is a value: true is not 1, but 1 is 1.0."""
    if isinstance(found, bool) or isinstance(value, bool):
        return found is value
    if isinstance(found, int | float) and isinstance(value, int | float):
        return found == value
    return isinstance(found, str) and found == value


def _between(found: Json, at_least: float | None, at_most: float | None) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return (at_least is None or found >= at_least) and (at_most is None or found <= at_most)
