import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike_router.answer import Page
from lookalike_router.scan import by_product, page, position
from lookalike_router.shard import Stored
from lookalike_router.slots import SLOTS, SlotRange

# Few slots, so that products share them; the ends of the range among them.
SLOT = st.sampled_from([0, 1, 7, 8_000, SLOTS - 1])
PRODUCTS = st.dictionaries(st.tuples(SLOT, st.text("abc", min_size=1, max_size=3)), st.integers(1, 300), max_size=8)


def rows_of(products: dict[tuple[int, str], int]) -> list[Stored]:
    return [
        Stored(product_id, f"{i}", slot, 1, "m", {}, {})
        for (slot, product_id), pictures in products.items()
        for i in range(pictures)
    ]


async def read(rows: list[Stored], after: tuple[int, str] | None, limit: int, windows: list[SlotRange]) -> Page:
    def seen(window: SlotRange) -> list[Stored]:
        return [row for row in rows if window.first <= row.slot <= window.last]

    async def count(window: SlotRange) -> int:
        return len(seen(window))

    async def fetch(window: SlotRange) -> list[Stored]:
        windows.append(window)
        return seen(window)[::-1]

    return await page(after, limit, count, fetch)


@settings(deadline=None, max_examples=40)
@given(PRODUCTS, st.integers(1, 5))
async def test_pages_hold_every_product_once_and_in_order(products: dict[tuple[int, str], int], limit: int) -> None:
    rows = rows_of(products)
    found: list[tuple[int, str]] = []
    after = None
    while True:
        one = await read(rows, after, limit, [])
        assert len(one.products) <= limit
        found += [position(rows) for rows in one.products]
        if one.next is None:
            break
        assert len(one.products) == limit
        after = one.next
    assert found == sorted(products)


async def test_a_large_shop_is_read_in_windows_of_a_bounded_size() -> None:
    rows = [Stored(f"p{i}", "x", i, 1, "m", {}, {}) for i in range(0, SLOTS, 2)]
    windows: list[SlotRange] = []
    one = await read(rows, None, 50, windows)
    assert len(one.products) == 50
    assert all(len(window) <= 600 for window in windows)
    assert len(windows) <= 2


async def test_an_empty_shop_is_one_empty_page() -> None:
    assert await read([], None, 10, []) == Page([], None)


@pytest.mark.parametrize("versions", [(1, 2), (2, 1)])
def test_a_product_is_shown_in_its_newest_version_alone(versions: tuple[int, int]) -> None:
    rows = [Stored("p", f"{version}", 5, version, "m", {}, {}) for version in versions]
    [[shown]] = by_product(rows)
    assert shown.version == 2
