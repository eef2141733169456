"""Conditions on a product's attributes, built from six functions. Knows no fields: the server checks those.

Fields: product_id, title, category, brand, price_minor, currency, in_stock, tags, and attributes.NAME for your own.

>>> cheap_mugs = all_of(equals("category", "mug"), between("price_minor", at_most=3000), equals("currency", "EUR"))
>>> red_or_blue = one_of("attributes.color", "red", "blue")
"""

from dataclasses import dataclass

Value = str | float | bool


@dataclass(frozen=True, slots=True)
class Equals:
    """The field is this value."""

    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class NotEquals:
    """The field is there and is another value."""

    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field is one of these values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field is a number from `at_least` to `at_most`, both included."""

    field: str
    at_least: float | None
    at_most: float | None


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these holds."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these holds."""

    filters: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Negate:
    """This does not hold."""

    filter: "Filter"


Filter = Equals | NotEquals | OneOf | Between | AllOf | AnyOf | Negate


def equals(field: str, value: Value) -> Equals:
    """Keep products whose `field` is `value`, with case.

    >>> equals("category", "mug")
    Equals(field='category', value='mug')
    """
    return Equals(field, value)


def not_equals(field: str, value: Value) -> NotEquals:
    """Keep products that have `field`, with another value.

    >>> not_equals("brand", "Nordlys")
    NotEquals(field='brand', value='Nordlys')
    """
    return NotEquals(field, value)


def one_of(field: str, *values: Value) -> OneOf:
    """Keep products whose `field` is one of `values`.

    >>> one_of("attributes.color", "red", "blue")
    OneOf(field='attributes.color', values=('red', 'blue'))
    """
    return OneOf(field, values)


def between(field: str, at_least: float | None = None, at_most: float | None = None) -> Between:
    """Keep products whose `field` is a number in these bounds, both included; give at least one.

    >>> between("price_minor", at_most=3000)
    Between(field='price_minor', at_least=None, at_most=3000)
    """
    return Between(field, at_least, at_most)


def all_of(*filters: Filter) -> AllOf:
    """Keep products for which every one of `filters` holds.

    >>> len(all_of(equals("category", "mug"), equals("in_stock", True)).filters)
    2
    """
    return AllOf(filters)


def any_of(*filters: Filter) -> AnyOf:
    """Keep products for which at least one of `filters` holds.

    >>> len(any_of(equals("category", "mug"), equals("category", "cup")).filters)
    2
    """
    return AnyOf(filters)


def negate(filter: Filter) -> Negate:
    """Keep products for which `filter` does not hold.

    >>> negate(equals("tags", "sale"))
    Negate(filter=Equals(field='tags', value='sale'))
    """
    return Negate(filter)
