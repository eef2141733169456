"""Turns a filter of the wire into the router's, or says which parts of it are wrong. Knows no rows."""

import math

from lookalike.v1 import catalog_pb2
from lookalike_router.filter import COLUMNS, AllOf, AnyOf, Equal, Filter, InList, Negate, Range, Scalar
from lookalike_server.complaints import Complaints, has_controls

# A filter becomes one expression on every shard: these keep it below what any Milvus parses.
DEPTH_MAX = 8
PARTS_MAX = 256
VALUE_CHARS_MAX = 1024
ATTRIBUTE_CHARS_MAX = 128

# Beyond it a double no longer tells neighbouring whole numbers apart.
WHOLE_MAX = 2**53

ATTRIBUTE = "attributes."
TYPES: dict[str, type] = {**COLUMNS, "tags": str}
KIND_NAMES = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}


def checked_filter(wire: catalog_pb2.Filter, path: str, complaints: Complaints) -> Filter | None:
    """Return what `wire` asks, None where it is wrong, which `complaints` then says."""
    walk = Walk(complaints)
    found = walk.filter(wire, path, depth=1)
    if walk.parts > PARTS_MAX:
        complaints.add(path, f"holds {walk.parts} conditions and values; at most {PARTS_MAX} are allowed")
        return None
    return found


class Walk:
    """One pass over one filter."""

    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints
        self.parts = 0
        """Conditions and values seen so far."""

    def filter(self, wire: catalog_pb2.Filter, path: str, depth: int) -> Filter | None:
        """Check one filter and those within."""
        self.parts += 1
        if depth > DEPTH_MAX:
            self.complaints.add(path, f"is nested more than {DEPTH_MAX} deep")
            return None
        match wire.WhichOneof("kind"):
            case "compare":
                return self.compare(wire.compare, f"{path}.compare")
            case "in_list":
                return self.in_list(wire.in_list, f"{path}.in_list")
            case "range":
                return self.range(wire.range, f"{path}.range")
            case "all_of":
                some = self.several(wire.all_of, f"{path}.all_of.filters", depth)
                return AllOf(some) if some else None
            case "any_of":
                some = self.several(wire.any_of, f"{path}.any_of.filters", depth)
                return AnyOf(some) if some else None
            case "negate":
                inner = self.filter(wire.negate.filter, f"{path}.negate.filter", depth + 1)
                return Negate(inner) if inner else None
        self.complaints.add(path, "set one of compare, in_list, range, all_of, any_of, negate")
        return None

    def several(
        self, wire: catalog_pb2.Filter.AllOf | catalog_pb2.Filter.AnyOf, path: str, depth: int
    ) -> tuple[Filter, ...] | None:
        """Check filters that are joined; None where one of them is wrong."""
        if not wire.filters:
            self.complaints.add(path, "holds no filter; at least one is needed")
            return None
        # The count is looked at first: a wide and deep filter must not be walked whole to be refused.
        if self.parts + len(wire.filters) > PARTS_MAX:
            self.parts += len(wire.filters)
            return None
        checked = [self.filter(one, f"{path}[{i}]", depth + 1) for i, one in enumerate(wire.filters)]
        some = tuple(one for one in checked if one is not None)
        return some if len(some) == len(checked) else None

    def compare(self, wire: catalog_pb2.Filter.Compare, path: str) -> Filter | None:
        """Check one field against one value."""
        kind = self.field(wire.field, f"{path}.field")
        value = self.value(wire.value, kind, f"{path}.value")
        if wire.operator not in catalog_pb2.Filter.Compare.Operator.values():
            self.complaints.add(f"{path}.operator", f"{wire.operator} is no operator")
            return None
        if kind is None or value is None:
            return None
        return Equal(wire.field, value, negated=wire.operator == catalog_pb2.Filter.Compare.OPERATOR_NOT_EQUAL)

    def in_list(self, wire: catalog_pb2.Filter.InList, path: str) -> Filter | None:
        """Check one field against several values."""
        kind = self.field(wire.field, f"{path}.field")
        self.parts += len(wire.values)
        if not wire.values:
            self.complaints.add(f"{path}.values", "holds no value; at least one is needed")
        if self.parts > PARTS_MAX:
            return None
        values = [self.value(one, kind, f"{path}.values[{i}]") for i, one in enumerate(wire.values)]
        good = tuple(value for value in values if value is not None)
        return InList(wire.field, good) if kind is not None and good and len(good) == len(values) else None

    def range(self, wire: catalog_pb2.Filter.Range, path: str) -> Filter | None:
        """Check one field between bounds."""
        kind = self.field(wire.field, f"{path}.field")
        at_least = wire.at_least if wire.HasField("at_least") else None
        at_most = wire.at_most if wire.HasField("at_most") else None
        before = len(self.complaints.found)
        if kind is not None and kind not in (int, object):
            self.complaints.add(f"{path}.field", f"{wire.field} is {KIND_NAMES[kind]}; a range needs a number")
        if at_least is None and at_most is None:
            self.complaints.add(path, "set at_least, at_most or both")
        for name, bound in (("at_least", at_least), ("at_most", at_most)):
            if bound is not None and not math.isfinite(bound):
                self.complaints.add(f"{path}.{name}", "is not a finite number")
        return Range(wire.field, at_least, at_most) if kind and len(self.complaints.found) == before else None

    def field(self, name: str, path: str) -> type | None:
        """Return the type of a field's values, `object` for the shop's own attributes; None where there is no such."""
        if name in TYPES:
            return TYPES[name]
        own = name.removeprefix(ATTRIBUTE)
        if own != name and own and len(own) <= ATTRIBUTE_CHARS_MAX and not has_controls(own):
            return object
        known = ", ".join(TYPES)
        self.complaints.add(path, f"is no field of a product; there are {known} and attributes.NAME")
        return None

    def value(self, wire: catalog_pb2.Filter.Value, kind: type | None, path: str) -> Scalar | None:
        """Check one value against its field's type."""
        match wire.WhichOneof("kind"):
            case "text":
                value: Scalar = wire.text
            case "number":
                exact = wire.number.is_integer() and abs(wire.number) <= WHOLE_MAX
                value = int(wire.number) if exact else wire.number
            case "truth":
                value = wire.truth
            case _:
                self.complaints.add(path, "set one of text, number, truth")
                return None
        if isinstance(value, str) and (len(value) > VALUE_CHARS_MAX or has_controls(value)):
            self.complaints.add(path, f"is longer than {VALUE_CHARS_MAX} characters or contains control characters")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.complaints.add(path, "is not a finite number")
            return None
        # type() and not isinstance(): in Python true is a number, in a filter it is not.
        if kind is not None and kind is not object and type(value) is not kind:
            self.complaints.add(path, f"is {KIND_NAMES[type(value)]}; the field needs {KIND_NAMES[kind]}")
            return None
        return value
