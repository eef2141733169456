"""The filter that a person types."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import Filter, all_of, between, equals, not_equals, one_of
from lookalike.cli.expression import BadExpression, parse

TEXT_FIELDS = ["product_id", "title", "category", "brand", "tags"]
Said = tuple[str, list[Filter]]
"""What was typed, and the filters that it means, all of which must hold."""

text_values = st.text(min_size=1).filter(lambda text: text.strip() == text)
numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
names = st.from_regex(r"[a-z_]{1,10}", fullmatch=True).filter(
    lambda name: name not in {*TEXT_FIELDS, "price", "price_minor", "currency", "in_stock"}
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@st.composite
def conditions(draw: st.DrawFn) -> Said:
    kind = draw(st.sampled_from(["text", "attribute", "one of", "not", "range", "stock"]))
    name = draw(names)
    if kind == "text":
        field, value = draw(st.sampled_from(TEXT_FIELDS)), draw(text_values)
        return f"{field}={quoted(value)}", [equals(field, value)]
    if kind == "attribute":
        number = draw(numbers.filter(lambda number: "e" not in repr(number)))
        return f"{name}={number!r}", [equals(f"attributes.{name}", number)]
    if kind in {"one of", "not"}:
        values = draw(st.lists(text_values, min_size=2, max_size=4))
        typed = "|".join(map(quoted, values))
        if kind == "one of":
            return f"{name}={typed}", [one_of(f"attributes.{name}", *values)]
        return f"{name}!={typed}", [not_equals(f"attributes.{name}", value) for value in values]
    if kind == "range":
        least = draw(st.booleans())
        bound = draw(st.integers(0, 10**6))
        if least:
            return f"{name}>={bound}", [between(f"attributes.{name}", at_least=bound)]
        return f"{name}<={bound}", [between(f"attributes.{name}", at_most=bound)]
    truth = draw(st.booleans())
    return f"in_stock={str(truth).lower()}", [equals("in_stock", truth)]


@given(st.lists(conditions(), min_size=1, max_size=5), st.sampled_from([",", ", ", " ,"]))
def test_what_was_typed_is_what_is_meant(said: list[Said], comma: str) -> None:
    filters = [filter for _, meant in said for filter in meant]
    wanted = filters[0] if len(filters) == 1 else all_of(*filters)
    assert parse(comma.join(typed for typed, _ in said)) == wanted


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadExpression):
        parse(text)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("category=mug", equals("category", "mug")),
        ("category = garden chair", equals("category", "garden chair")),
        ("color=red|blue", one_of("attributes.color", "red", "blue")),
        ("attributes.color=red", equals("attributes.color", "red")),
        ('"colour (outside)"=red', equals("attributes.colour (outside)", "red")),
        ("size=42", equals("attributes.size", 42)),
        ('size="42"', equals("attributes.size", "42")),
        ("code=007", equals("attributes.code", "007")),
        ("brand=3M", equals("brand", "3M")),
        ("title=42", equals("title", "42")),
        ("price=24.90", equals("price_minor", 2490)),
        ("price<30", between("price_minor", at_most=2999)),
        ("price>30", between("price_minor", at_least=3001)),
        ("price<=30.5", between("price_minor", at_most=3050)),
        ("price_minor>=3000", between("price_minor", at_least=3000)),
        ("price<3000,currency=JPY", all_of(between("price_minor", at_most=2999), equals("currency", "JPY"))),
        ("litres<0.5", between("attributes.litres", at_most=math.nextafter(0.5, 0))),
        ("litres>0.5", between("attributes.litres", at_least=math.nextafter(0.5, 1))),
        ("brand!=a|b", all_of(not_equals("brand", "a"), not_equals("brand", "b"))),
        ("in_stock=true", equals("in_stock", True)),
        ('title="a, b | \\"c\\""', equals("title", 'a, b | "c"')),
    ],
)
def test_the_grammar_is_as_the_help_says(typed: str, meant: Filter) -> None:
    assert parse(typed) == meant


@pytest.mark.parametrize(
    "typed",
    ["", "mug", "=mug", "category=", "category=,x=1", "a=1,", "a==1", 'a="', "a=1|", "price=1,99", "price=1.234"],
)
def test_what_cannot_be_read_is_refused(typed: str) -> None:
    with pytest.raises(BadExpression):
        parse(typed)


@pytest.mark.parametrize(
    "typed",
    ["price<cheap", "color<red", "size<1|2", "in_stock=maybe", "in_stock>1", "price<3,currency=euro"],
)
def test_what_cannot_be_meant_is_refused(typed: str) -> None:
    with pytest.raises(BadExpression):
        parse(typed)
