"""Keeps this router's lease in the store, and so learns what other routers changed. Knows no rows.

The lease is counted from before it was asked for, so that it ends here before it ends in the store.
"""

import asyncio
import contextlib
from collections.abc import Callable

from lookalike_router.atlas import Atlas
from lookalike_router.errors import LeaseLost, ShardTimedOut, StoreFailed
from lookalike_router.store import Beat, RouterLease, Store
from lookalike_router.timing import Timing

# A lease is renewed when this much of it is over: two renewals may fail.
RENEW_AFTER = 1 / 3


class Lease:
    """One router's lease."""

    def __init__(self, store: Store, router: str, atlas: Atlas, reached: Callable[[], int], timing: Timing) -> None:
        """Take who we are, and what says which epoch we have reached."""
        self._store = store
        self._router = router
        self._atlas = atlas
        self._reached = reached
        self._timing = timing
        self._until = 0.0
        self._renew_at = 0.0
        self._told = (0, 0)
        self._moving = False
        self._lapses = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def valid(self) -> bool:
        """Whether the lease runs; what was read while it did not may be of an old map."""
        return asyncio.get_running_loop().time() < self._until

    @property
    def moving(self) -> bool:
        """Whether a rebalance was active when the store was last asked."""
        return self._moving

    def mark(self) -> int:
        """Return what `kept` is told later."""
        return self._lapses if self.valid else -1

    def kept(self, mark: int) -> bool:
        """Say whether the lease has run ever since `mark`; it may have lapsed and been renewed meanwhile."""
        return self.valid and self._lapses == mark

    async def start(self) -> None:
        """Take the lease, and keep it from now on. Raises StoreFailed."""
        await self.renew()
        self._task = asyncio.ensure_future(self._keep())

    async def renew(self) -> None:
        """Renew the lease now. Raises StoreFailed."""
        begun_s = asyncio.get_running_loop().time()
        reached, seen = self._known
        beat = await self._store.beat(self._router, self._timing.lease_s, reached, seen)
        self._told = reached, seen
        await self._learn(beat)
        self._lapses += not self.valid
        self._until = begun_s + self._timing.lease_s
        self._renew_at = begun_s + self._timing.lease_s * RENEW_AFTER

    async def check(self, until: float | None = None) -> None:
        """Return if the lease runs, else try to renew it, no longer than `until`; raise LeaseLost or StoreFailed."""
        if not self.valid:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self.renew()
        if not self.valid:
            raise LeaseLost("this router could not renew its lease in time; send the request again")

    async def seen_by_all(self, epoch: int, until: float) -> None:
        """Return once whatever a live router begins, it begins under the map of `epoch` or a newer one.

        Raises StoreFailed, and ShardTimedOut where a router does not see the map in time.
        """
        if self._atlas.view.epoch < epoch:
            await self._atlas.refresh()
        await self._until_all(lambda other: other.seen >= epoch, until)

    async def done_by_all(self, epoch: int, until: float) -> None:
        """Return once whatever any live router began under an older map than `epoch` has ended; raises as above."""
        loop = asyncio.get_running_loop()
        while self._reached() < epoch and loop.time() < until:  # noqa: ASYNC110 - as others do
            await asyncio.sleep(self._poll_s)
        if self._reached() < epoch:
            raise ShardTimedOut("store", "this router has reads under an older map that do not end")
        await self._until_all(lambda other: other.epoch >= epoch, until)

    async def seen_now(self, until: float) -> None:
        """Return once every live router works with the store's map of now; raises as `seen_by_all`."""
        await self.seen_by_all((await self._store.look()).epoch, until)

    async def close(self) -> None:
        """Give the lease back; if the store is away it ends by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            await self._store.leave(self._router)
        except StoreFailed:
            return

    @property
    def _known(self) -> tuple[int, int]:
        """The map that this router has reached, and the one that it has."""
        return self._reached(), self._atlas.view.epoch

    @property
    def _poll_s(self) -> float:
        return self._timing.hurry_s if self._moving else self._timing.poll_s

    async def _learn(self, beat: Beat) -> None:
        self._moving = beat.moving
        await self._atlas.refresh(beat)

    async def _until_all(self, there: Callable[[RouterLease], bool], until: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            others = [one for one in await self._store.routers() if one.live and one.router != self._router]
            if all(there(one) for one in others):
                return
            if loop.time() >= until:
                raise ShardTimedOut("store", "another router has not seen the change yet; whether it stands is unknown")
            await asyncio.sleep(self._poll_s / 4)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if loop.time() < self._renew_at and self._known == self._told:
                    await self._learn(await self._store.look())
                # Others wait to hear that this router knows.
                if loop.time() >= self._renew_at or self._known != self._told:
                    await self.renew()
            except StoreFailed:
                pass  # reads go on and say that the map may be stale; the next turn tries again
            await asyncio.sleep(self._poll_s)
