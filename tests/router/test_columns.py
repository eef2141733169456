import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.columns import (
    NO_NUMBER,
    NO_TEXT,
    NO_TRUTH,
    column,
    document,
    facts,
    fingerprint,
    key_of,
    opened,
    token,
)
from lookalike_router.filter import Json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_a_document_opens_to_what_was_put_in(attributes: dict[str, Json], picture: dict[str, Json]) -> None:
    assert opened(document(attributes, picture)) == (attributes, picture)


ROWS = st.tuples(st.text(), st.text(), st.integers(-(2**63), 2**63 - 1))


@given(ROWS, ROWS)
def test_two_rows_share_a_key_only_if_they_are_one(first: tuple[str, str, int], second: tuple[str, str, int]) -> None:
    assert (key_of(*first) == key_of(*second)) is (first == second)


def test_every_part_of_a_rows_name_is_in_its_key() -> None:
    names = [("a", "bc", 1), ("ab", "c", 1), ("a", "bc", 2), ("a", "b", 1), ("", "abc", 1), ("a", "bc", -1)]
    assert len({key_of(*name) for name in names}) == len(names)


def test_keys_and_fingerprints_are_the_same_for_ever() -> None:
    assert key_of("mug-001", "front", 1) == "124e3a7dbb6e5b0d92c8b784496f6cff"
    assert fingerprint("mug") == -7365558608700023345


@given(st.text())
def test_no_text_has_the_fingerprint_of_a_missing_one(text: str) -> None:
    assert fingerprint(text) != NO_TEXT


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"title": None, "price_minor": None, "in_stock": None},
        {"title": 1, "price_minor": "1", "in_stock": 1},
    ],
)
def test_what_is_missing_or_of_another_type_is_held_as_missing(attributes: dict[str, Json]) -> None:
    held = [column(name, attributes) for name in ("title", "price_minor", "in_stock")]
    assert held == [NO_TEXT, NO_NUMBER, NO_TRUTH]


def test_one_is_one_point_zero_and_not_true() -> None:
    assert token("x", 1) == token("x", 1.0)
    assert token("x", 0.0) == token("x", -0.0)
    assert len({token("x", 1), token("x", True), token("x", "1"), token("y", 1), token("x", "True")}) == 5


def test_facts_hold_nothing_that_a_shop_wrote() -> None:
    said = facts({"tags": ["red", "red"], "attributes": {"colour name": "red", "none": None, "n": 3}})
    assert "red" not in said
    assert "colour" not in said
    assert json.loads(said)["tags"] == 1
    assert list(json.loads(said)["numbers"].values()) == [3.0]
