"""Decides which slots go to which shard so that every shard has its share. Pure: knows no store and no rows.

Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018), from where the slots are today: a shard
gives only what it has above its share, and the ring says who gets it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.errors import MapConflict
from lookalike_router.placement import plan, shares
from lookalike_router.ring import Ring
from lookalike_router.slots import SLOTS, SlotRange, ranges, slots_in

# A batch whose slots lie in more pieces than this makes an expression that servers are slow to read.
RANGES_PER_BATCH_MAX = 32


@dataclass(frozen=True)
class Pin:
    """Slots that are to be on one shard, whatever its share."""

    shard: str
    slots: SlotRange


@dataclass(frozen=True)
class Batch:
    """Slots that move together."""

    source: str
    target: str
    slots: tuple[SlotRange, ...]
    """Ascending, at most RANGES_PER_BATCH_MAX."""

    def __len__(self) -> int:
        return sum(len(run) for run in self.slots)


def balanced(owners: Sequence[str], weights: Mapping[str, float], pins: Sequence[Pin] = ()) -> tuple[str, ...]:
    """Return the owners after as few moves as possible: no shard is more than one slot off its weighted share.

    `weights` names the shards that may own slots; what others own goes to these. Pinned slots count towards the share
    of their shard, which they may exceed. Raises MapConflict if there is no shard, or a pin names none of them.
    """
    if not weights:
        raise MapConflict("no shard would be left to own the slots; add one first")
    pinned = _pinned(pins, weights)
    now = [pinned.get(slot, owner) for slot, owner in enumerate(owners)]
    quota = _quotas(now, weights, Counter(pinned.values()))
    over = Counter(now)
    for shard in over:
        over[shard] -= quota.get(shard, 0)
    room = {shard: quota[shard] - now.count(shard) for shard in quota if quota[shard] > now.count(shard)}
    ring = Ring(weights)
    wanted = plan(weights).owners
    # First those slots that the ring itself would have given to a shard with room; then whichever come first.
    for only_wanted in (True, False):
        for slot, owner in enumerate(now):
            if not room:
                return tuple(now)
            if over[owner] <= 0 or slot in pinned or (only_wanted and wanted[slot] not in room):
                continue
            target = wanted[slot] if wanted[slot] in room else _first(ring, slot, room)
            now[slot] = target
            over[owner] -= 1
            room[target] -= 1
            if not room[target]:
                del room[target]
    return tuple(now)


def batches(owners: Sequence[str], wanted: Sequence[str], slots_max: int) -> list[Batch]:
    """Return the moves that lead from one map to another, at most `slots_max` slots each, pairs of shards in turns."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for slot, (source, target) in enumerate(zip(owners, wanted, strict=True)):
        if source != target:
            pairs.setdefault((source, target), []).append(slot)
    queues = [list(_cut(source, target, pairs[source, target], slots_max)) for source, target in sorted(pairs)]
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def moved(owners: Sequence[str], done: Sequence[Batch]) -> tuple[str, ...]:
    """Return the owners after these moves. Raises ValueError if a slot is not where a move begins."""
    after = list(owners)
    for batch in done:
        for slot in slots_in(batch.slots):
            if after[slot] != batch.source:
                raise ValueError(f"slot {slot} belongs to {after[slot]}, not to {batch.source}")
            after[slot] = batch.target
    return tuple(after)


def _pinned(pins: Sequence[Pin], weights: Mapping[str, float]) -> dict[int, str]:
    found: dict[int, str] = {}
    for pin in pins:
        if pin.shard not in weights:
            raise MapConflict(f"slots are pinned to {pin.shard}, which is no shard that may own slots")
        for slot in range(pin.slots.first, pin.slots.last + 1):
            if found.setdefault(slot, pin.shard) != pin.shard:
                raise MapConflict(f"slot {slot} is pinned to {found[slot]} and to {pin.shard}")
    return found


def _quotas(now: Sequence[str], weights: Mapping[str, float], pinned: Mapping[str, int]) -> dict[str, int]:
    """Return how many slots each shard shall own; those with more pins than their share keep them."""
    free, full = dict(weights), dict[str, int]()
    while True:
        quota = shares(free, Counter(now), SLOTS - sum(full.values()))
        over = [shard for shard in free if pinned.get(shard, 0) > quota[shard]]
        if not over or len(over) == len(free):
            return {**full, **quota}
        for shard in over:
            full[shard] = pinned[shard]
            del free[shard]


def _first(ring: Ring, slot: int, room: Mapping[str, int]) -> str:
    return next(shard for shard in ring.shards_from(slot) if shard in room)


def _cut(source: str, target: str, slots: Sequence[int], slots_max: int) -> Iterator[Batch]:
    batch: list[SlotRange] = []
    held = 0
    for run in ranges(slots):
        first = run.first
        while first <= run.last:
            last = min(run.last, first + slots_max - held - 1)
            batch.append(SlotRange(first, last))
            held += last - first + 1
            first = last + 1
            if held == slots_max or len(batch) == RANGES_PER_BATCH_MAX:
                yield Batch(source, target, tuple(batch))
                batch, held = [], 0
    if batch:
        yield Batch(source, target, tuple(batch))
