"""That expressions mean what filters mean is shown on real servers, in test_shards.py."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.expression import NEVER, expression, in_slots, of_keys, of_products
from lookalike_router.filter import AllOf, AnyOf, Equal, Filter, InList, Negate, Range
from lookalike_router.slots import SlotRange

FIELDS = st.sampled_from(["title", "product_id", "price_minor", "in_stock", "tags"]) | st.text().map(
    "attributes.{}".format
)
VALUES = st.text() | st.floats(allow_nan=False) | st.booleans()
BOUNDS = st.none() | st.floats(allow_nan=False)
LEAVES: st.SearchStrategy[Filter] = (
    st.builds(Equal, FIELDS, VALUES, st.booleans())
    | st.builds(InList, FIELDS, st.lists(VALUES, min_size=1, max_size=3).map(tuple))
    | st.builds(Range, FIELDS, BOUNDS, BOUNDS)
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Negate, inner)
    ),
    max_leaves=8,
)
# Everything that an expression may hold: our own words, numbers, and strings of hex digits.
WORDS = r"(and|or|not|in|slot|product|title|price_minor|in_stock|facts|json_contains|json_contains_any)"
NUMBER = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
ALLOWED = re.compile(rf'({WORDS}\b|{NUMBER}|"(tags|tokens|numbers|k?[0-9a-f]{{16}})"|[\[\]() ,]|[<>=!]=?)*')


@given(FILTERS, st.booleans())
def test_no_text_of_anyone_gets_into_an_expression(where: Filter, holds: bool) -> None:
    assert ALLOWED.fullmatch(expression(where, holds)) is not None


@given(st.lists(st.text(), min_size=1))
def test_ids_are_asked_for_by_number(ids: list[str]) -> None:
    assert re.fullmatch(r"product in \[-?\d+(, -?\d+)*\]", of_products(ids)) is not None


def test_keys_and_slots_read_as_they_are_meant() -> None:
    assert of_keys(["ab", "cd"]) == 'key in ["ab", "cd"]'
    assert in_slots([SlotRange(1, 2), SlotRange(9, 9)]) == "((slot >= 1 and slot <= 2) or (slot >= 9 and slot <= 9))"
    assert in_slots([]) == NEVER


def test_prices_are_compared_as_whole_numbers() -> None:
    assert expression(Range("price_minor", 250.5, 900.9)) == "(price_minor >= 251 and price_minor <= 900)"
    assert expression(Equal("price_minor", 2.5)) == NEVER


def test_many_ranges_are_said_slot_by_slot() -> None:
    even = [SlotRange(slot, slot + 1) for slot in range(0, 400, 4)]
    assert in_slots(even) == f"slot in {[slot for slot in range(400) if slot % 4 < 2]}"
