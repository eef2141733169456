"""Decides which shard owns which slots. Knows no vectors, no network and no store."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

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
        return self._ranges.get(shard, ())

    @cached_property
    def _ranges(self) -> dict[str, tuple[SlotRange, ...]]:
        """The slots of every shard, from one walk: a thousand shards would walk a thousand times."""
        owned: dict[str, list[int]] = {}
        for slot, owner in enumerate(self.owners):
            owned.setdefault(owner, []).append(slot)
        return {shard: ranges(slots) for shard, slots in owned.items()}


def plan(weights: Mapping[str, float]) -> Placement:
    """Return the map of a new shop: consistent hashing with bounded loads, the same on every machine."""
    room = shares(weights, {})
    ring = Ring(weights)
    owners: list[str] = []
    for slot in range(SLOTS):
        owner = next(shard for shard in ring.shards_from(slot) if room[shard] > 0)
        room[owner] -= 1
        owners.append(owner)
    return Placement(FIRST_EPOCH, dict(weights), tuple(owners))


def shares(weights: Mapping[str, float], owned: Mapping[str, int], slots: int = SLOTS) -> dict[str, int]:
    """Return how many of `slots` each shard is to own: its weighted share, rounded down or up.

    Whoever owns more than its share rounded down keeps one slot more, so that the fewest move; then the largest
    remainders are rounded up.
    """
    total = sum(weights.values())
    exact = {shard: slots * weight / total for shard, weight in weights.items()}
    quota = {shard: math.floor(share) for shard, share in exact.items()}
    order = sorted(weights, key=lambda one: (owned.get(one, 0) <= quota[one], quota[one] - exact[one], one))
    for shard in order[: slots - sum(quota.values())]:
        quota[shard] += 1
    return quota


def ranges_of(owners: Sequence[str]) -> tuple[SlotRange, ...]:
    """Return the runs of slots that have one owner, ascending."""
    runs: list[SlotRange] = []
    for _, run in groupby(enumerate(owners), key=lambda pair: pair[1]):
        slots = [slot for slot, _ in run]
        runs.append(SlotRange(slots[0], slots[-1]))
    return tuple(runs)


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
