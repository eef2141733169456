from lookalike_router.filter import Json
from lookalike_server.facets import PriceSpan, counted


def test_each_product_counts_once_the_most_frequent_value_first() -> None:
    told: list[dict[str, Json]] = [
        {"category": "mug", "brand": "B"},
        {"category": "bowl", "brand": "A"},
        {"category": "mug"},
        {"in_stock": True},
    ]
    facets = counted(told)
    assert facets.products == 4
    assert facets.categories == (("mug", 2), ("bowl", 1))
    assert facets.brands == (("A", 1), ("B", 1))
    assert facets.in_stock == 1


def test_prices_are_told_by_currency() -> None:
    prices = [(500, "EUR"), (100, "EUR"), (900, "JPY"), (None, "EUR"), (100, "")]
    facets = counted({"price_minor": amount, "currency": currency} for amount, currency in prices)
    assert facets.prices == (PriceSpan("EUR", 100, 500, 2), PriceSpan("JPY", 900, 900, 1))


def test_of_nothing_nothing_is_counted() -> None:
    assert counted([]).categories == ()
