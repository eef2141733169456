"""Finds the products in a window of slots that are not alike, or not right, on all replicas. Changes nothing.

One replica is listed row by row, so that what is dead, or there in two versions, is found even where all replicas
agree on it, or where there is only one. The others give a count and a hash for each slot, and list the slots that
differ. Nobody waits for writers meanwhile: what is found may be a write under way, and is only a suspicion.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from lookalike_router.columns import key_of
from lookalike_router.digest import digests
from lookalike_router.errors import ShardError
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import Digest, Head
from lookalike_router.slots import SlotRange, ranges, slot_of
from lookalike_router.windows import Width

# A window is listed in well below a second; a replica that takes longer is in trouble, and the next one is asked.
CALL_DEADLINE_S = 5.0
# Servers parse a few ranges at once with ease, and thousands not at all; beyond this the whole window is listed.
RUNS_LISTED_MAX = 32

Value = TypeVar("Value")
Deaths = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
"""Says for products up to which version their rows are dead; see Store.deaths."""


@dataclass(frozen=True)
class Compared:
    """What was found in one window."""

    slots: SlotRange
    rows: int
    """On all replicas together."""
    suspects: tuple[str, ...]
    """Products that are not alike everywhere, or not right."""
    unreached: tuple[str, ...]
    """Replicas that could not be asked."""


async def compare(replicas: Sequence[Replica], run: SlotRange, width: Width, deaths: Deaths) -> Compared:
    """Compare replicas in the beginning of a run of slots, or in all of it if none of them answers."""
    left = [one for one in replicas if not isinstance(one.state, Away)]
    while True:
        window, left = await _cut(left, run, width)
        if not left:
            return Compared(run, 0, (), tuple(one.name for one in replicas))
        leader, *others = left
        heads, theirs = await asyncio.gather(
            _asked(leader, partial(leader.shard.heads_in, [window], CALL_DEADLINE_S)),
            asyncio.gather(*(_asked(one, partial(one.shard.digests, window, CALL_DEADLINE_S)) for one in others)),
        )
        left = others
        if heads is None:
            continue
        found = await _differing(window, heads, dict(zip(others, theirs, strict=True)))
        suspects = found.products | doubled(heads) | dead(heads, await deaths(_products(heads)))
        unreached = tuple(one.name for one in replicas if one.name not in {leader.name, *found.reached})
        return Compared(window, len(heads) + found.rows, tuple(sorted(suspects)), unreached)


def unlike(window: SlotRange, mine: Mapping[int, Digest], theirs: Mapping[int, Digest]) -> Sequence[SlotRange]:
    """Return the slots that differ, or the whole window if they are in too many pieces to ask for."""
    slots = sorted(slot for slot in mine.keys() | theirs.keys() if mine.get(slot) != theirs.get(slot))
    runs = ranges(slots)
    return runs if len(runs) <= RUNS_LISTED_MAX else (window,)


def doubled(heads: Sequence[Head]) -> set[str]:
    """Return the products that are there in more than one version."""
    versions: dict[str, int] = {}
    return {head.product_id for head in heads if versions.setdefault(head.product_id, head.version) != head.version}


def dead(heads: Sequence[Head], deaths: Mapping[str, int]) -> set[str]:
    """Return the products of which dead rows are there."""
    return {head.product_id for head in heads if head.version <= deaths.get(head.product_id, 0)}


async def _cut(replicas: Sequence[Replica], run: SlotRange, width: Width) -> tuple[SlotRange, list[Replica]]:
    """Return the beginning of a run that holds few enough rows on every replica, and the replicas that answer."""
    left = list(replicas)
    while left:
        window = width.cut(run)
        counts = await asyncio.gather(
            *(_asked(one, partial(one.shard.count, [window], None, CALL_DEADLINE_S)) for one in left)
        )
        rows = {one: count for one, count in zip(left, counts, strict=True) if count is not None}
        left = list(rows)
        if width.fits(window, max(rows.values(), default=0)):
            return window, left
    return run, []


@dataclass(frozen=True)
class _Found:
    products: set[str]
    rows: int
    reached: set[str]


async def _differing(
    window: SlotRange, heads: Sequence[Head], theirs: Mapping[Replica, Mapping[int, Digest] | None]
) -> _Found:
    """Return the products whose rows differ between the one that was listed and the others."""
    products: set[str] = set()
    rows = 0
    reached: set[str] = set()
    mine = _digests(heads) if theirs else {}
    for replica, digest in theirs.items():
        if digest is None:
            continue
        slots = unlike(window, mine, digest)
        listed = await _asked(replica, partial(replica.shard.heads_in, slots, CALL_DEADLINE_S)) if slots else []
        if listed is None:
            continue
        reached.add(replica.name)
        rows += sum(one.rows for one in digest.values())
        here = {head for head in heads if _within(slots, slot_of(head.product_id))} if slots else set()
        products |= {head.product_id for head in here ^ set(listed)}
    return _Found(products, rows, reached)


def _digests(heads: Sequence[Head]) -> dict[int, Digest]:
    return digests((slot_of(one.product_id), key_of(one.product_id, one.image_id, one.version)) for one in heads)


def _products(heads: Sequence[Head]) -> list[str]:
    return list(dict.fromkeys(head.product_id for head in heads))


def _within(slots: Sequence[SlotRange], slot: int) -> bool:
    return any(run.first <= slot <= run.last for run in slots)


async def _asked(replica: Replica, call: Callable[[], Awaitable[Value]]) -> Value | None:
    """Return what a replica answers, None if it fails; that starts its check."""
    try:
        return await call()
    except ShardError as error:
        replica.report(error)
        return None
