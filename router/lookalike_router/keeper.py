"""Brings replicas back in sync and settles what dead routers left, by and by. Knows no caller.

Hints hold no rows: a replica that was away gets the newest state of each product that it may lack, from one that has
it. Several routers may tend one shop: who drains a replica is a duty in the store.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from lookalike_router.background import every, quietly
from lookalike_router.core import Core
from lookalike_router.errors import ShardError
from lookalike_router.group import Group
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import Away, Replica
from lookalike_router.slots import slot_of
from lookalike_router.store import Finish, Hint, Sync

log = logging.getLogger(__name__)

# Products reconciled together: some hundred rows, well below what a batch of writes takes.
PRODUCTS_AT_ONCE = 64
# One batch of them takes milliseconds; a replica that hangs must not hold the products for long.
BATCH_DEADLINE_S = 5.0
# Batches of one replica in a row before the others' turn.
BATCHES_IN_A_ROW = 20


class Keeper:
    """Tends one shop in the background."""

    def __init__(self, core: Core, reconciler: Reconciler) -> None:
        """Take the router's means; `start` begins the work."""
        self._core = core
        self._reconciler = reconciler
        self._tasks: list[asyncio.Task[None]] = []
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._recheck_at = 0.0

    def start(self) -> None:
        """Begin."""
        timing = self._core.timing
        self._tasks = [
            asyncio.ensure_future(every(timing.tend_s, self._tend)),
            asyncio.ensure_future(every(timing.prune_s, self._core.store.prune)),
        ]

    async def close(self) -> None:
        """Stop; what was begun is left to others."""
        tasks = [*self._tasks, *self._draining.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tend(self) -> None:
        await self._core.holds.let_go()
        await self._settle(await self._core.store.orphans(PRODUCTS_AT_ONCE))
        counts = await self._core.store.hint_counts()
        now = asyncio.get_running_loop().time()
        recheck = now >= self._recheck_at
        if recheck:
            self._recheck_at = now + self._core.timing.recheck_s
        for group in self._core.atlas.view.groups.values():
            for replica in group.replicas:
                if recheck or replica.name in counts or replica.sync is Sync.BEHIND:
                    self._drain_soon(group, replica)

    async def _settle(self, orphans: Sequence[str]) -> None:
        """Decide what becomes of products whose writer died or gave up."""
        view = self._core.atlas.view
        of: dict[str, list[str]] = {}
        for product_id in orphans:
            of.setdefault(view.placement.owners[slot_of(product_id)], []).append(product_id)
        until = asyncio.get_running_loop().time() + BATCH_DEADLINE_S
        for shard, product_ids in of.items():
            try:
                await self._reconciler.reconcile(view.groups[shard], product_ids, until)
            except ShardError as error:
                log.debug("orphans of shard=%s wait: %s", shard, type(error).__name__)

    async def _here(self, group: Group, hints: Sequence[Hint]) -> list[Hint]:
        """Return the hints of products that the shard owns; those of slots that have moved away are settled.

        Should the slots come back, the replica is proven to hold all their rows.
        """
        owners = self._core.atlas.view.placement.owners
        here = [hint for hint in hints if owners[slot_of(hint.product_id)] == group.name]
        if len(here) < len(hints):
            gone = [hint for hint in hints if hint not in here]
            await self._core.store.finish(self._core.router, Finish((), caught_up=gone))
        return here

    def _drain_soon(self, group: Group, replica: Replica) -> None:
        """Drain a replica unless that is under way, or it cannot be reached."""
        if replica.name in self._draining or isinstance(replica.state, Away):
            return
        task = asyncio.ensure_future(quietly(partial(self._drain, group.name, replica)))
        self._draining[replica.name] = task
        task.add_done_callback(lambda _: self._draining.pop(replica.name, None))

    async def _drain(self, shard: str, replica: Replica) -> None:
        duty = f"drain {replica.name}"
        store, router = self._core.store, self._core.router
        for _ in range(BATCHES_IN_A_ROW):
            if not await store.take_duty(duty, router, self._core.timing.lease_s + BATCH_DEADLINE_S):
                return
            group = self._core.atlas.view.groups.get(shard)
            if group is None or replica not in group.replicas:
                return
            hints = await store.hints(replica.name, PRODUCTS_AT_ONCE)
            caught_up = all(hint.recheck for hint in hints) and replica.sync is Sync.BEHIND
            if caught_up and await store.mark_in_sync(replica.name):
                await self._core.atlas.refresh()
                log.info("replica=%s is in sync again", replica.name)
            if not hints:
                return
            until = asyncio.get_running_loop().time() + BATCH_DEADLINE_S
            hints = await self._here(group, hints)
            names = list(dict.fromkeys(hint.product_id for hint in hints))
            if not names:
                continue
            outcome = await self._reconciler.reconcile(group, names, until, hints=hints)
            if len(outcome.busy) == len(names) or replica.name in outcome.unreached:
                return
