"""Reads products in the order (slot, product_id), though shards return rows in none. Knows no shard's state.

Slots come in windows just wide enough: rows are counted first, then fetched whole and sorted here.
"""

from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import TypeVar

from lookalike_router.answer import Page
from lookalike_router.shard import ROWS_MAX, Stored
from lookalike_router.slots import SLOTS, SlotRange

R = TypeVar("R", bound=Stored)

Count = Callable[[SlotRange], Awaitable[int]]
"""Counts the rows in a window, on all its owners."""
Fetch = Callable[[SlotRange], Awaitable[list[Stored]]]
"""Returns the rows in a window, on all its owners; as many as ROWS_MAX of one owner mean that some are missing."""

# A window aims at this many rows for each product still wanted; shops have one to four pictures a product.
ROWS_PER_PRODUCT = 4
# ... and at no fewer, so that a short page is not many small windows.
ROWS_LEAST = 256


async def page(after: tuple[int, str] | None, limit: int, count: Count, fetch: Fetch) -> Page:
    """Return the `limit` products that follow `after`, each as the rows of its newest version."""
    start = after[0] if after is not None else 0
    width = SLOTS
    found: list[list[Stored]] = []
    while start < SLOTS and len(found) < limit:
        wanted = min(max(ROWS_PER_PRODUCT * (limit - len(found)), ROWS_LEAST), ROWS_MAX // 2)
        window = SlotRange(start, min(start + width, SLOTS) - 1)
        rows = await count(window)
        if rows > wanted and len(window) > 1:
            width = max(1, min(len(window) - 1, len(window) * wanted // rows))
            continue
        width = len(window) * max(2, wanted // (rows + 1))
        products = by_product(await fetch(window))
        found += [rows for rows in products if after is None or position(rows) > after]
        start = window.last + 1
    ends = len(found) <= limit and start >= SLOTS
    found = found[:limit]
    return Page(found, None if ends or not found else position(found[-1]))


def position(rows: list[Stored]) -> tuple[int, str]:
    """Return a product's place in the order."""
    return rows[0].slot, rows[0].product_id


def by_product(rows: Iterable[Stored]) -> list[list[Stored]]:
    """Return rows as products in their order, each with the pictures of its newest version."""
    ordered = sorted(rows, key=lambda row: (row.slot, row.product_id, row.image_id))
    return [newest(list(group)) for _, group in groupby(ordered, key=lambda row: (row.slot, row.product_id))]


def newest(rows: list[R]) -> list[R]:
    """Return the rows of the newest version among one product's."""
    version = max(row.version for row in rows)
    return [row for row in rows if row.version == version]
