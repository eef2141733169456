"""Fills a new replica from a sibling while the shop goes on, and says when it has everything. Knows no reads.

Passes over the shard's slots compare the new replica with one in sync, and reconcile what differs while nobody writes
it; writers write to it as to all others meanwhile. The first pass copies nearly everything. A whole pass that finds
nothing is the proof: what was acknowledged before it is there, and what came after went there or left a hint.
Any router may go on where another one stopped: progress is in the store, and says only what is true for ever.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from lookalike_router.background import every, quietly
from lookalike_router.compare import CALL_DEADLINE_S, compare, unlike
from lookalike_router.confirm import confirm
from lookalike_router.core import Core
from lookalike_router.errors import ShardRefused, ShardTimedOut
from lookalike_router.group import Group
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import Shard
from lookalike_router.slots import SLOTS, SlotRange, slot_of
from lookalike_router.store import Sync
from lookalike_router.windows import WINDOW_ROWS_MAX, Width, following, sample

log = logging.getLogger(__name__)

# So that filling leaves the shards time for searches: ten million rows take 33 minutes, and as long to prove.
FILL_ROWS_PER_S = 5_000.0
# Longer than a window takes; when the router that fills dies, another one goes on after so long.
DUTY_LEASE_S = 15.0
# Orphans to look at; those of other shards do not matter here.
ORPHANS_MAX = 1_000
# Enough to show an operator what is wrong.
STRANGERS_MAX = 10


def filling_duty(name: str) -> str:
    """Return the store's name for the work of filling a replica."""
    return f"fill {name}"


def filled_fraction(text: str) -> float:
    """Return how much of a replica is filled, 0 to 1, from the progress of its duty."""
    progress = Progress.read(text)
    return 1.0 if progress.number > 1 else min(progress.slot / SLOTS, 1.0)


@dataclass(frozen=True)
class Progress:
    """In pass `number`, all slots below `slot` were compared, and `found` products were not right."""

    number: int = 1
    slot: int = 0
    found: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `write` wrote; empty is the beginning."""
        return cls(*(int(part) for part in text.split()))

    def write(self) -> str:
        """Return it as text."""
        return f"{self.number} {self.slot} {self.found}"

    def after(self, window: SlotRange, found: int) -> Self:
        """Return the progress once a window was compared."""
        return type(self)(self.number, window.last + 1, self.found + found)


class Filling:
    """Sees to it that every new replica of a shop is filled. Every router has one; one at a time fills a replica."""

    def __init__(self, core: Core, reconciler: Reconciler) -> None:
        """Take the router's means; `start` begins the work."""
        self._core = core
        self._reconciler = reconciler
        self._task: asyncio.Task[None] | None = None
        self._fillers: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(every(self._core.timing.tend_s, self._look))

    async def close(self) -> None:
        """Stop; another router goes on from there."""
        tasks = [*self._fillers.values(), *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        for group in self._core.atlas.view.groups.values():
            for replica in group.replicas:
                if replica.sync is Sync.FILLING and replica.name not in self._fillers:
                    self._fill(replica.name)

    def _fill(self, name: str) -> None:
        task = asyncio.ensure_future(Filler(name, self._core, self._reconciler).run())
        self._fillers[name] = task
        task.add_done_callback(lambda _: self._fillers.pop(name))


class Filler:
    """Fills one replica."""

    def __init__(
        self,
        name: str,
        core: Core,
        reconciler: Reconciler,
        *,
        rows_per_s: float = FILL_ROWS_PER_S,
        window_rows: int = WINDOW_ROWS_MAX,
    ) -> None:
        """Take the replica's name in the map."""
        self._name = name
        self._core = core
        self._reconciler = reconciler
        self._rows_per_s = rows_per_s
        self._width = Width(window_rows)
        self._rest_s = 0.0

    async def run(self) -> None:
        """Fill the replica; return once it is no more to be filled: it is in sync, or out of the map."""
        while self._pair() is not None:
            self._rest_s = self._core.timing.tend_s
            await quietly(self.step)
            await asyncio.sleep(self._rest_s)

    async def step(self) -> None:
        """Fill the next window, if that is this router's duty. Raises RouterError: then it was not done."""
        pair = self._pair()
        duty = filling_duty(self._name)
        if pair is None or not await self._core.store.take_duty(duty, self._core.router, DUTY_LEASE_S):
            return
        group, new = pair
        progress = Progress.read(await self._core.store.progress(duty))
        sources = [one for one in group.replicas if one.sync is Sync.IN_SYNC and not isinstance(one.state, Away)]
        if not sources or isinstance(new.state, Away):
            return
        if progress.slot == 0 and not await self._all_write_to_it(group):
            return
        found = following([group], progress.slot)
        if found is None:
            await self._passed(progress)
            return
        after = await self._window([sources[0], new], group, found[1], progress)
        if after is not None:
            await self._core.store.set_progress(duty, after.write())

    async def _window(
        self, pair: Sequence[Replica], group: Group, run: SlotRange, progress: Progress
    ) -> Progress | None:
        """Compare and copy one window; return the progress after it, None if it must be done again."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        compared = await compare(pair, run, self._width, _none_dead)
        if compared.unreached:
            return None
        confirmed = await confirm(self._core.atlas, self._reconciler, group.name, compared.suspects, change=True)
        if confirmed.open or self._name in confirmed.unreached:
            return None
        self._rest_s = max(compared.rows / self._rows_per_s - (loop.time() - begun_s), 0)
        return progress.after(compared.slots, len(confirmed.differed))

    async def _passed(self, progress: Progress) -> None:
        """End a pass: begin another one, or say that the replica has everything."""
        if progress.found:
            await self._core.store.set_progress(filling_duty(self._name), Progress(progress.number + 1).write())
            self._rest_s = 0
        elif await self._core.store.mark_in_sync(self._name):
            log.info("replica=%s is filled and in sync after passes=%d", self._name, progress.number)
            await self._core.atlas.refresh()

    async def _all_write_to_it(self, group: Group) -> bool:
        """Say whether every write that does not know the new replica has ended.

        Those of live routers end before the router says that it works with the new map; those of dead ones have ended
        once their products were settled. Without this a write might come to its siblings after they were compared.
        """
        core = self._core
        epoch = core.atlas.view.epoch
        others = [one for one in await core.store.routers() if one.live and one.router != core.router]
        if core.holds.reached() < epoch or any(one.epoch < epoch for one in others):
            return False
        slots = [slot_of(product_id) for product_id in await core.store.orphans(ORPHANS_MAX)]
        return not any(run.first <= slot <= run.last for slot in slots for run in group.ranges)

    def _pair(self) -> tuple[Group, Replica] | None:
        """Return the replica and its shard while it is to be filled."""
        for group in self._core.atlas.view.groups.values():
            for replica in group.replicas:
                if replica.name == self._name and replica.sync is Sync.FILLING:
                    return group, replica
        return None


async def check_rows(core: Core, new: Replica, until: float) -> None:
    """Raise ShardRefused if an endpoint holds rows that the shard it is to join does not have."""
    group = core.atlas.view.groups.get(new.name.rpartition("/")[0])
    siblings = [one.shard for one in group.replicas if one.sync is Sync.IN_SYNC] if group is not None else []
    found = await strangers(new.shard, siblings[0] if siblings else None, until)
    if found:
        raise ShardRefused(
            new.name,
            f"{new.shard.uri} holds rows that the shard does not have, of {', '.join(found[:3])} and perhaps more; "
            "empty it or give another server",
        )


async def strangers(new: Shard, sibling: Shard | None, until: float) -> list[str]:
    """Return some products whose rows an endpoint holds and its sibling, if it has one, does not. Raises ShardError."""
    loop = asyncio.get_running_loop()
    everywhere = SlotRange(0, SLOTS - 1)
    found: set[str] = set()
    width = Width()
    left: SlotRange | None = everywhere if await new.scan([everywhere], None, 1, CALL_DEADLINE_S) else None
    if left is not None:
        both = [new, *([sibling] if sibling is not None else [])]
        some = sample(everywhere)
        width.learn(some, max([await one.count([some], None, CALL_DEADLINE_S) for one in both]))
    while left is not None and len(found) < STRANGERS_MAX:
        if loop.time() >= until:
            raise ShardTimedOut(new.name, "holds rows, and could not be compared in time; give an empty server")
        window = width.cut(left)
        odd, rows = await _strangers_in(new, sibling, window)
        found |= odd
        width.learn(window, rows)
        left = SlotRange(window.last + 1, left.last) if window.last < left.last else None
    return sorted(found)[:STRANGERS_MAX]


async def _strangers_in(new: Shard, sibling: Shard | None, window: SlotRange) -> tuple[set[str], int]:
    """Return the products that are odd, and how many rows the window holds on the fuller of both."""
    mine = await new.digests(window, CALL_DEADLINE_S)
    theirs = await sibling.digests(window, CALL_DEADLINE_S) if sibling is not None else {}
    most = max(sum(one.rows for one in digests.values()) for digests in (mine, theirs))
    slots = unlike(window, mine, theirs) if mine else ()
    if not slots:
        return set(), most
    rows = set(await new.heads_in(slots, CALL_DEADLINE_S))
    if sibling is not None:
        rows -= set(await sibling.heads_in(slots, CALL_DEADLINE_S))
    return {head.product_id for head in rows}, most


async def _none_dead(product_ids: Sequence[str]) -> Mapping[str, int]:
    """Leave the dead alone: they are looked for in the siblings, by those who look there anyway."""
    return {}
