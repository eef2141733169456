"""Spreads writes over the shards and asks all of them at once. Knows no images, no wire and no Milvus."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from lookalike_router import scan
from lookalike_router.answer import (
    Coverage,
    Found,
    Page,
    ProductWrite,
    ShardPlace,
    ShardReport,
    State,
    Topology,
)
from lookalike_router.clock import HybridClock
from lookalike_router.errors import (
    ModelConflict,
    PlacementConflict,
    RouterError,
    ShardError,
    ShardFailed,
    ShardRefused,
    ShardTimedOut,
)
from lookalike_router.filter import Filter
from lookalike_router.member import GRACE_S, RECHECK_S, Away, InUse, Member
from lookalike_router.merge import hits
from lookalike_router.placement import Placement, plan
from lookalike_router.search import Question, search
from lookalike_router.shard import DIM, ROWS_MAX, Row, Shard, Stored
from lookalike_router.slots import SLOTS, SlotRange, slot_of, within
from lookalike_router.storable import check
from lookalike_router.store import SqlStore
from lookalike_router.writer import Order, Writer

JOIN_DEADLINE_S = 30.0
# Products read in one call: 2,048 rows of 32 pictures each, a few MB.
READ_PRODUCTS_MAX = 64
TIDY_DEADLINE_S = 10.0

Answer = TypeVar("Answer")


class Router:
    """One shop over several shards. Lives in one event loop; `open` makes it."""

    def __init__(self, store: SqlStore, placement: Placement, members: Iterable[Member], clock: HybridClock) -> None:
        """Take parts that belong together."""
        self._store = store
        self._placement = placement
        self._members = {member.shard.name: member for member in members}
        self._writers = {name: Writer(member, clock) for name, member in self._members.items()}
        self._ranges = {name: placement.ranges(name) for name in self._members}
        self._tidying: set[asyncio.Task[int]] = set()

    @classmethod
    async def open(
        cls,
        store: SqlStore,
        shards: Sequence[Shard],
        *,
        deadline_s: float = JOIN_DEADLINE_S,
        wall_s: Callable[[], float] = time.time,
    ) -> Self:
        """Join the shards; plan the map on the first start, when all must be reachable.

        Later starts tolerate shards that are down. Another set of shards than the map's raises PlacementConflict.
        """
        weights = {shard.name: shard.weight for shard in shards}
        shop = await asyncio.to_thread(store.shop)
        placement = await asyncio.to_thread(store.placement)
        _check_weights(weights, len(shards), placement)
        members = [Member(shard, shop) for shard in shards]
        try:
            await _join(members, placement is None, deadline_s)
            if placement is None:
                placement = plan(weights)
                await asyncio.to_thread(store.found, placement)
        except BaseException:
            await asyncio.gather(*(member.close() for member in members))
            raise
        return cls(store, placement, members, HybridClock(wall_s))

    async def search(
        self,
        queries: npt.NDArray[np.float32],
        limit: int,
        *,
        where: Filter | None = None,
        score_min: float | None = None,
        deadline_s: float,
    ) -> Found:
        """Return for each of `queries` (n, 256) the `limit` best products; a lost shard costs coverage only."""
        if queries.ndim != 2 or queries.shape[1] != DIM or not 1 <= limit <= ROWS_MAX:
            raise ValueError(f"queries are (n, {DIM}), limit is 1 to {ROWS_MAX}; got {queries.shape} and {limit}")
        owners = [member for name, member in self._members.items() if self._ranges[name]]
        question = Question(queries, limit, where, score_min)
        merged, missing = await search(owners, self._placement.owners, question, time.monotonic() + deadline_s)
        lost = {one.shard for one in missing}
        covered = sum(len(run) for member in owners for run in self._owned_unless(member, lost))
        coverage = Coverage(len(owners), len(owners) - len(lost), covered / SLOTS, missing)
        return Found([hits(groups) for groups in merged], coverage)

    async def upsert(self, products: Sequence[ProductWrite], deadline_s: float) -> list[RouterError | None]:
        """Store products whole; return for each None once reads see it, or what went wrong."""
        until = time.monotonic() + deadline_s
        return await asyncio.gather(*(self._upsert(product, until) for product in products))

    async def get(self, product_ids: Sequence[str], deadline_s: float) -> dict[str, list[Row]]:
        """Return the rows of those products that exist; raise ShardError if an owner cannot say."""
        until = time.monotonic() + deadline_s
        asked: dict[str, list[str]] = {}
        for product_id in sorted(set(product_ids)):
            asked.setdefault(self._owner(product_id), []).append(product_id)
        reads = (
            self._ask(owner, partial(self._members[owner].shard.read, ids[i : i + READ_PRODUCTS_MAX]), until)
            for owner, ids in asked.items()
            for i in range(0, len(ids), READ_PRODUCTS_MAX)
        )
        found: dict[str, list[Row]] = {}
        for row in (row for rows in await _all(reads) for row in rows):
            found.setdefault(row.product_id, []).append(row)
        newest = {product_id: _newest(rows) for product_id, rows in found.items()}
        for product_id in newest:
            if len(newest[product_id]) < len(found[product_id]):
                self._tidy(product_id)
        return newest

    async def delete(self, product_id: str, deadline_s: float) -> int:
        """Delete a product; return how many pictures went with it, 0 if there was none. Raises ShardError."""
        return await self._writers[self._owner(product_id)].put(product_id, Order.DELETE, time.monotonic() + deadline_s)

    async def scan(
        self, after: tuple[int, str] | None, limit: int, *, where: Filter | None = None, deadline_s: float
    ) -> Page:
        """Return the `limit` products that follow `after` in the order (slot, product_id). Raises ShardError."""
        until = time.monotonic() + deadline_s

        async def count(window: SlotRange) -> int:
            asks = (self._ask(name, partial(shard.count, runs, where), until) for name, shard, runs in self._in(window))
            return sum(await _all(asks))

        async def fetch(window: SlotRange) -> list[Stored]:
            owners = self._in(window)
            found = await _all(
                self._fetch(name, partial(shard.scan, runs, where), until) for name, shard, runs in owners
            )
            return [row for rows in found for row in rows]

        return await scan.page(after, limit, count, fetch)

    def topology(self) -> Topology:
        """Return the placement map."""
        places = (
            ShardPlace(name, self._placement.weights[name], self._members[name].shard.uri, self._ranges[name])
            for name in sorted(self._members)
        )
        return Topology(self._placement.epoch, SLOTS, tuple(places))

    async def shards(self, deadline_s: float) -> list[ShardReport]:
        """Ask every shard how it is; one that does not answer is reported, never left out."""
        until = time.monotonic() + deadline_s
        return list(await asyncio.gather(*(self._report(place, until) for place in self.topology().shards)))

    async def claim_model(self, model: str, dim: int) -> None:
        """Say which model makes the vectors; the first word stands, another raises ModelConflict."""
        standing = await asyncio.to_thread(self._store.claim, model, dim)
        if standing != (model, dim):
            raise ModelConflict(
                f"the shop's vectors were made by {standing[0]} ({standing[1]} numbers each), not by {model} ({dim}); "
                "start the server with that model, or start a new shop and import again"
            )

    async def close(self) -> None:
        """Finish what is being written, then let go of the shards."""
        if self._tidying:
            await asyncio.wait(self._tidying)
        await asyncio.gather(*(writer.close() for writer in self._writers.values()))
        await asyncio.gather(*(member.close() for member in self._members.values()))

    def _owner(self, product_id: str) -> str:
        return self._placement.owners[slot_of(product_id)]

    def _owned_unless(self, member: Member, lost: set[str]) -> tuple[SlotRange, ...]:
        return () if member.shard.name in lost else self._ranges[member.shard.name]

    def _in(self, window: SlotRange) -> Iterable[tuple[str, Shard, tuple[SlotRange, ...]]]:
        """Yield each shard that owns slots in a window, with those slots."""
        for name, member in self._members.items():
            runs = within(self._ranges[name], window)
            if runs:
                yield name, member.shard, runs

    def _tidy(self, product_id: str) -> None:
        """Delete what a crash left of older versions, by and by; who reads the product next tries again."""
        until = time.monotonic() + TIDY_DEADLINE_S
        task = asyncio.ensure_future(self._writers[self._owner(product_id)].put(product_id, Order.TIDY, until))
        self._tidying.add(task)
        task.add_done_callback(self._tidied)

    def _tidied(self, task: asyncio.Task[int]) -> None:
        self._tidying.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), ShardError):
            task.result()

    async def _upsert(self, product: ProductWrite, until: float) -> RouterError | None:
        try:
            check(product)
            await self._writers[self._owner(product.product_id)].put(product.product_id, product, until)
        except RouterError as error:
            return error
        return None

    async def _ask(self, name: str, call: Callable[[float], Awaitable[Answer]], until: float) -> Answer:
        """Ask one shard something that no other can answer; raise ShardError if it cannot."""
        member = self._members[name]
        if isinstance(member.state, Away):
            raise member.state.error
        left_s = until - time.monotonic()
        try:
            async with asyncio.timeout(left_s + GRACE_S):
                return await call(left_s)
        except TimeoutError as error:
            late = ShardTimedOut(name, f"did not answer in {left_s:.3f} s")
            member.report(late)
            raise late from error
        except ShardError as error:
            member.report(error)
            raise

    async def _fetch(
        self, name: str, call: Callable[[int, float], Awaitable[list[Stored]]], until: float
    ) -> list[Stored]:
        rows = await self._ask(name, partial(call, ROWS_MAX), until)
        if len(rows) >= ROWS_MAX:
            raise ShardFailed(name, f"holds {ROWS_MAX} rows or more in a single slot; give the shop more shards")
        return rows

    async def _report(self, place: ShardPlace, until: float) -> ShardReport:
        member = self._members[place.name]
        start = time.monotonic()
        rows, error = 0, None
        try:
            rows = await self._ask(place.name, partial(member.shard.count, place.ranges, None), until)
        except ShardError as failed:
            error = failed
        state = State.HEALTHY
        if error is not None:
            state = State.REFUSED if isinstance(error, ShardRefused) else State.UNREACHABLE
        return ShardReport(
            name=place.name,
            weight=place.weight,
            uri=place.uri,
            ranges=place.ranges,
            state=state,
            message="" if error is None else error.reason,
            rows=rows,
            latency_ms=(time.monotonic() - start) * 1000,
            server_version=member.state.probe.server_version if isinstance(member.state, InUse) else "",
        )


def _check_weights(weights: dict[str, float], count: int, placement: Placement | None) -> None:
    if not weights or len(weights) < count:
        raise PlacementConflict("give at least one shard, and every shard a name of its own")
    if any(not weight > 0 for weight in weights.values()):
        raise PlacementConflict(f"every weight must be greater than 0; got {weights}")
    if placement is not None and weights != placement.weights:
        raise PlacementConflict(
            f"the placement map has the shards {dict(placement.weights)} (name: weight), but {weights} were given; "
            "start with those of the map"
        )


async def _join(members: Sequence[Member], founding: bool, deadline_s: float) -> None:
    """Join all at once; while founding all must, later those that cannot are looked for in the background."""
    joins = (_found(member, deadline_s) if founding else member.join(False, deadline_s) for member in members)
    outcomes = await asyncio.gather(*joins, return_exceptions=True)
    for member, outcome in zip(members, outcomes, strict=True):
        if isinstance(outcome, ShardError) and not founding:
            member.report(outcome)
        elif outcome is not None:
            raise outcome


async def _found(member: Member, deadline_s: float) -> None:
    """Join a shard of a new shop; its server may be starting still, and says it is ready before it is."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            return await member.join(True, max(until - time.monotonic(), 0))
        except ShardRefused:
            raise
        except ShardError:
            if time.monotonic() + RECHECK_S > until:
                raise
            await asyncio.sleep(RECHECK_S)


async def _all(asks: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Return every answer; raise the first error once all have ended, so that none is left running."""
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    answers: list[Answer] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        answers.append(outcome)
    return answers


def _newest(rows: list[Row]) -> list[Row]:
    version = max(row.version for row in rows)
    return sorted((row for row in rows if row.version == version), key=lambda row: row.image_id)
