"""Names what the working parts of one router share. Decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lookalike_router.atlas import Atlas
from lookalike_router.errors import StaleMap
from lookalike_router.failpoints import Failpoint, nothing
from lookalike_router.holds import Holds
from lookalike_router.lease import Lease
from lookalike_router.safeguards import Safeguards
from lookalike_router.store import Answer, Begun, Finish, Store
from lookalike_router.timing import Timing
from lookalike_router.tombstones import Tombstones
from lookalike_router.underway import Underway

# A map that changes while a write begins is looked at anew; more often than this in a row it does not.
REFRESHES_MAX = 5


@dataclass(frozen=True)
class Core:
    """One router's knowledge and its means."""

    router: str
    store: Store
    atlas: Atlas
    holds: Holds
    lease: Lease
    tombstones: Tombstones
    safeguards: Safeguards
    timing: Timing
    reads: Underway = field(default_factory=Underway)
    """Reads under way, by the map that they go by."""
    failpoint: Failpoint = nothing
    """Told of every step of a rebalance; only tests give one that does anything."""

    async def take(
        self, product_ids: Sequence[str], answers: Mapping[str, Answer] | None = None
    ) -> tuple[list[Begun], set[str], int]:
        """Take hold of products under the newest map; return those taken, those held by others, and the map's epoch.

        Raises LeaseLost or StoreFailed: then nothing was taken.
        """
        await self.lease.check()
        for _ in range(REFRESHES_MAX):
            epoch = self.atlas.view.epoch
            try:
                return *await self.holds.take(product_ids, epoch, answers), epoch
            except StaleMap:
                await self.atlas.refresh()
        raise StaleMap("the map changes faster than this router can follow; send the write again")

    async def give_back(self, begun: Sequence[Begun], epoch: int) -> None:
        """Let go of products that were taken and not written. Raises LeaseLost or StoreFailed.

        What somebody left before, or what is feared of a product, stays known to whoever takes it next.
        """
        if any(one.suspect for one in begun):
            self.holds.drop(begun, epoch)
        else:
            await self.holds.finish(Finish(begun), epoch)
