"""Compares the replicas of every shard slot by slot, and makes them equal where it is told to. Knows no schedule.

Only slots that a shard owns are compared. Rows in other slots are what an interrupted move left; readers drop them,
and they belong to whoever moves slots.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from lookalike_router.answer import Verified
from lookalike_router.atlas import Atlas
from lookalike_router.compare import compare
from lookalike_router.confirm import Confirmed, confirm
from lookalike_router.core import Core
from lookalike_router.errors import ShardTimedOut
from lookalike_router.group import Group
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import Away, Replica
from lookalike_router.slots import SLOTS
from lookalike_router.store import Sync
from lookalike_router.windows import Width, following, owned_before

log = logging.getLogger(__name__)

# A message with more names would be read by no one; there is one more message for each hundred.
NAMES_AT_ONCE = 100


async def verifying(
    core: Core, reconciler: Reconciler, *, shard: str | None, repair: bool, from_slot: int = 0
) -> AsyncIterator[Verified]:
    """Compare the replicas of a shard, or of all; with `repair` make them equal. Raises StoreFailed, ShardTimedOut.

    Reports after every window of slots; to go on after a stop, start from the last report's `next_slot`. A replica
    that cannot be asked, or that is being filled, is named as skipped.
    """
    tally = _Tally()
    width = Width()
    slot = from_slot
    while (found := following(_groups(core.atlas, shard), slot)) is not None:
        group, run = found
        tally.shard = group.name
        candidates = comparable(group)
        compared = await compare(candidates, run, width, core.store.deaths)
        confirmed = await confirm(core.atlas, reconciler, group.name, compared.suspects, change=repair)
        if confirmed.open and comparable(group):
            raise ShardTimedOut(
                group.name,
                f"{len(confirmed.open)} products, {confirmed.open[0]!r} for one, were in the hands of writers all the "
                f"time and could not be compared; go on from slot {run.first}",
            )
        tally.add(compared.rows, confirmed)
        tally.skip(group, candidates if not confirmed.open else (), (*compared.unreached, *confirmed.unreached))
        slot = compared.slots.last + 1
        for report in tally.reports(_groups(core.atlas, shard), run.first, slot):
            yield report
    yield tally.report(_groups(core.atlas, shard), SLOTS, done=True)


def comparable(group: Group) -> list[Replica]:
    """Return the replicas to compare: not one that is being filled, and none if no other knows what is right."""
    asked = [one for one in group.replicas if one.sync is not Sync.FILLING and not isinstance(one.state, Away)]
    return asked if any(one.sync is Sync.IN_SYNC for one in asked) else []


@dataclass
class _Tally:
    """What a verification has found so far."""

    shard: str = ""
    rows: int = 0
    differing: int = 0
    repaired: int = 0
    names: list[str] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)

    def add(self, rows: int, confirmed: Confirmed) -> None:
        """Count what was found in one window."""
        self.rows += rows
        self.repaired += confirmed.mended
        self.names += confirmed.differed

    def skip(self, group: Group, compared: Sequence[Replica], unreached: Sequence[str]) -> None:
        """Take note of the replicas of a shard that were not compared in one window."""
        names = {one.name for one in compared}
        self.skipped.update(unreached, (one.name for one in group.replicas if one.name not in names))

    def reports(self, groups: Sequence[Group], began: int, ended: int) -> list[Verified]:
        """Return what to say after a window: as many reports as its names need, the last one moves on."""
        found = []
        while len(self.names) > NAMES_AT_ONCE:
            found.append(self.report(groups, began))
        return [*found, self.report(groups, ended)]

    def report(self, groups: Sequence[Group], next_slot: int, *, done: bool = False) -> Verified:
        """Return what to say; names are said once."""
        said, self.names = self.names[:NAMES_AT_ONCE], self.names[NAMES_AT_ONCE:]
        self.differing += len(said)
        return Verified(
            shard=self.shard,
            slots_done=owned_before(groups, next_slot),
            slots=owned_before(groups, SLOTS),
            next_slot=next_slot,
            rows=self.rows,
            differing=tuple(said),
            differing_total=self.differing,
            repaired_total=self.repaired,
            skipped=tuple(sorted(self.skipped)),
            done=done,
        )


def _groups(atlas: Atlas, shard: str | None) -> list[Group]:
    """Return what is to be verified, by the newest map."""
    return [group for name, group in atlas.view.groups.items() if shard in (None, name)]
