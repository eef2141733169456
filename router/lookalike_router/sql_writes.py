"""Keeps who writes what, what is dead, and which answers were given. Knows no vectors, and of the map its epoch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import and_, delete, insert, or_, select, update

from lookalike_router import sql_hints, sql_jobs
from lookalike_router.errors import LeaseLost, StaleMap
from lookalike_router.sql_database import Transaction
from lookalike_router.sql_map import EPOCH, MAPPED, counter, counters, load, raise_epoch, set_counter
from lookalike_router.sql_schema import ANSWERS, HINTS, HOLDS, REPLICAS, ROUTERS, TOMBSTONES
from lookalike_router.store import (
    ANSWERS_KEPT_S,
    REPLACED_KEPT_S,
    ROUTERS_KEPT_S,
    TOMBSTONES_KEPT_S,
    UNFINISHED_MAX,
    VERSION_BITS,
    Answer,
    Begun,
    Busy,
    Finish,
    News,
    Sync,
    Tombstone,
    Unfinished,
)

VERSION, TOMBSTONE = "version", "tombstone"


def begin(
    tx: Transaction, router: str, product_ids: Sequence[str], epoch: int, given: Mapping[str, Answer]
) -> list[Begun | Busy]:
    """Take hold of products; see Store.begin."""
    live = set(tx.connection.execute(select(ROUTERS.c.router).where(ROUTERS.c.until > tx.now)).scalars())
    if router not in live:
        raise LeaseLost("the lease of this router has ended; send the write again")
    counted = counters(tx)
    if not 0 < counted.get(MAPPED, 0) <= epoch <= counted[EPOCH]:
        raise StaleMap(f"the map has epoch {counted.get(EPOCH, 0)}, not {epoch}")
    rows = tx.connection.execute(select(HOLDS).where(tx.among(HOLDS.c.product_id, product_ids)))
    held = {row.product_id: row for row in rows}
    feared = select(HINTS.c.product_id).where(tx.among(HINTS.c.product_id, product_ids), HINTS.c.unknown)
    suspects = set(tx.connection.execute(feared).scalars())
    dead = deaths(tx, product_ids)
    waiting = sql_jobs.paused(tx, product_ids) if counted.get(sql_jobs.MOVING) else set()
    version = counted.get(VERSION, 0)
    taken: dict[str, Begun] = {}
    outcome: list[Begun | Busy] = []
    for product_id in product_ids:
        hold = held.get(product_id)
        in_hand = hold is not None and not hold.let_go and hold.router in live
        if product_id in taken or product_id in waiting or in_hand:
            outcome.append(Busy(product_id))
            continue
        version = max(int(tx.now * 1000) << VERSION_BITS, version + 1, dead.get(product_id, 0) + 1)
        left = hold is not None
        unfinished = _opened(hold.unfinished) if hold is not None else ()
        begun = Begun(product_id, version, dead.get(product_id, 0), left or product_id in suspects, left, unfinished)
        taken[product_id] = begun
        outcome.append(begun)
    if taken:
        _hold(tx, router, list(taken.values()), given)
        set_counter(tx, VERSION, version)
    return outcome


def _hold(tx: Transaction, router: str, taken: Sequence[Begun], given: Mapping[str, Answer]) -> None:
    left = [one.product_id for one in taken if one.left]
    if left:
        tx.connection.execute(delete(HOLDS).where(tx.among(HOLDS.c.product_id, left)))
    fields = {"router": router, "let_go": False}
    rows = [
        {"product_id": one.product_id, "version": one.version, "unfinished": _closed(one, given), **fields}
        for one in taken
    ]
    tx.connection.execute(insert(HOLDS), rows)


def _closed(begun: Begun, given: Mapping[str, Answer]) -> str:
    """Return what a hold keeps of the writes under requests that it stands for, as JSON."""
    mine = [Unfinished(begun.version, given[begun.product_id])] if begun.product_id in given else []
    return json.dumps([asdict(one) for one in [*begun.unfinished, *mine][-UNFINISHED_MAX:]])


def _opened(text: str) -> tuple[Unfinished, ...]:
    return tuple(Unfinished(one["version"], Answer(**one["answer"])) for one in json.loads(text))


def finish(tx: Transaction, router: str, left: Finish) -> int:
    """Write what a batch left and let go of its products; see Store.finish."""
    names = [one.product_id for one in left.begun]
    mine = and_(tx.among(HOLDS.c.product_id, names), HOLDS.c.router == router, ~HOLDS.c.let_go)
    rows = tx.connection.execute(select(HOLDS.c.product_id, HOLDS.c.version).where(mine)) if names else ()
    held = {row.product_id: row.version for row in rows}
    if any(held.get(one.product_id) != one.version for one in left.begun):
        raise LeaseLost("another router has taken over what this one was writing; whether it was written is unknown")
    if names:
        tx.connection.execute(delete(HOLDS).where(tx.among(HOLDS.c.product_id, names)))
    mapped = sql_hints.leave(tx, left)
    _bury(tx, left.tombstones, left.replaced)
    record(tx, left.answers)
    return raise_epoch(tx, mapped=mapped) if mapped or left.announce else counter(tx, EPOCH)


def _bury(tx: Transaction, tombstones: Mapping[str, int], replaced: Mapping[str, int]) -> None:
    dead = {**replaced, **tombstones}
    if not dead:
        return
    known = deaths(tx, list(dead))
    number = counter(tx, TOMBSTONE)
    rows = []
    for product_id, version in dead.items():
        number += 1
        newest = max(version, known.get(product_id, 0))
        facts = {"version": newest, "replaced": product_id not in tombstones, "at": tx.now}
        rows.append({"product_id": product_id, "number": number, **facts})
    if known:
        tx.connection.execute(delete(TOMBSTONES).where(tx.among(TOMBSTONES.c.product_id, list(known))))
    tx.connection.execute(insert(TOMBSTONES), rows)
    set_counter(tx, TOMBSTONE, number)


def let_go(tx: Transaction, router: str, product_ids: Sequence[str]) -> None:
    """Let go of those of these products that the router holds."""
    mine = (HOLDS.c.router == router, tx.among(HOLDS.c.product_id, product_ids))
    tx.connection.execute(update(HOLDS).where(*mine).values(let_go=True))


def unsettled(tx: Transaction, product_ids: Sequence[str]) -> set[str]:
    """Return those of these products that somebody holds or let go, or that are suspect."""
    held = select(HOLDS.c.product_id).where(tx.among(HOLDS.c.product_id, product_ids))
    feared = select(HINTS.c.product_id).where(tx.among(HINTS.c.product_id, product_ids), HINTS.c.unknown)
    return {*tx.connection.execute(held).scalars(), *tx.connection.execute(feared).scalars()}


def orphans(tx: Transaction, limit: int) -> list[str]:
    """Return products that were let go, or that dead routers hold, the oldest first."""
    live = select(ROUTERS.c.router).where(ROUTERS.c.until > tx.now)
    left = select(HOLDS.c.product_id).where(or_(HOLDS.c.let_go, HOLDS.c.router.not_in(live)))
    return list(tx.connection.execute(left.order_by(HOLDS.c.version).limit(limit)).scalars())


def tombstones(tx: Transaction, after: int, age_s: float, limit: int) -> list[Tombstone]:
    """Return tombstones with a number above `after` and not older than `age_s`, in order."""
    wanted = select(TOMBSTONES).where(TOMBSTONES.c.number > after, TOMBSTONES.c.at >= tx.now - age_s)
    rows = tx.connection.execute(wanted.order_by(TOMBSTONES.c.number).limit(limit))
    return [Tombstone(row.number, row.product_id, row.version, tx.now - row.at) for row in rows]


def news(tx: Transaction, epoch: int, after: int, age_s: float, limit: int) -> News:
    """Return what has changed; see Store.news."""
    return News(load(tx) if counter(tx, EPOCH) > epoch else None, tombstones(tx, after, age_s, limit))


def deaths(tx: Transaction, product_ids: Sequence[str]) -> dict[str, int]:
    """Return for each of these products that has a tombstone up to which version its rows are dead."""
    wanted = select(TOMBSTONES.c.product_id, TOMBSTONES.c.version).where(tx.among(TOMBSTONES.c.product_id, product_ids))
    return {row.product_id: row.version for row in tx.connection.execute(wanted)}


def answers(tx: Transaction, request_ids: Sequence[str]) -> dict[str, Answer]:
    """Return the first answers to these requests."""
    rows = tx.connection.execute(select(ANSWERS).where(tx.among(ANSWERS.c.request_id, request_ids)))
    return {row.request_id: Answer(row.request_id, row.digest, row.text) for row in rows}


def record(tx: Transaction, given: Sequence[Answer]) -> None:
    """Keep the first answers to requests."""
    first = {one.request_id: one for one in reversed(given)}
    known = answers(tx, list(first)) if first else {}
    new = [{**asdict(one), "at": tx.now} for one in first.values() if one.request_id not in known]
    if new:
        tx.connection.execute(insert(ANSWERS), new)


def prune(tx: Transaction) -> None:
    """Forget what no one can need any more; see Store.prune."""
    tx.connection.execute(delete(ANSWERS).where(ANSWERS.c.at < tx.now - ANSWERS_KEPT_S))
    tx.connection.execute(delete(ROUTERS).where(ROUTERS.c.until < tx.now - ROUTERS_KEPT_S))
    tx.connection.execute(delete(TOMBSTONES).where(TOMBSTONES.c.replaced, TOMBSTONES.c.at < tx.now - REPLACED_KEPT_S))
    unsettled = (
        select(HINTS.c.replica).limit(1),
        select(HOLDS.c.router).limit(1),
        select(REPLICAS.c.name).where(REPLICAS.c.sync != Sync.IN_SYNC.value).limit(1),
    )
    if not counter(tx, sql_jobs.MOVING) and all(tx.connection.execute(one).first() is None for one in unsettled):
        tx.connection.execute(delete(TOMBSTONES).where(TOMBSTONES.c.at < tx.now - TOMBSTONES_KEPT_S))
