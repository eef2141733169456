"""Names what the working parts of one router share. Decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.atlas import Atlas
from lookalike_router.errors import StaleMap
from lookalike_router.holds import Holds
from lookalike_router.lease import Lease
from lookalike_router.safeguards import Safeguards
from lookalike_router.store import Answer, Begun, Store
from lookalike_router.timing import Timing
from lookalike_router.tombstones import Tombstones

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
