"""One shard as the router sees it: whether it is in use, and how it comes back. Knows no slots and no rows."""

import asyncio
import contextlib
from dataclasses import dataclass

from lookalike_router.answer import Missing, Trouble
from lookalike_router.errors import ShardError, ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.shard import Probe, Shard

# A shard that is away is tried this often; joining anew costs it a handful of small calls.
RECHECK_S = 0.25
# A server that does not say who it is in this time is not in use; short, so that the next try finds it back soon.
CHECK_DEADLINE_S = 2.0
# A shard ends its calls at their deadline by itself; this much later it is left behind.
GRACE_S = 0.25


@dataclass(frozen=True)
class InUse:
    """The shard proved to be the one that the map expects."""

    probe: Probe


@dataclass(frozen=True)
class Away:
    """The shard is not asked until it proves itself again."""

    error: ShardError


class Member:
    """A shard and its state; whoever finds it in trouble says so, and it is checked until it is back.

    One call that came too late, or failed, puts nothing aside: it starts a check, and only a check that fails does.
    Otherwise a single search with little time left would cost everyone this shard.
    """

    def __init__(self, shard: Shard, shop: str) -> None:
        """Take a shard that has not joined yet."""
        self.shard = shard
        self._shop = shop
        self._check: asyncio.Task[None] | None = None
        self.state: InUse | Away = Away(ShardUnreachable(shard.name, "has not joined yet"))

    async def join(self, founding: bool, deadline_s: float) -> None:
        """Join now; raise ShardError if the shard is not in use afterwards."""
        try:
            async with asyncio.timeout(deadline_s + GRACE_S):
                probe = await self.shard.join(self._shop, founding, deadline_s)
        except TimeoutError:
            self.state = Away(ShardTimedOut(self.shard.name, f"did not join within {deadline_s:.0f} s"))
        except ShardError as error:
            self.state = Away(error)
        else:
            self.state = InUse(probe)
        if isinstance(self.state, Away):
            raise self.state.error

    def report(self, error: ShardError) -> None:
        """Take note that a call failed; see to it that the shard is checked."""
        if isinstance(error, ShardUnreachable | ShardRefused):
            self.state = Away(error)
        if self._check is None:
            self._check = asyncio.ensure_future(self._until_back())
            self._check.add_done_callback(self._checked)

    def missing(self, error: ShardError) -> Missing:
        """Return what an answer says of this shard."""
        return Missing(self.shard.name, trouble(error), str(error))

    async def close(self) -> None:
        """Stop checking and let go of the shard."""
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


TROUBLES: dict[type[ShardError], Trouble] = {
    ShardTimedOut: Trouble.TIMED_OUT,
    ShardUnreachable: Trouble.UNREACHABLE,
    ShardFailed: Trouble.FAILED,
    ShardRefused: Trouble.REFUSED,
}


def trouble(error: ShardError) -> Trouble:
    """Return what kind of trouble an error is."""
    return TROUBLES.get(type(error), Trouble.FAILED)
