"""Compares replicas a few slots at a time, for ever, and repairs what it finds. One router at a time does it."""

import asyncio
import logging

from lookalike_router.background import every
from lookalike_router.compare import Compared, compare
from lookalike_router.confirm import confirm
from lookalike_router.core import Core
from lookalike_router.group import Group
from lookalike_router.reconcile import Reconciler
from lookalike_router.slots import SlotRange
from lookalike_router.store import Sync
from lookalike_router.windows import WINDOW_ROWS_MAX, Width, following

log = logging.getLogger(__name__)

DUTY = "sweep"
# Longer than a rest, so that one router goes on sweeping; when it dies, another one begins after so many rests.
LEASE_RESTS = 3
# The slots of a shard that took its share from others lie in many short runs, each a window of its own.
WINDOWS_AT_ONCE = 8


class Sweeper:
    """Sweeps one shop in the background."""

    def __init__(self, core: Core, reconciler: Reconciler) -> None:
        """Take the router's means; `start` begins the work."""
        self._core = core
        self._reconciler = reconciler
        self._width = Width()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(every(self._core.timing.sweep_s, self.step))

    async def close(self) -> None:
        """Stop; another router goes on from there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def step(self) -> None:
        """Sweep the next window, or a few that hold few rows, if that is this router's duty. Raises StoreFailed."""
        core = self._core
        if not await core.store.take_duty(DUTY, core.router, LEASE_RESTS * core.timing.sweep_s):
            return
        slot = int(await core.store.progress(DUTY) or 0)
        rows = 0
        for _ in range(WINDOWS_AT_ONCE):
            # A shard that is being filled is compared anyway, by whoever fills it.
            groups = [
                group
                for group in core.atlas.view.groups.values()
                if all(one.sync is not Sync.FILLING for one in group.replicas)
            ]
            found = following(groups, slot)
            if found is None:
                await core.store.set_progress(DUTY, "0")
                return
            compared = await self._window(*found)
            slot = compared.slots.last + 1
            await core.store.set_progress(DUTY, str(slot))
            rows += compared.rows
            if rows >= WINDOW_ROWS_MAX:
                return

    async def _window(self, group: Group, run: SlotRange) -> Compared:
        # What a replica behind lacks is known, and on its way there.
        in_sync = [one for one in group.replicas if one.sync is Sync.IN_SYNC]
        compared = await compare(in_sync, run, self._width, self._core.store.deaths)
        confirmed = await confirm(self._core.atlas, self._reconciler, group.name, compared.suspects, change=True)
        if confirmed.differed:
            log.warning(
                "sweep of shard=%s slots=%d-%d found differing=%d repaired=%d; is a server losing rows?",
                group.name,
                compared.slots.first,
                compared.slots.last,
                len(confirmed.differed),
                confirmed.mended,
            )
            log.debug("differing products=%s", confirmed.differed)
        return compared
