"""Remembers which rows are dead though a replica may still show them. Knows no store and no shard.

A tombstone says: every row of a product up to a version is dead. Readers drop such rows; that closes the time between
a late write's arrival and its removal. Only the recent ones are needed here: a write that is older than RECENT_S has
arrived or never will. The store keeps them longer, for repairs.
"""

from collections import OrderedDict
from collections.abc import Callable

# Far beyond the life of a request: deadlines are seconds, and a server that was paused works off what waits at once.
RECENT_S = 900.0
# 10 deletes and 50 writes a second for RECENT_S; beyond it the oldest go first.
TOMBSTONES_MAX = 60_000


class Tombstones:
    """The recent tombstones, by product."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take a clock that only moves on."""
        self._now_s = now_s
        self._dead: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, product_id: str, version: int) -> None:
        """Take note that every row of a product up to `version` is dead."""
        known = self._dead.pop(product_id, (0, 0.0))[0]
        self._dead[product_id] = max(known, version), self._now_s()
        self._forget()

    def dead(self, product_id: str, version: int) -> bool:
        """Say whether a row is dead."""
        found = self._dead.get(product_id)
        return found is not None and version <= found[0]

    def __len__(self) -> int:
        return len(self._dead)

    def _forget(self) -> None:
        before = self._now_s() - RECENT_S
        while self._dead:
            product_id, (_, at) = next(iter(self._dead.items()))
            if at >= before and len(self._dead) <= TOMBSTONES_MAX:
                return
            del self._dead[product_id]
