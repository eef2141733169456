"""Says a filter in Milvus's expression language, for versions from 2.3 on. Knows no network.

Written without NOT and without comparing what is not there: servers differ in whether NOT of an unknown is true.
"""

import json
import math
from collections.abc import Iterable, Sequence

from lookalike_router.columns import NO_NUMBER, NO_TEXT, NO_TRUTH, fingerprint, number_key, presence, token
from lookalike_router.filter import COLUMNS, AllOf, AnyOf, Equal, Filter, InList, Negate, Range, Scalar
from lookalike_router.slots import SlotRange, slots_in

ALWAYS = "slot >= 0"
NEVER = "slot < 0"
# Servers of 2.3 take 60 ms to read a hundred ranges, 3 s for a thousand and minutes for more, but 0.2 s at most to read
# the slots one by one.
RANGES_MAX = 32
# Bounds of the numbers that a shop can have in an int64 column, the missing one left out.
INT_LEAST, INT_MOST = NO_NUMBER + 1, 2**62


def expression(where: Filter, holds: bool = True) -> str:
    """Return the expression that is true where the filter holds (or where it does not)."""
    match where:
        case AllOf(filters):
            return _joined("and" if holds else "or", (expression(each, holds) for each in filters))
        case AnyOf(filters):
            return _joined("or" if holds else "and", (expression(each, holds) for each in filters))
        case Negate(inner):
            return expression(inner, not holds)
        case Equal(field, value, negated):
            wanted = _equal(field, (value,)) if not negated else _other(field, value)
            unwanted = _unequal(field, (value,)) if not negated else _not_other(field, value)
            return wanted if holds else unwanted
        case InList(field, values):
            return _equal(field, values) if holds else _unequal(field, values)
        case Range():
            return _between(where) if holds else _outside(where)


def in_slots(ranges: Sequence[SlotRange]) -> str:
    """Return the expression that is true in these slots."""
    if len(ranges) > RANGES_MAX:
        return f"slot in {list(slots_in(ranges))}"
    return _joined("or", (f"(slot >= {run.first} and slot <= {run.last})" for run in ranges)) if ranges else NEVER


def of_products(product_ids: Iterable[str]) -> str:
    """Return the expression that is true for the rows of these products, and hardly ever for others."""
    return f"product in {sorted({fingerprint(product_id) for product_id in product_ids})}"


def of_keys(keys: Iterable[str]) -> str:
    """Return the expression that is true for these primary keys."""
    return f"key in {json.dumps(list(keys))}"


def both(first: str, second: str) -> str:
    """Return the expression that is true where both are."""
    return f"({first}) and ({second})"


def _joined(word: str, parts: Iterable[str]) -> str:
    found = list(parts)
    if not found:
        return ALWAYS if word == "and" else NEVER
    return "(" + f" {word} ".join(found) + ")"


def _equal(field: str, values: Sequence[Scalar]) -> str:
    """Return where the field is one of the values."""
    if field in COLUMNS:
        codes = _codes(field, values)
        return f"({_column(field)} in {codes})" if codes else NEVER
    return f'json_contains_any(facts["tokens"], {json.dumps([token(field, value) for value in values])})'


def _unequal(field: str, values: Sequence[Scalar]) -> str:
    """Return where the field is none of the values or is not there."""
    if field in COLUMNS:
        codes = _codes(field, values)
        return f"({_column(field)} not in {codes})" if codes else ALWAYS
    return f"(not {_equal(field, values)})"


def _other(field: str, value: Scalar) -> str:
    """Return where the field is there and is not the value; of tags, where any is not."""
    if field in COLUMNS:
        return f"({_column(field)} not in {[_missing(field), *_codes(field, [value])]})"
    if field == "tags":
        return f'(facts["tags"] >= 2 or (facts["tags"] == 1 and {_unequal(field, [value])}))'
    return f"({_has(presence(field))} and {_unequal(field, [value])})"


def _not_other(field: str, value: Scalar) -> str:
    """Return where `_other` is not."""
    if field in COLUMNS:
        return f"({_column(field)} in {[_missing(field), *_codes(field, [value])]})"
    if field == "tags":
        return f'(facts["tags"] == 0 or (facts["tags"] == 1 and {_equal(field, [value])}))'
    return f"((not {_has(presence(field))}) or {_equal(field, [value])})"


def _between(where: Range) -> str:
    """Return where the field is a number between the bounds."""
    if where.field == "price_minor":
        least, most = _int_bounds(where)
        return f"(price_minor >= {least} and price_minor <= {most})"
    if where.field in COLUMNS or where.field == "tags" or _least(where) > _HUGE or _most(where) < -_HUGE:
        return NEVER
    place = f'facts["numbers"]["{number_key(where.field)}"]'
    return f"({place} >= {_least(where)!r} and {place} <= {_most(where)!r})"


def _outside(where: Range) -> str:
    """Return where the field is a number outside the bounds, or no number, or not there."""
    if where.field == "price_minor":
        least, most = _int_bounds(where)
        return f"(price_minor < {least} or price_minor > {most})"
    if where.field in COLUMNS or where.field == "tags" or _least(where) > _HUGE or _most(where) < -_HUGE:
        return ALWAYS
    key = number_key(where.field)
    place = f'facts["numbers"]["{key}"]'
    return f"({place} < {_least(where)!r} or {place} > {_most(where)!r} or (not {_has(key)}))"


def _has(what: str) -> str:
    return f'json_contains(facts["tokens"], "{what}")'


def _column(field: str) -> str:
    return "product" if field == "product_id" else field


def _missing(field: str) -> int:
    return {int: NO_NUMBER, bool: NO_TRUTH}.get(COLUMNS[field], NO_TEXT)


def _codes(field: str, values: Sequence[Scalar]) -> list[int]:
    """Return the values as the column holds them; those of another type are in no row."""
    kind = COLUMNS[field]
    if kind is bool:
        return sorted({int(value) for value in values if isinstance(value, bool)})
    if kind is str:
        return sorted({fingerprint(value) for value in values if isinstance(value, str)})
    whole = (value for value in values if not isinstance(value, bool | str) and math.isfinite(value))
    return sorted({int(value) for value in whole if value == int(value) and INT_LEAST <= value <= INT_MOST})


def _int_bounds(where: Range) -> tuple[int, int]:
    """Return the bounds as whole numbers, within what the column holds."""
    least = math.ceil(min(max(_least(where), INT_LEAST), INT_MOST + 1))
    most = math.floor(max(min(_most(where), INT_MOST), INT_LEAST - 1))
    return least, most


# Expressions and JSON have no infinity; the largest double stands for no bound.
_HUGE = 1.7976931348623157e308


def _least(where: Range) -> float:
    return max(-_HUGE, where.at_least) if where.at_least is not None else -_HUGE


def _most(where: Range) -> float:
    return min(_HUGE, where.at_most) if where.at_most is not None else _HUGE
