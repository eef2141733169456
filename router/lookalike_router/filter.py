"""A condition on a row's attributes, and what it means. Knows no wire and no Milvus."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | float | bool
Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"

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
