"""Remembers which rows are dead though a replica may still show them. Knows no store and no shard.

A tombstone says: every row of a product up to a version is dead. Readers drop such rows; that closes the time between
a late write's arrival and its removal. Only the recent ones are needed here: a write that is older than RECENT_S has
arrived or never will. The store keeps them longer, for repairs.

A read goes by what was dead when it began. One that fetched a product just before it was replaced must show the old
version: it has not seen the new one, and dropping the old would make the product vanish.
"""

from collections import OrderedDict
from collections.abc import Callable

# Far beyond the life of a request: deadlines are seconds, and a server that was paused works off what waits at once.
RECENT_S = 900.0
# 10 deletes and 50 writes a second for RECENT_S; beyond it the oldest go first.
PRODUCTS_MAX = 60_000
# A product that is written more often than this while a single read is under way may show a late write to that read.
PER_PRODUCT_MAX = 16


class Tombstones:
    """The recent tombstones, by product."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take a clock that only moves on."""
        self._now_s = now_s
        self._dead: OrderedDict[str, tuple[tuple[int, float], ...]] = OrderedDict()

    def add(self, product_id: str, version: int) -> None:
        """Take note that every row of a product up to `version` is dead from now on."""
        known = self._dead.pop(product_id, ())
        newest = max(known[-1][0] if known else 0, version)
        self._dead[product_id] = (*known[1 - PER_PRODUCT_MAX :], (newest, self._now_s()))
        self._forget()

    def dead(self, product_id: str, version: int, since_s: float) -> bool:
        """Say whether a row was dead at `since_s`, when the read that found it began."""
        known = self._dead.get(product_id)
        return known is not None and any(version <= dead and at <= since_s for dead, at in known)

    def __len__(self) -> int:
        return len(self._dead)

    def _forget(self) -> None:
        before = self._now_s() - RECENT_S
        while self._dead:
            product_id, known = next(iter(self._dead.items()))
            if known[-1][1] >= before and len(self._dead) <= PRODUCTS_MAX:
                return
            del self._dead[product_id]
