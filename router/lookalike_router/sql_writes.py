"""Holds, hints, tombstones and answers, in one transaction each. Of the map it knows which replicas are in sync."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from lookalike_router.errors import LeaseLost, StaleMap
from lookalike_router.sql_database import Transaction
from lookalike_router.sql_map import EPOCH, counter, raise_epoch, set_counter, set_sync, syncs
from lookalike_router.sql_schema import ANSWERS, HINTS, HOLDS, REPLICAS, ROUTERS, TOMBSTONES
from lookalike_router.store import (
    ANSWERS_KEPT_S,
    RECHECK_AFTER_S,
    ROUTERS_KEPT_S,
    TOMBSTONES_KEPT_S,
    VERSION_BITS,
    Answer,
    Begun,
    Busy,
    Finish,
    Hint,
    HintCount,
    Sync,
    Tombstone,
)

VERSION, TOMBSTONE, HINT = "version", "tombstone", "hint"


def begin(tx: Transaction, router: str, product_ids: Sequence[str], epoch: int) -> list[Begun | Busy]:
    """Take hold of products; see Store.begin."""
    live = set(tx.connection.execute(select(ROUTERS.c.router).where(ROUTERS.c.until > tx.now)).scalars())
    if router not in live:
        raise LeaseLost("the lease of this router has ended; send the write again")
    if counter(tx, EPOCH) != epoch:
        raise StaleMap("the map has changed")
    held = {
        row.product_id: row for row in tx.connection.execute(select(HOLDS).where(HOLDS.c.product_id.in_(product_ids)))
    }
    feared = select(HINTS.c.product_id).where(HINTS.c.product_id.in_(product_ids), HINTS.c.unknown)
    suspects = set(tx.connection.execute(feared).scalars())
    dead = deaths(tx, product_ids)
    version = counter(tx, VERSION)
    outcome: list[Begun | Busy] = []
    for product_id in product_ids:
        hold = held.get(product_id)
        if hold is not None and not hold.let_go and hold.router in live:
            outcome.append(Busy(product_id))
            continue
        version = max(int(tx.now * 1000) << VERSION_BITS, version + 1, dead.get(product_id, 0) + 1)
        left = hold is not None
        outcome.append(Begun(product_id, version, dead.get(product_id, 0), left or product_id in suspects, left))
    taken = [one for one in outcome if isinstance(one, Begun)]
    if taken:
        _hold(tx, router, taken)
        set_counter(tx, VERSION, version)
    return outcome


def _hold(tx: Transaction, router: str, taken: Sequence[Begun]) -> None:
    left = [one.product_id for one in taken if one.left]
    if left:
        tx.connection.execute(delete(HOLDS).where(HOLDS.c.product_id.in_(left)))
    fields = {"router": router, "let_go": False, "taken_at": tx.now}
    tx.connection.execute(
        insert(HOLDS), [{"product_id": one.product_id, "version": one.version, **fields} for one in taken]
    )


def finish(tx: Transaction, router: str, left: Finish) -> int:
    """Write what a batch left and let go of its products; see Store.finish."""
    names = [one.product_id for one in left.begun]
    mine = select(HOLDS.c.product_id, HOLDS.c.version).where(HOLDS.c.product_id.in_(names), HOLDS.c.router == router)
    held = {row.product_id: row.version for row in tx.connection.execute(mine)}
    if any(held.get(one.product_id) != one.version for one in left.begun):
        raise LeaseLost("another router has taken over what this one was writing; whether it was written is unknown")
    if names:
        tx.connection.execute(delete(HOLDS).where(HOLDS.c.product_id.in_(names)))
    _catch_up(tx, left.caught_up)
    raised = _hint(tx, left) or left.announce
    _bury(tx, left.tombstones)
    for answer in left.answers:
        record(tx, answer)
    return raise_epoch(tx) if raised else counter(tx, EPOCH)


def _catch_up(tx: Transaction, hints: Sequence[Hint]) -> None:
    again: list[dict[str, Any]] = []
    for hint in hints:
        this = (
            HINTS.c.replica == hint.replica,
            HINTS.c.product_id == hint.product_id,
            HINTS.c.number == hint.number,
        )
        known = tx.connection.execute(select(HINTS).where(*this)).first()
        if known is None:
            continue
        tx.connection.execute(delete(HINTS).where(*this))
        if known.unknown and not known.recheck:
            again.append(_row(tx, hint.replica, hint.product_id, unknown=True, recheck=True))
    _insert(tx, again)


def _hint(tx: Transaction, left: Finish) -> bool:
    """Write hints and rechecks; return whether a replica fell behind by them."""
    if not left.hints and not left.rechecks:
        return False
    sync = syncs(tx)
    asked = {product_id for _, product_id, _ in left.hints} | {product_id for _, product_id in left.rechecks}
    found = tx.connection.execute(select(HINTS).where(HINTS.c.product_id.in_(asked)))
    known: dict[tuple[str, str], Any] = {(row.replica, row.product_id): row for row in found}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for replica, product_id, unknown in left.hints:
        old = known.get((replica, product_id))
        row = _row(tx, replica, product_id, unknown=unknown or (old is not None and old.unknown), recheck=False)
        if old is not None and not old.recheck:
            row["at"] = old.at
        rows[replica, product_id] = row
    for replica, product_id in left.rechecks:
        old, new = known.get((replica, product_id)), rows.get((replica, product_id))
        if new is not None:
            new["unknown"] = True
        elif old is not None and not old.recheck:
            rows[replica, product_id] = {**old._mapping, "unknown": True}
        else:
            rows[replica, product_id] = _row(tx, replica, product_id, unknown=True, recheck=True)
    rows = {key: row for key, row in rows.items() if key[0] in sync}
    for replica, product_id in rows.keys() & known.keys():
        tx.connection.execute(delete(HINTS).where(HINTS.c.replica == replica, HINTS.c.product_id == product_id))
    _insert(tx, list(rows.values()))
    behind = sorted({one for one, _, _ in left.hints if sync.get(one) is Sync.IN_SYNC})
    if behind:
        set_sync(tx, behind, Sync.BEHIND)
    return bool(behind)


def _row(tx: Transaction, replica: str, product_id: str, *, unknown: bool, recheck: bool) -> dict[str, Any]:
    due_at = tx.now + RECHECK_AFTER_S if recheck else 0.0
    flags = {"unknown": unknown, "recheck": recheck, "number": 0, "due_at": due_at, "at": tx.now}
    return {"replica": replica, "product_id": product_id, **flags}


def _insert(tx: Transaction, rows: list[dict[str, Any]]) -> None:
    """Insert hints, each under a number of its own."""
    if not rows:
        return
    number = counter(tx, HINT)
    for row in rows:
        number += 1
        row["number"] = number
    set_counter(tx, HINT, number)
    tx.connection.execute(insert(HINTS), rows)


def _bury(tx: Transaction, tombstones: Mapping[str, int]) -> None:
    if not tombstones:
        return
    known = deaths(tx, list(tombstones))
    number = counter(tx, TOMBSTONE)
    rows = []
    for product_id, version in tombstones.items():
        number += 1
        newest = max(version, known.get(product_id, 0))
        rows.append({"product_id": product_id, "number": number, "version": newest, "at": tx.now})
    if known:
        tx.connection.execute(delete(TOMBSTONES).where(TOMBSTONES.c.product_id.in_(list(known))))
    tx.connection.execute(insert(TOMBSTONES), rows)
    set_counter(tx, TOMBSTONE, number)


def let_go(tx: Transaction, router: str, product_ids: Sequence[str]) -> None:
    """Let go of those of these products that the router holds."""
    mine = (HOLDS.c.router == router, HOLDS.c.product_id.in_(product_ids))
    tx.connection.execute(update(HOLDS).where(*mine).values(let_go=True))


def orphans(tx: Transaction, limit: int) -> list[str]:
    """Return products that were let go, or that dead routers hold, the oldest first."""
    live = select(ROUTERS.c.router).where(ROUTERS.c.until > tx.now)
    left = select(HOLDS.c.product_id).where(or_(HOLDS.c.let_go, HOLDS.c.router.not_in(live)))
    return list(tx.connection.execute(left.order_by(HOLDS.c.taken_at, HOLDS.c.product_id).limit(limit)).scalars())


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


def tombstones(tx: Transaction, after: int, age_s: float, limit: int) -> list[Tombstone]:
    """Return tombstones with a number above `after` and not older than `age_s`, in order."""
    wanted = select(TOMBSTONES).where(TOMBSTONES.c.number > after, TOMBSTONES.c.at >= tx.now - age_s)
    rows = tx.connection.execute(wanted.order_by(TOMBSTONES.c.number).limit(limit))
    return [Tombstone(row.number, row.product_id, row.version) for row in rows]


def deaths(tx: Transaction, product_ids: Sequence[str]) -> dict[str, int]:
    """Return for each of these products that has a tombstone up to which version its rows are dead."""
    wanted = select(TOMBSTONES.c.product_id, TOMBSTONES.c.version).where(TOMBSTONES.c.product_id.in_(product_ids))
    return {row.product_id: row.version for row in tx.connection.execute(wanted)}


def answers(tx: Transaction, request_ids: Sequence[str]) -> dict[str, Answer]:
    """Return the first answers to these requests."""
    rows = tx.connection.execute(select(ANSWERS).where(ANSWERS.c.request_id.in_(request_ids)))
    return {row.request_id: Answer(row.request_id, row.digest, row.text) for row in rows}


def record(tx: Transaction, answer: Answer) -> None:
    """Keep the first answer to a request."""
    if not answers(tx, [answer.request_id]):
        row = {"request_id": answer.request_id, "digest": answer.digest, "text": answer.text, "at": tx.now}
        tx.connection.execute(insert(ANSWERS).values(row))


def prune(tx: Transaction) -> None:
    """Forget what no one can need any more; see Store.prune."""
    tx.connection.execute(delete(ANSWERS).where(ANSWERS.c.at < tx.now - ANSWERS_KEPT_S))
    tx.connection.execute(delete(ROUTERS).where(ROUTERS.c.until < tx.now - ROUTERS_KEPT_S))
    unsettled = (
        select(HINTS.c.replica).limit(1),
        select(HOLDS.c.router).limit(1),
        select(REPLICAS.c.name).where(REPLICAS.c.sync != Sync.IN_SYNC.value).limit(1),
    )
    if all(tx.connection.execute(one).first() is None for one in unsettled):
        tx.connection.execute(delete(TOMBSTONES).where(TOMBSTONES.c.at < tx.now - TOMBSTONES_KEPT_S))
