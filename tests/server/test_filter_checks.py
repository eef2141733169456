import math

import pytest

from lookalike.v1 import catalog_pb2
from lookalike_router.filter import AllOf, AnyOf, Equal, Filter, InList, Negate, Range
from lookalike_server.complaints import Complaints
from lookalike_server.filter_checks import DEPTH_MAX, PARTS_MAX, checked_filter

F = catalog_pb2.Filter


def checked(wire: catalog_pb2.Filter) -> tuple[Filter | None, dict[str, str]]:
    """Return the filter, and what is wrong with it by field."""
    complaints = Complaints()
    found = checked_filter(wire, "filter", complaints)
    return found, {one.field: one.description for one in complaints.found}


def compare(field: str, **value: str | float | bool) -> catalog_pb2.Filter:
    return F(compare=F.Compare(field=field, value=F.Value(**value)))  # type: ignore[arg-type]


def nested(depth: int) -> catalog_pb2.Filter:
    wire = compare("category", text="mug")
    for _ in range(depth - 1):
        wire = F(negate=F.Negate(filter=wire))
    return wire


def test_every_kind_becomes_the_routers() -> None:
    wire = F(
        all_of=F.AllOf(
            filters=[
                compare("category", text="mug"),
                F(compare=F.Compare(field="brand", operator=F.Compare.OPERATOR_NOT_EQUAL, value=F.Value(text="x"))),
                F(in_list=F.InList(field="tags", values=[F.Value(text="a"), F.Value(text="b")])),
                F(any_of=F.AnyOf(filters=[F(range=F.Range(field="price_minor", at_least=5))])),
                F(negate=F.Negate(filter=compare("in_stock", truth=False))),
                compare("attributes.size", number=4.5),
                compare("price_minor", number=1990),
            ]
        )
    )
    assert checked(wire) == (
        AllOf(
            (
                Equal("category", "mug"),
                Equal("brand", "x", negated=True),
                InList("tags", ("a", "b")),
                AnyOf((Range("price_minor", 5.0, None),)),
                Negate(Equal("in_stock", False)),
                Equal("attributes.size", 4.5),
                Equal("price_minor", 1990),
            )
        ),
        {},
    )


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (F(), "filter"),
        (compare("colour", text="red"), "filter.compare.field"),
        (compare("attributes.", text="red"), "filter.compare.field"),
        (compare("", text="red"), "filter.compare.field"),
        (compare("category", number=3), "filter.compare.value"),
        (compare("in_stock", text="yes"), "filter.compare.value"),
        (compare("price_minor", number=24.9), "filter.compare.value"),
        (compare("price_minor", number=1e300), "filter.compare.value"),
        (compare("price_minor", truth=True), "filter.compare.value"),
        (compare("attributes.x", number=math.nan), "filter.compare.value"),
        (compare("title", text="x" * 1025), "filter.compare.value"),
        (compare("category"), "filter.compare.value"),
        (F(compare=F.Compare(field="category", operator=9, value=F.Value(text="x"))), "filter.compare.operator"),  # type: ignore[arg-type]
        (F(in_list=F.InList(field="category")), "filter.in_list.values"),
        (F(in_list=F.InList(field="category", values=[F.Value(number=1)])), "filter.in_list.values[0]"),
        (F(range=F.Range(field="price_minor")), "filter.range"),
        (F(range=F.Range(field="title", at_least=1)), "filter.range.field"),
        (F(range=F.Range(field="price_minor", at_most=math.inf)), "filter.range.at_most"),
        (F(all_of=F.AllOf()), "filter.all_of.filters"),
        (F(any_of=F.AnyOf(filters=[F()])), "filter.any_of.filters[0]"),
        (F(negate=F.Negate()), "filter.negate.filter"),
        (nested(DEPTH_MAX + 1), "filter" + ".negate.filter" * DEPTH_MAX),
        (F(in_list=F.InList(field="category", values=[F.Value(text="x")] * PARTS_MAX)), "filter"),
        (F(any_of=F.AnyOf(filters=[compare("category", text="x")] * PARTS_MAX)), "filter"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_filter_is_named(wire: catalog_pb2.Filter, field: str) -> None:
    found, wrong = checked(wire)
    assert found is None
    assert set(wrong) == {field}


def test_the_deepest_filter_allowed_is_allowed() -> None:
    assert checked(nested(DEPTH_MAX))[1] == {}


def test_an_unknown_field_hears_which_there_are() -> None:
    _, wrong = checked(compare("colour", text="red"))
    assert "category" in wrong["filter.compare.field"]
    assert "attributes.NAME" in wrong["filter.compare.field"]
