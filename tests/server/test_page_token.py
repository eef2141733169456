import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.filter import Equal
from lookalike_server.errors import BadField
from lookalike_server.page_token import TOKEN_CHARS_MAX, read_page_token, write_page_token

MUGS = Equal("category", "mug")


@given(st.tuples(st.integers(0, 16_383), st.text(min_size=1, max_size=128)))
def test_a_token_says_where_to_go_on(after: tuple[int, str]) -> None:
    token = write_page_token(after, MUGS)
    assert read_page_token(token, MUGS) == after
    assert len(token) <= TOKEN_CHARS_MAX


def test_a_token_of_another_filter_is_refused() -> None:
    with pytest.raises(BadField, match="page_token"):
        read_page_token(write_page_token((1, "a"), None), MUGS)


@given(st.text(max_size=64))
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(BadField, match="page_token"):
        read_page_token(garbage, None)


def test_an_endless_token_is_refused() -> None:
    with pytest.raises(BadField, match="page_token"):
        read_page_token("A" * 10_000_000, None)
