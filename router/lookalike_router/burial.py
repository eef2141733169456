"""Looks once more for rows that were deleted some time ago, and deletes those that are there again.

Servers lose acknowledged deletes: Milvus 2.3 does so where a segment is sealed while it is written to
(milvus-io/milvus#32915), and the dead rows appear again minutes later. Readers drop them as long as they remember the
tombstone; before they forget it, this makes sure. What comes back even later the sweep finds. One router at a time.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial

from lookalike_router.background import every
from lookalike_router.confirm import confirm
from lookalike_router.core import Core
from lookalike_router.group import Group
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import Away
from lookalike_router.slots import slot_of
from lookalike_router.store import REPLACED_KEPT_S, Sync, Tombstone

log = logging.getLogger(__name__)

DUTY = "burial"
LEASE_S = 10.0
# Four calls to each replica; as many products are written in seconds.
TOMBSTONES_AT_ONCE = 256
CALL_DEADLINE_S = 10.0


class Burial:
    """Looks after the tombstones of one shop, in the background."""

    def __init__(self, core: Core, reconciler: Reconciler) -> None:
        """Take the router's means; `start` begins the work."""
        self._core = core
        self._reconciler = reconciler
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(every(self._core.timing.bury_s, self.step))

    async def close(self) -> None:
        """Stop; another router goes on from there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def step(self) -> None:
        """Look after the tombstones that have come of age, if that is this router's duty. Raises StoreFailed."""
        store, router = self._core.store, self._core.router
        while await store.take_duty(DUTY, router, LEASE_S):
            after = int(await store.progress(DUTY) or 0)
            found = await store.tombstones(after, REPLACED_KEPT_S, TOMBSTONES_AT_ONCE)
            due = [one for one in found if one.age_s >= self._core.timing.bury_after_s]
            if not due:
                return
            await self._look_after(due)
            await store.set_progress(DUTY, str(due[-1].number))
            if len(due) < TOMBSTONES_AT_ONCE:
                return

    async def _look_after(self, due: Sequence[Tombstone]) -> None:
        view = self._core.atlas.view
        of: dict[str, list[Tombstone]] = {}
        for one in due:
            of.setdefault(view.placement.owners[slot_of(one.product_id)], []).append(one)
        for shard, some in of.items():
            await self._in_shard(view.groups[shard], some)

    async def _in_shard(self, group: Group, some: Sequence[Tombstone]) -> None:
        # A replica that lacks something is compared with its siblings anyway, by whoever brings it up to date.
        ready = [one for one in group.replicas if one.sync is Sync.IN_SYNC and not isinstance(one.state, Away)]
        names = [one.product_id for one in some]
        listed = await asyncio.gather(*(one.answer(partial(one.shard.heads, names, CALL_DEADLINE_S)) for one in ready))
        dead = {one.product_id: one.version for one in some}
        suspects = Counter(
            head.product_id for heads in listed for head in heads or () if head.version <= dead[head.product_id]
        )
        if not suspects:
            return
        confirmed = await confirm(self._core.atlas, self._reconciler, group.name, suspects, change=True)
        if confirmed.differed:
            log.warning(
                "shard=%s shows deleted rows of products=%d again, repaired=%d; does the server lose deletes?",
                group.name,
                len(confirmed.differed),
                confirmed.mended,
            )
