"""Counts what an answer may be narrowed by. Pure; knows no wire and no shards."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lookalike_router.filter import Json

# Products that are counted: the largest answer a shopper can page through without asking anew.
FACETED_MAX = 200
# What a shopper can choose from; rarer values are found by looking.
VALUES_MAX = 50


@dataclass(frozen=True)
class PriceSpan:
    """What products cost in one currency, in its minor unit."""

    currency: str
    least_minor: int
    most_minor: int
    products: int


@dataclass(frozen=True)
class Facets:
    """What an answer may be narrowed by; values with their number of products, the most frequent first."""

    products: int
    categories: tuple[tuple[str, int], ...]
    brands: tuple[tuple[str, int], ...]
    in_stock: int
    prices: tuple[PriceSpan, ...]


def counted(products: Iterable[Mapping[str, Json]]) -> Facets:
    """Count the attributes of products, one mapping for each product."""
    told = list(products)
    return Facets(
        products=len(told),
        categories=values(told, "category"),
        brands=values(told, "brand"),
        in_stock=sum(one.get("in_stock") is True for one in told),
        prices=spans(told),
    )


def values(told: Iterable[Mapping[str, Json]], name: str) -> tuple[tuple[str, int], ...]:
    """Count the values of one attribute, ties in the order of the alphabet."""
    counts = Counter(value for one in told if isinstance(value := one.get(name), str) and value)
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:VALUES_MAX])


def spans(told: Iterable[Mapping[str, Json]]) -> tuple[PriceSpan, ...]:
    """Return the lowest and the highest price in each currency."""
    prices: dict[str, list[int]] = {}
    for one in told:
        amount, currency = one.get("price_minor"), one.get("currency")
        if isinstance(amount, int | float) and isinstance(currency, str) and currency:
            prices.setdefault(currency, []).append(int(amount))
    return tuple(PriceSpan(name, min(found), max(found), len(found)) for name, found in sorted(prices.items()))
