"""Moves one batch of slots from shard to shard: copy, catch up, pause, prove, flip, clean. Knows no other batch.

Until the flip the source owns the slots: searches drop the copies, and writes go to the source alone. The store fences
everything: who is not on duty can write down no step, and while a pause lasts nobody begins to write the slots'
products. So what source and target hold of slots of which nobody has a product in hand stays as it is until the flip.
Slots that are in hand just then, or differ, are not waited for: they stay, as a move of their own.

A call whose outcome is unknown may still arrive, late. Nothing is proven before that can be ruled out: else an old copy
could come to a target that owns the slots.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

from lookalike_router.core import Core
from lookalike_router.decide import living
from lookalike_router.digest import order_free
from lookalike_router.errors import RouterError, ShardError, ShardUnreachable, StaleMap
from lookalike_router.jobs import LATE_S, Move, Proof, Step
from lookalike_router.reads import all_answers
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import Head, Row
from lookalike_router.slots import SlotRange, ranges, slot_of, slots_in, within
from lookalike_router.store import Sync
from lookalike_router.stride import Stride

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# Rows copied at a time, at most: 1 MB of vectors, and at 64 KB of attributes each what servers send in one message.
COPY_ROWS_MAX = 1_024
# Keys deleted at a time, at most: eight expressions, and one wait until they are seen to be gone.
DELETE_ROWS_MAX = 4_096
# Beyond so many products that differ, rows are read by their slots: it is one call, not one for each 64.
NAMED_MAX = 128
# Less than LATE_S, so that a copy which is late has arrived before anything is proven.
CALL_DEADLINE_S = 10.0
# A target that lacks no more rows than this is ready to be proven.
CAUGHT_UP_ROWS = 8
CATCH_UPS_MAX = 10
# How long writers wait for a proof; one that takes longer is given up and begun again, with more patience. With what
# comes before and after it, a pause stays below half a second.
PROOF_S = 0.35
PATIENCE_GROWTH = 1.5
# So many slots may stay when others flip, at most: each is listed and paused once more.
LEFT_SLOTS_MAX = 32
# From this try on what differs in a pause is copied in it: some products are written all the time.
MEND_FROM_TRY = 3
# A pause ends by itself after so long, should its router die.
PAUSE_S = 4.0
HELD_POLL_S = 0.005
REST_S = 0.2
SEEN_DEADLINE_S = 10.0
# Reads end at their deadlines, which callers choose; a shop's are seconds.
READS_DEADLINE_S = 60.0


class _Busy(RouterError):
    """Somebody writes to the slots just now."""


class Halted(RouterError):
    """The job does not run any more, or not here."""


@dataclass(frozen=True)
class Reins:
    """What a mover asks whoever runs it."""

    may_go_on: Callable[[Step], None]
    """Returns if a move at this step may go on; raises Halted if an operator or another router has halted it."""
    spend: Callable[[int], Awaitable[None]]
    """Returns when so many more rows may be copied."""
    one_pause: asyncio.Lock
    """Of all movers of more than LEFT_SLOTS_MAX slots one pauses writes at a time."""
    copies: Mapping[str, Stride]
    """By shard, how many rows are copied to it at a time; all movers learn together."""
    deletes: Mapping[str, Stride]
    """... and how many are deleted."""


@dataclass(frozen=True)
class _Sides:
    """Whom to read from, and whom to bring everything to."""

    source: Replica
    targets: Sequence[Replica]


@dataclass(frozen=True)
class _Difference:
    """What the targets lack and have too much, from what the source holds."""

    heads: frozenset[Head]
    """The source's rows that live."""
    dead: Mapping[str, int]
    """By product, the version up to which a tombstone says that its rows are dead."""
    lacks: Mapping[str, frozenset[Head]]
    """By replica of the target."""
    extra: Mapping[str, frozenset[Head]]

    def outdated(self, head: Head) -> bool:
        """Say whether a row is dead for sure: it was deleted, or the source has a newer version."""
        return head.version <= self.dead.get(head.product_id, 0) or head.version < self._newest.get(head.product_id, 0)

    @cached_property
    def _newest(self) -> dict[str, int]:
        return {head.product_id: head.version for head in self.heads}

    @property
    def slots(self) -> frozenset[int]:
        """The slots of the rows that differ."""
        rows = frozenset[Head]().union(*self.lacks.values(), *self.extra.values())
        return frozenset(slot_of(head.product_id) for head in rows)

    @property
    def rows(self) -> int:
        """How many rows differ, on the replica that differs most."""
        return max((len(self.lacks[name]) + len(self.extra[name]) for name in self.lacks), default=0)


class Mover:
    """Moves one batch, from whichever step it stands at."""

    def __init__(self, core: Core, move: Move, reins: Reins, quiet_at: float) -> None:
        """Take the move as the store has it; before `quiet_at`, a time of the loop, nothing is proven."""
        self._core = core
        self._store = core.store
        self._number = move.number
        self._batch = move.batch
        self._step = move.step
        self._reins = reins
        self.quiet_at = quiet_at
        """Grows where a copy's outcome is unknown."""
        self._tries = 0
        self._patience_s = PROOF_S

    async def run(self) -> None:
        """Move the batch to its end. Raises RouterError: then the store says where it stands, for another mover."""
        if not self._step.flipped:
            await self._copy()
            while not await self._flipped():
                self._reins.may_go_on(self._step)
                await self._catch_up()
        if self._step is Step.FLIP:
            await self._seen(None)
        await self._clean()

    async def undo(self) -> None:
        """Delete what was copied; the source owns the slots, as it did all the time. Raises RouterError."""
        await self._note(Step.UNDO)
        await self._core.failpoint("undo")
        await self._delete(self._batch.target)
        await self._note(Step.UNDONE)

    async def give_up(self) -> None:
        """End the move though rows were left that no one reads any more, on a replica that does not answer."""
        await self._note(Step.DONE if self._step.flipped else Step.UNDONE)

    async def _copy(self) -> None:
        await self._note(Step.COPY)
        await self._core.failpoint("copy")
        await self._bring(await self._difference(CALL_DEADLINE_S))
        await self._note(Step.CATCH_UP)
        await self._core.failpoint("catch_up")
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Copy what was written meanwhile, until little differs and nothing can come late any more."""
        loop = asyncio.get_running_loop()
        for _ in range(CATCH_UPS_MAX):
            await asyncio.sleep(max(self.quiet_at - loop.time(), 0))
            self._reins.may_go_on(self._step)
            found = await self._difference(CALL_DEADLINE_S)
            if found.rows <= CAUGHT_UP_ROWS:
                return
            await self._bring(found)

    async def _flipped(self) -> bool:
        """Pause writes, prove both sides equal, and flip; or resume writes, and say that it must be tried again."""
        loop = asyncio.get_running_loop()
        async with self._reins.one_pause if len(self._batch) > LEFT_SLOTS_MAX else nullcontext():
            begun_s = loop.time()
            self._tries += 1
            pause = await self._store.pause_move(self._core.router, self._number, PAUSE_S)
            self._step = Step.PAUSE
            await self._core.failpoint("pause")
            try:
                flipped = await self._prove_and_flip(pause, begun_s + self._patience_s)
            except (_Busy, ShardError, StaleMap) as error:
                log.debug("slots of %s stay at %s: %s", self._batch.target, self._batch.source, type(error).__name__)
                flipped = False
                self._patience_s = min(self._patience_s * PATIENCE_GROWTH, PAUSE_S - REST_S)
            if flipped:
                await self._core.failpoint("flip")
                await self._seen(begun_s)
                return True
            await self._release(Step.CATCH_UP, loop.time() - begun_s)
        await asyncio.sleep(REST_S)  # writers first
        return False

    async def _prove_and_flip(self, pause: int, until: float) -> bool:
        """Flip the slots that are equal; return whether they were enough. Raises StaleMap, ShardError, StoreFailed."""
        loop = asyncio.get_running_loop()
        while not self._most_without(held := await self._store.held_in_move(self._number)):
            if loop.time() >= until:
                raise _Busy("writes to the slots are under way and do not end")
            await asyncio.sleep(HELD_POLL_S)
        await self._core.failpoint("prove")
        found = await self._difference(until - loop.time())
        if self._tries >= MEND_FROM_TRY and not self._most_without(held | self._unlike(found)):
            await self._write(found.lacks, found.extra)
            found = await self._difference(until - loop.time())
        left = held | self._unlike(found)
        if not self._most_without(left):
            return False
        heads = [head for head in found.heads if slot_of(head.product_id) not in left]
        proof = Proof(len(heads), order_free(heads), frozenset(found.lacks))
        pause_s = self._core.timing.lease_s + PAUSE_S
        await self._store.flip(self._core.router, self._number, pause, proof, pause_s, left)
        gone = ranges(slot for slot in slots_in(self._batch.slots) if slot not in left)
        self._batch, self._step = replace(self._batch, slots=gone), Step.FLIP
        return True

    def _most_without(self, left: Collection[int]) -> bool:
        """Say whether the batch may flip without these slots."""
        return len(left) <= LEFT_SLOTS_MAX and len(left) < len(self._batch)

    def _unlike(self, found: _Difference) -> frozenset[int]:
        """Return the slots that may not flip, by what was found."""
        return found.slots if self._core.safeguards.proof else frozenset()

    async def _seen(self, begun_s: float | None) -> None:
        """Resume writes once every router knows the new owner; `begun_s` None: nobody knows when they paused."""
        loop = asyncio.get_running_loop()
        epoch = (await self._store.look()).epoch
        await self._core.lease.seen_by_all(epoch, loop.time() + SEEN_DEADLINE_S)
        await self._core.failpoint("seen")
        await self._release(Step.CLEAN, loop.time() - begun_s if begun_s is not None else 0.0)

    async def _clean(self) -> None:
        """Delete the rows at the source, when nobody reads them any more."""
        await self._core.failpoint("clean")
        epoch = (await self._store.look()).epoch
        await self._core.lease.done_by_all(epoch, asyncio.get_running_loop().time() + READS_DEADLINE_S)
        await self._delete(self._batch.source)
        await self._note(Step.DONE)

    async def _note(self, step: Step) -> None:
        await self._store.step_move(self._core.router, self._number, step)
        self._step = step

    async def _release(self, step: Step, paused_s: float) -> None:
        await self._store.release_move(self._core.router, self._number, step, paused_s)
        self._step = step

    async def _sides(self) -> _Sides:
        """Return whom to read from and whom to write to, by the newest map. Raises ShardError where somebody lacks."""
        await self._core.atlas.refresh()
        groups = self._core.atlas.view.groups
        source, target = groups[self._batch.source], groups[self._batch.target]
        for one in target.replicas:
            if isinstance(one.state, Away):
                raise one.state.error
        whole = [one for one in source.replicas if one.sync is Sync.IN_SYNC and not isinstance(one.state, Away)]
        if not whole:
            raise ShardUnreachable(source.name, "has no replica that holds everything and answers")
        return _Sides(whole[self._tries % len(whole)], target.replicas)

    async def _difference(self, deadline_s: float) -> _Difference:
        """List both sides as of now. Raises ShardError, StoreFailed."""
        sides = await self._sides()
        replicas = (sides.source, *sides.targets)
        hurried = deadline_s < CALL_DEADLINE_S
        mine, *theirs = await all_answers(
            _asked(one, partial(one.shard.heads_in, self._batch.slots, deadline_s), hurried=hurried) for one in replicas
        )
        dead = await self._store.deaths(sorted({head.product_id for heads in (mine, *theirs) for head in heads}))
        alive = frozenset(living(set(mine), dead))
        lacks, extra = {}, {}
        for one, heads in zip(sides.targets, theirs, strict=True):
            lacks[one.name] = alive.difference(heads)
            extra[one.name] = frozenset(heads) - alive
        return _Difference(alive, dead, lacks, extra)

    async def _bring(self, found: _Difference) -> None:
        """Copy what the targets lack, and delete what is dead for sure, a part at a time."""
        loop = asyncio.get_running_loop()
        # A row that the source just does not show yet may be copied again later; this call must not come after that.
        outdated = {name: frozenset(filter(found.outdated, extra)) for name, extra in found.extra.items()}
        if any(outdated.values()):
            await self._write({}, outdated)
        missing = sorted(frozenset[Head]().union(*found.lacks.values()), key=lambda head: slot_of(head.product_id))
        stride = self._reins.copies[self._batch.target]
        for rows in self._parts(missing, stride):
            part = frozenset(rows)
            await self._reins.spend(len(part))
            begun_s = loop.time()
            await self._write({name: lacks & part for name, lacks in found.lacks.items()}, {})
            stride.learn(len(part), loop.time() - begun_s)

    async def _write(self, lacks: Mapping[str, frozenset[Head]], gone: Mapping[str, frozenset[Head]]) -> None:
        sides = await self._sides()
        rows = await self._read(sides.source, frozenset[Head]().union(*lacks.values()))
        if not self._core.lease.valid:
            raise Halted("this router lost its lease")
        writes = []
        for one in sides.targets:
            missing = [rows[head] for head in lacks.get(one.name, ()) if head in rows]
            extra = list(gone.get(one.name, ()))
            if missing or extra:
                writes.append(_asked(one, partial(one.shard.write, missing, extra, CALL_DEADLINE_S)))
        try:
            await all_answers(writes)
        except BaseException:
            self.quiet_at = asyncio.get_running_loop().time() + LATE_S
            raise

    async def _read(self, source: Replica, heads: frozenset[Head]) -> dict[Head, Row]:
        """Return those of these rows that the source still has."""
        if not heads:
            return {}
        products = sorted({head.product_id for head in heads})
        if len(products) <= NAMED_MAX:
            rows = await _asked(source, partial(source.shard.read, products, CALL_DEADLINE_S))
        else:
            slots = [slot_of(product_id) for product_id in products]
            window = within(self._batch.slots, SlotRange(min(slots), max(slots)))
            rows = await _asked(source, partial(source.shard.rows_in, window, CALL_DEADLINE_S))
        found = {Head(row.product_id, row.image_id, row.version): row for row in rows}
        return {head: row for head, row in found.items() if head in heads}

    async def _delete(self, shard: str) -> None:
        """Delete every row of the batch's slots on a shard that does not own them; see that none is left."""
        loop, stride = asyncio.get_running_loop(), self._reins.deletes[shard]
        await self._core.atlas.refresh()
        for one in self._core.atlas.view.groups[shard].replicas:
            if isinstance(one.state, Away):
                raise one.state.error
            while heads := await _asked(one, partial(one.shard.heads_in, self._batch.slots, CALL_DEADLINE_S)):
                for part in self._parts(heads, stride):
                    if not self._core.lease.valid:
                        raise Halted("this router lost its lease")
                    begun_s = loop.time()
                    await _asked(one, partial(one.shard.write, (), part, CALL_DEADLINE_S))
                    stride.learn(len(part), loop.time() - begun_s)

    def _parts(self, heads: Sequence[Head], stride: Stride) -> Iterator[Sequence[Head]]:
        """Yield as many rows at a time as their server takes, as long as the job goes on."""
        at = 0
        while at < len(heads):
            self._reins.may_go_on(self._step)
            part = heads[at : at + stride.rows]
            yield part
            at += len(part)


async def _asked(replica: Replica, call: Callable[[], Awaitable[Answer]], *, hurried: bool = False) -> Answer:
    """Return what a replica answers; a failure starts its check, but not where it only was too slow for us."""
    try:
        return await call()
    except ShardError as error:
        # A check that a busy server is late for sets it aside: nobody writes to it or reads from it then.
        if not hurried or isinstance(error, ShardUnreachable):
            replica.report(error)
        raise
