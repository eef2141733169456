"""One replica as the router sees it: whether it is in use, and how it comes back. Knows no slots and no rows."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from lookalike_router.errors import ShardError, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.health import Health
from lookalike_router.shard import Probe, Shard
from lookalike_router.store import Sync

Answer = TypeVar("Answer")

# A replica that is away is tried this often; joining anew costs it a handful of small calls.
RECHECK_S = 0.25
# A server that does not say who it is in this time is not in use; short, so that the next try finds it back soon.
CHECK_DEADLINE_S = 2.0
# An endpoint ends its calls at their deadline by itself; this much later it is left behind.
GRACE_S = 0.25


@dataclass(frozen=True)
class InUse:
    """The endpoint proved to be the one that the map expects."""

    probe: Probe


@dataclass(frozen=True)
class Away:
    """The endpoint is not asked until it proves itself again."""

    error: ShardError


class Replica:
    """An endpoint and its state; whoever finds it in trouble says so, and it is checked until it is back.

    One call that came too late, or failed, puts nothing aside: it starts a check, and only a check that fails does.
    Otherwise a single search with little time left would cost everyone this replica.
    """

    def __init__(self, shard: Shard, sync: Sync, shop: str) -> None:
        """Take an endpoint that has not joined yet."""
        self.shard = shard
        self.sync = sync
        self.health = Health()
        self.state: InUse | Away = Away(ShardUnreachable(shard.name, "has not joined yet"))
        self._shop = shop
        self._check: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its name in the map, "shard/number"."""
        return self.shard.name

    async def join(self, founding: bool, deadline_s: float) -> None:
        """Join now; raise ShardError if the endpoint is not in use afterwards."""
        try:
            async with asyncio.timeout(deadline_s + GRACE_S):
                probe = await self.shard.join(self._shop, founding, deadline_s)
        except TimeoutError:
            self.state = Away(ShardTimedOut(self.name, f"did not join within {deadline_s:.0f} s"))
        except ShardError as error:
            self.state = Away(error)
        else:
            if isinstance(self.state, Away):
                self.health = Health()  # what it was like before it went says nothing of what comes back
            self.state = InUse(probe)
        if isinstance(self.state, Away):
            raise self.state.error

    def report(self, error: ShardError) -> None:
        """Take note that a call failed; see to it that the endpoint is checked."""
        if isinstance(error, ShardUnreachable | ShardRefused):
            self.state = Away(error)
        if self._check is None:
            self._check = asyncio.ensure_future(self._until_back())
            self._check.add_done_callback(self._checked)

    async def answer(self, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return what a call to it answers, None if that fails; for those who can do without."""
        try:
            return await call()
        except ShardError as error:
            self.report(error)
            return None

    async def close(self) -> None:
        """Stop checking and let go of the endpoint."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait([self._check])
        await self.shard.close()

    async def _until_back(self) -> None:
        while True:
            with contextlib.suppress(ShardError):
                await self.join(founding=False, deadline_s=CHECK_DEADLINE_S)
            await asyncio.sleep(RECHECK_S)  # also after success: however many calls fail, checks are no load
            if isinstance(self.state, InUse):
                return

    def _checked(self, check: asyncio.Task[None]) -> None:
        self._check = None
        if not check.cancelled():
            check.result()  # anything but a ShardError is a bug
