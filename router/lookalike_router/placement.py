"""Decides which shard owns which slots. Knows no vectors, no network and no store."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.ring import Ring
from lookalike_router.slots import SLOTS, SlotRange, ranges

FIRST_EPOCH = 1


@dataclass(frozen=True)
class Placement:
    """Which shard owns each slot, at one epoch."""

    epoch: int
    weights: Mapping[str, float]
    owners: tuple[str, ...]
    """One shard for each of the 16,384 slots."""

    def ranges(self, shard: str) -> tuple[SlotRange, ...]:
        """Return the slots that `shard` owns, ascending."""
        return ranges(slot for slot, owner in enumerate(self.owners) if owner == shard)


def plan(weights: Mapping[str, float]) -> Placement:
    """Return the map of a new shop: consistent hashing with bounded loads, the same on every machine."""
    room = {shard: slots_most(weights, shard) for shard in weights}
    ring = Ring(weights)
    owners: list[str] = []
    for slot in range(SLOTS):
        owner = next(shard for shard in ring.shards_from(slot) if room[shard] > 0)
        room[owner] -= 1
        owners.append(owner)
    return Placement(FIRST_EPOCH, dict(weights), tuple(owners))


def slots_most(weights: Mapping[str, float], shard: str) -> int:
    """Return the most slots that a shard may own: its weighted share and not a whole slot more."""
    return math.floor(SLOTS * weights[shard] / sum(weights.values())) + 1


def owners_of(ranges_of: Mapping[str, Sequence[SlotRange]]) -> tuple[str, ...]:
    """Return the owner of each slot; raise ValueError unless every slot has exactly one."""
    owners = [""] * SLOTS
    for shard, owned in ranges_of.items():
        for run in owned:
            if any(owners[run.first : run.last + 1]):
                raise ValueError(f"slots {run.first} to {run.last} have two owners")
            owners[run.first : run.last + 1] = [shard] * len(run)
    if len(owners) != SLOTS or not all(owners):
        raise ValueError("some slots have no owner")
    return tuple(owners)
