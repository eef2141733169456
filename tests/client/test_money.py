from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import InvalidArgument, Money
from lookalike.money import exponent

CODES = {"JPY": 0, "EUR": 2, "KWD": 3, "CLF": 4}


@given(minor=st.integers(0, 2**63 - 1), currency=st.sampled_from(sorted(CODES)))
def test_an_amount_survives_being_written_and_read(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert Money.parse(str(money).removesuffix(f" {currency}"), currency) == money
    assert money.amount == Decimal(minor) / 10 ** CODES[currency]


@given(whole=st.integers(0, 10**9), fraction=st.text("0123456789", max_size=4), currency=st.sampled_from(sorted(CODES)))
def test_a_decimal_is_read_exactly_or_refused(whole: int, fraction: str, currency: str) -> None:
    text = f"{whole}.{fraction}" if fraction else str(whole)
    if len(fraction.rstrip("0")) <= CODES[currency]:
        assert Money.parse(text, currency).amount == Decimal(text)
    else:
        with pytest.raises(InvalidArgument, match="digits after the dot"):
            Money.parse(text, currency)


@pytest.mark.parametrize("amount", ["", "1,299.00", "24,90", "-1", "+1", "1e3", "NaN", "1.", ".5", "€5", "٣", "9" * 19])
def test_an_amount_that_could_mean_two_things_is_refused(amount: str) -> None:
    with pytest.raises(InvalidArgument):
        Money.parse(amount, "EUR")


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "EURO"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(InvalidArgument, match="ISO 4217"):
        Money.parse("1", currency)


def test_a_currency_newer_than_the_table_can_still_be_read() -> None:
    assert str(Money(5, "QQQ")) == "5 minor units of QQQ"


def test_every_currency_of_the_table_has_a_sensible_exponent() -> None:
    assert {exponent(code) for code in ("EUR", "USD", "SEK", "JPY", "KRW", "BHD", "CLF")} == {0, 2, 3, 4}
