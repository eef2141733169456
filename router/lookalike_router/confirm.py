"""Looks at suspected products again while nobody writes them, until it is known of each whether it is right.

Knows no windows. A write in flight looks like a difference; only what differs in the router's own hands counts.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lookalike_router.atlas import Atlas
from lookalike_router.errors import LeaseLost, ShardError, StaleMap
from lookalike_router.reconcile import Reconciler

# Their writers wait while a batch is in hand: so many rows are copied in a few tenths of a second, and at 64 KB of
# attributes each they fill a quarter of what a server takes in one message. One product has no more than 32 pictures.
ROWS_AT_ONCE = 256
BATCH_DEADLINE_S = 5.0
# A writer holds a product for the time of one write; one that died holds it until its lease ends, seconds later.
BUSY_PAUSE_S = 0.25
TRIES_MAX = 40


@dataclass(frozen=True)
class Confirmed:
    """What is known of the suspects."""

    differed: tuple[str, ...]
    """Products that were not right on some replica."""
    mended: int
    """How many of them are right now."""
    open: tuple[str, ...]
    """Products that others held all the time, or that could not be decided."""
    unreached: tuple[str, ...]
    """Replicas that could not be asked, or could not be mended."""


async def confirm(
    atlas: Atlas, reconciler: Reconciler, shard: str, suspects: Mapping[str, int], *, change: bool
) -> Confirmed:
    """Reconcile suspects (and how many rows each has), or with `change` False only compare them. Raises StoreFailed."""
    differed: dict[str, bool] = {}
    unreached: set[str] = set()
    left = list(suspects)
    for attempt in range(TRIES_MAX):
        if attempt:
            await asyncio.sleep(BUSY_PAUSE_S)
        busy: list[str] = []
        for batch in batches(left, suspects):
            group = atlas.view.groups.get(shard)
            if group is None:
                return Confirmed(tuple(differed), sum(differed.values()), tuple(left), tuple(sorted(unreached)))
            until = asyncio.get_running_loop().time() + BATCH_DEADLINE_S
            try:
                found = await reconciler.reconcile(group, batch, until, change=change)
            except (ShardError, StaleMap, LeaseLost):
                busy += batch  # the next try sees another map, or another replica
                continue
            busy += found.busy
            unreached.update(found.unreached, found.failed)
            differed.update((one, change and not found.failed) for one in found.differed)
        left = busy
        if not left:
            break
    return Confirmed(tuple(differed), sum(differed.values()), tuple(left), tuple(sorted(unreached)))


def batches(product_ids: Iterable[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield products in batches of few rows, or of one product."""
    batch: list[str] = []
    held = 0
    for product_id in product_ids:
        if batch and held + rows[product_id] > ROWS_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(product_id)
        held += rows[product_id]
    if batch:
        yield batch
