"""Turns the SDK's values into what json.dumps takes: fields by name, photos left out."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime

from lookalike.types import Json


def jsonable(value: object) -> Json:
    """Return `value` as JSON.

    >>> from lookalike import Money
    >>> jsonable((Money(2490, "EUR"),))
    [{'amount_minor': 2490, 'currency': 'EUR'}]
    """
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)  # an enum too
        case Mapping():
            return {str(name): jsonable(one) for name, one in value.items()}
        case Sequence():
            return [jsonable(one) for one in value]
        case datetime():
            return value.isoformat()
    if is_dataclass(value):
        return {one.name: jsonable(getattr(value, one.name)) for one in fields(value) if one.name != "photo"}
    raise TypeError(f"{type(value).__name__} is no JSON")
