"""Reads products by their ids and in their order, from the shards that own them. Knows no queries and no writes.

Such an answer cannot say what it lacks, as a search can: it is whole, from replicas that hold everything, or an error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from lookalike_router import scan
from lookalike_router.answer import Page
from lookalike_router.ask import Asker
from lookalike_router.errors import ShardFailed
from lookalike_router.filter import Filter
from lookalike_router.group import Group
from lookalike_router.merge import Dead
from lookalike_router.safeguards import Safeguards
from lookalike_router.shard import ROWS_MAX, Row, Shard, Stored
from lookalike_router.slots import SlotRange, slot_of, within

# Products read in one call: 2,048 rows of 32 pictures each, a few MB.
READ_PRODUCTS_MAX = 64

T = TypeVar("T")
R = TypeVar("R", bound=Stored)


class Reads:
    """Reads under one map."""

    def __init__(
        self, asker: Asker, groups: Mapping[str, Group], owners: Sequence[str], dead: Dead, safeguards: Safeguards
    ) -> None:
        """Take the shards by name, who owns each slot, and what says which rows are dead."""
        self._asker = asker
        self._groups = groups
        self._owners = owners
        self._dead = dead if safeguards.tombstones else None

    async def get(self, product_ids: Iterable[str], until: float) -> dict[str, list[Row]]:
        """Return the rows of those products that exist, by picture; raise ShardError if an owner cannot say."""
        asked: dict[str, list[str]] = {}
        for product_id in sorted(set(product_ids)):
            asked.setdefault(self._owners[slot_of(product_id)], []).append(product_id)
        reads = (
            self._ask(self._groups[owner], partial(_read, ids[i : i + READ_PRODUCTS_MAX]), until)
            for owner, ids in asked.items()
            for i in range(0, len(ids), READ_PRODUCTS_MAX)
        )
        found: dict[str, list[Row]] = {}
        for rows in await all_answers(reads):
            for row in self._living(rows):
                found.setdefault(row.product_id, []).append(row)
        return {
            product_id: sorted(scan.newest(rows), key=lambda row: row.image_id) for product_id, rows in found.items()
        }

    async def scan(self, after: tuple[int, str] | None, limit: int, where: Filter | None, until: float) -> Page:
        """Return the `limit` products that follow `after` in the order (slot, product_id). Raises ShardError."""

        async def count(window: SlotRange) -> int:
            counts = await all_answers(
                self._ask(group, partial(_count, runs, where), until) for group, runs in self._owned_in(window)
            )
            return sum(counts)

        async def fetch(window: SlotRange) -> list[Stored]:
            found = await all_answers(
                self._ask(group, partial(_scan, group.name, runs, where), until)
                for group, runs in self._owned_in(window)
            )
            return [row for rows in found for row in self._living(rows)]

        return await scan.page(after, limit, count, fetch)

    def _owned_in(self, window: SlotRange) -> Iterable[tuple[Group, tuple[SlotRange, ...]]]:
        """Yield each shard that owns slots in a window, with those slots."""
        for group in self._groups.values():
            runs = within(group.ranges, window)
            if runs:
                yield group, runs

    def _living(self, rows: Iterable[R]) -> Iterable[R]:
        dead = self._dead
        return rows if dead is None else (row for row in rows if not dead(row.product_id, row.version))

    async def _ask(self, group: Group, call: Callable[[Shard, float], Awaitable[T]], until: float) -> T:
        return (await self._asker.ask(group, call, until, exact=True)).value


async def _read(product_ids: Sequence[str], shard: Shard, deadline_s: float) -> list[Row]:
    return await shard.read(product_ids, deadline_s)


async def _count(runs: Sequence[SlotRange], where: Filter | None, shard: Shard, deadline_s: float) -> int:
    return await shard.count(runs, where, deadline_s)


async def _scan(
    name: str, runs: Sequence[SlotRange], where: Filter | None, shard: Shard, deadline_s: float
) -> list[Stored]:
    rows = await shard.scan(runs, where, ROWS_MAX, deadline_s)
    if len(rows) >= ROWS_MAX:
        raise ShardFailed(name, f"holds {ROWS_MAX} rows or more in a single slot; give the shop more shards")
    return rows


async def all_answers(asks: Iterable[Awaitable[T]]) -> list[T]:
    """Return every answer; raise the first error once all have ended, so that none is left running."""
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    answers: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        answers.append(outcome)
    return answers
