"""Amounts of money, exact, in the minor unit of their currency. Knows nothing of exchange rates."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from lookalike.errors import InvalidArgument

# The active codes of ISO 4217 by the digits after their decimal point. Codes without a minor unit
# (gold, bonds, test codes) are left out: nothing in a shop is priced in them.
_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
        CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
        HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
        MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
        SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG
        YER ZAR ZMW ZWG""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()}
_AMOUNT_MINOR_MAX = 2**63 - 1  # int64 on the wire

# One dot and no grouping: "1,299" is a thousand and more in one country and about one in another.
_AMOUNT = re.compile(r"(\d{1,19})(?:\.(\d{1,19}))?", re.ASCII)


def exponent(currency: str) -> int:
    """Return how many digits `currency` has after the decimal point.

    >>> exponent("EUR"), exponent("JPY"), exponent("KWD")
    (2, 0, 3)
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise InvalidArgument(
            f"unknown currency {currency!r}: give an ISO 4217 code in capitals, for example EUR", reason="INVALID_FIELD"
        ) from None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor unit of its currency.

    >>> str(Money(2490, "EUR")), str(Money(2490, "JPY"))
    ('24.90 EUR', '2490 JPY')
    """

    amount_minor: int
    currency: str

    @classmethod
    def parse(cls, amount: str, currency: str) -> Self:
        """Read a decimal amount exactly; refuse what `currency` cannot hold.

        >>> Money.parse("24.90", "EUR")
        Money(amount_minor=2490, currency='EUR')
        """
        digits = exponent(currency)
        match = _AMOUNT.fullmatch(amount.strip())
        if match is None:
            raise InvalidArgument(
                f"bad amount {amount!r}: write digits with a dot and nothing else, for example 24.90",
                reason="INVALID_FIELD",
            )
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > digits:
            raise InvalidArgument(
                f"bad amount {amount!r}: {currency} has {digits} digits after the dot", reason="INVALID_FIELD"
            )
        minor = int(whole + fraction.ljust(digits, "0"))
        if minor > _AMOUNT_MINOR_MAX:
            raise InvalidArgument(f"bad amount {amount!r}: too large", reason="INVALID_FIELD")
        return cls(minor, currency)

    @property
    def amount(self) -> Decimal:
        """Return the amount in the major unit.

        >>> Money(2490, "EUR").amount
        Decimal('24.90')
        """
        return Decimal(self.amount_minor).scaleb(-exponent(self.currency))

    def __str__(self) -> str:
        if self.currency not in _EXPONENTS:  # a newer currency than this table, read from a shop
            return f"{self.amount_minor} minor units of {self.currency}"
        return f"{self.amount:f} {self.currency}"
