import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.filter import AllOf, AnyOf, Equal, Filter, InList, Json, Negate, Range, Scalar, matches

CUP: dict[str, Json] = {
    "title": "Cup",
    "price_minor": 2490,
    "in_stock": True,
    "tags": ["red", "new"],
    "attributes": {"height": 9.5, "glazed": True, "sizes": ["s"], "note": None, "count": 1},
}
CASES: list[tuple[Filter, bool]] = [
    (Equal("title", "Cup"), True),
    (Equal("title", "cup"), False),
    (Equal("title", "Cup", negated=True), False),
    (Equal("title", "Mug", negated=True), True),
    (Equal("brand", "x"), False),
    (Equal("brand", "x", negated=True), False),
    (Negate(Equal("brand", "x")), True),
    (Equal("product_id", "cup-1"), True),
    (Equal("price_minor", 2490.0), True),
    (Equal("price_minor", "2490"), False),
    (Equal("in_stock", True), True),
    (Equal("in_stock", 1.0), False),
    (Equal("tags", "red"), True),
    (Equal("tags", "red", negated=True), True),
    (InList("tags", ("blue", "new")), True),
    (Range("price_minor", 2490, 2490), True),
    (Range("price_minor", None, 2489.5), False),
    (Range("title", None, None), False),
    (Range("attributes.height", 9, None), True),
    (Range("attributes.glazed", 0, 2), False),
    (Equal("attributes.count", True), False),
    (Equal("attributes.note", "x", negated=True), False),
    (Equal("attributes.sizes", "s"), False),
    (Equal("attributes.sizes", "s", negated=True), True),
    (Equal("attributes.gone", "s", negated=True), False),
    (AllOf(()), True),
    (AnyOf(()), False),
    (AllOf((Equal("title", "Cup"), Equal("tags", "red"))), True),
    (AnyOf((Equal("title", "Mug"), Equal("tags", "red"))), True),
]


@pytest.mark.parametrize(("where", "met"), CASES, ids=[str(where) for where, _ in CASES])
def test_a_filter_means_what_the_catalogue_says(where: Filter, met: bool) -> None:
    assert matches(where, "cup-1", CUP) is met
    assert matches(Negate(where), "cup-1", CUP) is not met


@given(st.sampled_from(["title", "tags", "attributes.x"]), st.text() | st.floats(allow_nan=False) | st.booleans())
def test_a_product_without_the_field_matches_no_comparison(field: str, value: Scalar) -> None:
    assert not matches(Equal(field, value), "p", {})
    assert not matches(Equal(field, value, negated=True), "p", {})
    assert not matches(InList(field, (value,)), "p", {})
    assert not matches(Range(field, None, None), "p", {})
