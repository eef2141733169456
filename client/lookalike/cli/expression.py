"""Reads the filter that a person types, such as `category=mug,price<30,color=red|blue`. Knows no server."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.cli.values import guess
from lookalike.errors import InvalidArgument
from lookalike.filters import Filter, all_of, between, equals, not_equals, one_of
from lookalike.money import Money

GRAMMAR = """FILTER is one or more conditions, joined by commas; all of them must hold.
NAME=VALUE, NAME!=VALUE, NAME<NUMBER, NAME<=NUMBER, NAME>NUMBER, NAME>=NUMBER; NAME=A|B means A or B.
Names: product_id, title, category, brand, price, currency, in_stock, tags; any other is an attribute of your own.
A price is written as in the shop, 24.90; it has two digits after the dot unless currency=CODE is given too.
Put quotes around a value with a comma, a bar or a quote in it, and around a number that is meant as text: size="42"."""

_TEXT_FIELDS = {"product_id", "title", "category", "brand", "currency", "tags"}
_FIELDS = _TEXT_FIELDS | {"price_minor", "in_stock"}

_WORD = r'"(?:[^"\\]|\\.)*"|[^",|=<>!]+'
_ONE = rf"\s*(?:{_WORD})\s*"
_CLAUSE = re.compile(rf"\s*(?P<name>{_WORD})\s*(?P<operator>!=|<=|>=|=|<|>)(?P<values>{_ONE}(?:\|{_ONE})*)")
_VALUE = re.compile(_ONE)


class BadExpression(Exception):
    """The text is no filter; the message says where and why."""


@dataclass(frozen=True, slots=True)
class _Clause:
    """One condition as it was typed: `values` still have their quotes."""

    name: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{'|'.join(self.values)}"


def parse(text: str) -> Filter:
    """Return the filter that `text` means.

    >>> parse("category=mug")
    Equals(field='category', value='mug')
    >>> parse("price<30,color=red|blue").filters[0]
    Between(field='price_minor', at_least=None, at_most=2999)
    """
    clauses = list(_clauses(text))
    currency = next((_bare(clause.values[0]) for clause in clauses if clause.name == "currency"), None)
    filters = [filter for clause in clauses for filter in _filters(clause, currency)]
    return filters[0] if len(filters) == 1 else all_of(*filters)


def _clauses(text: str) -> Iterator[_Clause]:
    position = 0
    while True:
        match = _CLAUSE.match(text, position)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            raise BadExpression(
                f"cannot read the filter from {text[position:]!r} on: write for example category=mug,price<30"
            )
        values = tuple(value.strip() for value in _VALUE.findall(match["values"]))
        yield _Clause(_bare(match["name"].strip()), match["operator"], values)
        position = match.end() + 1
        if position > len(text):
            return


def _filters(clause: _Clause, currency: str | None) -> Iterator[Filter]:
    """Yield what `clause` means: one filter, or several that must all hold."""
    field = _field(clause.name)
    values = [_value(clause, field, value, currency) for value in clause.values]
    match clause.operator:
        case "=":
            yield equals(field, values[0]) if len(values) == 1 else one_of(field, *values)
        case "!=":
            yield from (not_equals(field, value) for value in values)
        case _:
            yield _bounded(clause, field, values)


def _field(name: str) -> str:
    if name == "price":
        return "price_minor"
    return name if name in _FIELDS or name.startswith("attributes.") else f"attributes.{name}"


def _value(clause: _Clause, field: str, text: str, currency: str | None) -> str | int | float | bool:
    bare = _bare(text)
    if not bare:
        raise BadExpression(f"{clause}: a value is missing")
    if clause.name == "price":
        return _minor(clause, bare, currency)
    value = bare if field in _TEXT_FIELDS or text.startswith('"') else guess(bare)
    if field == "in_stock" and not isinstance(value, bool):
        raise BadExpression(f"{clause}: in_stock is true or false")
    return value


def _minor(clause: _Clause, amount: str, currency: str | None) -> int:
    try:
        # Any currency of that many digits will do: only the minor amount is kept.
        return Money.parse(amount, currency or "EUR").amount_minor
    except InvalidArgument as error:
        raise BadExpression(f"{clause}: {error}") from error


def _bounded(clause: _Clause, field: str, values: list[str | int | float | bool]) -> Filter:
    number = values[0]
    if len(values) > 1 or isinstance(number, str | bool):
        raise BadExpression(f"{clause}: {clause.operator} needs one number")
    match clause.operator:
        case "<=":
            return between(field, at_most=number)
        case ">=":
            return between(field, at_least=number)
        case "<":
            return between(field, at_most=_next(field, number, -1))
        case _:
            return between(field, at_least=_next(field, number, +1))


def _next(field: str, number: int | float, direction: int) -> int | float:
    """Return the number next to `number`: bounds of a filter are included, and `<` is not."""
    if field == "price_minor" and isinstance(number, int):
        return number + direction
    return math.nextafter(number, direction * math.inf)


def _bare(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
