"""Finds the products in a window of slots that are not alike, or not right, on all replicas. Changes nothing.

One replica is listed row by row, so that what is dead, or there in two versions, is found even where all replicas
agree on it, or where there is only one. The others give a count and a hash for each slot, and list the slots that
differ. Nobody waits for writers meanwhile: what is found may be a write under way, and is only a suspicion.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lookalike_router.columns import key_of
from lookalike_router.digest import digests
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import Digest, Head
from lookalike_router.slots import SlotRange, ranges, slot_of
from lookalike_router.windows import Width, sample

# A server that is well lists a window in well below a second; one that takes so long is in trouble, and is left out.
CALL_DEADLINE_S = 10.0
# Servers parse a few ranges at once with ease, and thousands not at all; beyond this the whole window is listed.
RUNS_LISTED_MAX = 32

Deaths = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
"""Says for products up to which version their rows are dead; see Store.deaths."""


@dataclass(frozen=True)
class Compared:
    """What was found in one window."""

    slots: SlotRange
    rows: int
    """On all replicas together."""
    suspects: Mapping[str, int]
    """Products that are not alike everywhere, or not right, and how many rows each has."""
    unreached: tuple[str, ...]
    """Replicas that could not be asked."""


async def compare(replicas: Sequence[Replica], run: SlotRange, width: Width, deaths: Deaths) -> Compared:
    """Compare replicas in the beginning of a run of slots, or in all of it if none of them answers."""
    while True:
        window, left, counted = await _cut(replicas, run, width)
        found = await _listed(window, left, deaths)
        if found is not None and (counted or len(found.reached) == len(left)):
            width.learn(window, found.rows_most)
            unreached = tuple(one.name for one in replicas if one.name not in found.reached)
            return Compared(window, found.rows, found.suspects, unreached)
        if counted or not left:
            return Compared(run, 0, {}, tuple(one.name for one in replicas))
        # Were there more rows in the window than a shard lists at once? Then counting tells.
        width.forget()


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


async def _cut(replicas: Sequence[Replica], run: SlotRange, width: Width) -> tuple[SlotRange, list[Replica], bool]:
    """Return the beginning of a run, the replicas to ask for it, and whether its rows were counted now."""
    left = [one for one in replicas if not isinstance(one.state, Away)]
    counted = not width.known
    if counted:
        some = sample(run)
        counts = await asyncio.gather(
            *(one.answer(partial(one.shard.count, [some], None, CALL_DEADLINE_S)) for one in left)
        )
        rows = {one: count for one, count in zip(left, counts, strict=True) if count is not None}
        left = list(rows)
        width.learn(some, max(rows.values(), default=0))
    return width.cut(run), left, counted


@dataclass
class _Found:
    """What was found on the replicas that answered."""

    suspects: dict[str, int]
    rows: int
    rows_most: int
    """On the fullest replica."""
    reached: set[str]


async def _listed(window: SlotRange, left: Sequence[Replica], deaths: Deaths) -> _Found | None:
    """List the first replica that answers, and compare the others with it; None if none answers."""
    for at, leader in enumerate(left):
        others = left[at + 1 :]
        heads, theirs = await asyncio.gather(
            leader.answer(partial(leader.shard.heads_in, [window], CALL_DEADLINE_S)),
            asyncio.gather(*(one.answer(partial(one.shard.digests, window, CALL_DEADLINE_S)) for one in others)),
        )
        if heads is not None:
            rows = _rows_of(heads)
            wrong = doubled(heads) | dead(heads, await deaths(list(rows)))
            found = _Found({one: rows[one] for one in wrong}, len(heads), len(heads), {leader.name})
            mine = _digests(heads) if others else {}
            for other, digest in zip(others, theirs, strict=True):
                if digest is not None:
                    await _differing(window, heads, mine, other, digest, found)
            return found
    return None


async def _differing(
    window: SlotRange,
    heads: Sequence[Head],
    mine: Mapping[int, Digest],
    other: Replica,
    theirs: Mapping[int, Digest],
    found: _Found,
) -> None:
    """Add what differs on another replica to what was found."""
    slots = unlike(window, mine, theirs)
    listed = await other.answer(partial(other.shard.heads_in, slots, CALL_DEADLINE_S)) if slots else []
    if listed is None:
        return
    here = {head for head in heads if _within(slots, slot_of(head.product_id))} if slots else set()
    either = _rows_of([*here.union(listed)])
    for product_id in {head.product_id for head in here.symmetric_difference(listed)}:
        found.suspects[product_id] = max(found.suspects.get(product_id, 0), either[product_id])
    rows = sum(one.rows for one in theirs.values())
    found.rows += rows
    found.rows_most = max(found.rows_most, rows)
    found.reached.add(other.name)


def _digests(heads: Sequence[Head]) -> dict[int, Digest]:
    return digests((slot_of(one.product_id), key_of(one.product_id, one.image_id, one.version)) for one in heads)


def _rows_of(heads: Sequence[Head]) -> Counter[str]:
    return Counter(head.product_id for head in heads)


def _within(slots: Sequence[SlotRange], slot: int) -> bool:
    return any(run.first <= slot <= run.last for run in slots)
