"""Keeps hints: which product a replica may lack. Knows no holds, and of the map what each replica holds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from sqlalchemy import delete, func, insert, select

from lookalike_router.sql_database import Transaction
from lookalike_router.sql_map import counter, set_counter, set_sync, syncs
from lookalike_router.sql_schema import HINTS
from lookalike_router.store import RECHECK_AFTER_S, Finish, Hint, HintCount, Sync, keep_one_in_sync

HINT = "hint"
Key = tuple[str, str]
"""A replica and a product."""


@dataclass(frozen=True)
class _Row:
    replica: str
    product_id: str
    number: int
    unknown: bool
    recheck: bool
    due_at: float
    at: float


def leave(tx: Transaction, left: Finish) -> bool:
    """Write what a batch says about replicas that lack something; return whether one fell behind by it."""
    asked = {one for _, one, _ in left.hints} | {one.product_id for one in left.caught_up}
    asked |= {one for _, one in left.rechecks}
    if not asked:
        return False
    sync = syncs(tx)
    keep_one_in_sync(sync, {replica for replica, _, _ in left.hints})
    book = _Book(tx, asked)
    for replica, product_id, unknown in left.hints:
        if replica in sync:  # it may have been removed meanwhile
            book.lack((replica, product_id), unknown)
    for hint in left.caught_up:
        book.catch_up(hint)
    for replica, product_id in left.rechecks:
        if replica in sync:
            book.recheck((replica, product_id))
    book.write(tx)
    behind = sorted({replica for replica, _, _ in left.hints if sync.get(replica) is Sync.IN_SYNC})
    if behind:
        set_sync(tx, behind, Sync.BEHIND)
    return bool(behind)


class _Book:
    """The hints of some products, as they were and as they shall be."""

    def __init__(self, tx: Transaction, product_ids: Collection[str]) -> None:
        found = tx.connection.execute(select(HINTS).where(tx.among(HINTS.c.product_id, sorted(product_ids))))
        self._was = {(row.replica, row.product_id): _Row(**row._mapping) for row in found}
        self._is = dict(self._was)
        self._number = self._first = counter(tx, HINT)
        self._now = tx.now

    def lack(self, key: Key, unknown: bool) -> None:
        """Say that a replica lacks a write."""
        known = self._is.get(key)
        at = known.at if known is not None and not known.recheck else self._now
        feared = known is not None and known.unknown
        self._is[key] = _Row(*key, self._next(), unknown or feared, recheck=False, due_at=self._now, at=at)

    def catch_up(self, hint: Hint) -> None:
        """Say that a hint is no more true, unless another write was missed meanwhile."""
        key = hint.replica, hint.product_id
        known = self._is.get(key)
        if known is not None and known.number == hint.number:
            del self._is[key]
            if known.unknown and not known.recheck:
                self.recheck(key)

    def recheck(self, key: Key) -> None:
        """Have a product looked at once more; one whose hint is pending will be, as its write is unknown now."""
        known = self._is.get(key)
        if known is not None and not known.recheck:
            self._is[key] = replace(known, unknown=True)
            return
        due_at = self._now + RECHECK_AFTER_S
        self._is[key] = _Row(*key, self._next(), unknown=True, recheck=True, due_at=due_at, at=self._now)

    def write(self, tx: Transaction) -> None:
        """Write what has changed."""
        gone = [key for key, row in self._was.items() if self._is.get(key) != row]
        new = [asdict(row) for key, row in self._is.items() if self._was.get(key) != row]
        for replica in sorted({of for of, _ in gone}):
            named = [product_id for of, product_id in gone if of == replica]
            tx.connection.execute(delete(HINTS).where(HINTS.c.replica == replica, tx.among(HINTS.c.product_id, named)))
        if new:
            tx.connection.execute(insert(HINTS), new)
        if self._number > self._first:
            set_counter(tx, HINT, self._number)

    def _next(self) -> int:
        self._number += 1
        return self._number


def hints(tx: Transaction, replica: str, limit: int) -> list[Hint]:
    """Return hints of a replica that are due, the oldest first; rechecks after all others."""
    due = select(HINTS).where(HINTS.c.replica == replica, HINTS.c.due_at <= tx.now)
    return [
        Hint(row.replica, row.product_id, row.unknown, row.recheck, max(tx.now - row.at, 0.0), row.number)
        for row in tx.connection.execute(due.order_by(HINTS.c.recheck, HINTS.c.number).limit(limit))
    ]


def hint_counts(tx: Transaction) -> dict[str, HintCount]:
    """Return how far each replica is behind."""
    counts = select(HINTS.c.replica, func.count().label("pending"), func.min(HINTS.c.at).label("oldest"))
    rows = tx.connection.execute(counts.where(HINTS.c.recheck.is_(False)).group_by(HINTS.c.replica))
    return {row.replica: HintCount(row.pending, max(tx.now - row.oldest, 0.0)) for row in rows}
