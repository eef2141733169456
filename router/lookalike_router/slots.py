"""Says in which slot a product lives. Knows no shard."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby

# Fixed for the life of a shop: even a share of 1 in 1,000 has sixteen.
SLOTS = 16_384


@dataclass(frozen=True, order=True)
class SlotRange:
    """Consecutive slots; `last` belongs to it."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def slot_of(product_id: str) -> int:
    """Return the slot of a product: the same on every machine, for ever."""
    # Not hash(): it is salted per process, and placement must outlive us.
    return int.from_bytes(blake2b(product_id.encode(), digest_size=8).digest(), "big") % SLOTS


def ranges(slots: Iterable[int]) -> tuple[SlotRange, ...]:
    """Return ascending slots as ranges of consecutive ones."""
    runs = (list(run) for _, run in groupby(enumerate(slots), key=lambda pair: pair[1] - pair[0]))
    return tuple(SlotRange(run[0][1], run[-1][1]) for run in runs)


def slots_in(runs: Iterable[SlotRange]) -> Iterator[int]:
    """Return the slots of ranges, one by one."""
    return (slot for run in runs for slot in range(run.first, run.last + 1))


def within(runs: Iterable[SlotRange], window: SlotRange) -> tuple[SlotRange, ...]:
    """Return the parts of `runs` that lie in `window`."""
    parts = (SlotRange(max(run.first, window.first), min(run.last, window.last)) for run in runs)
    return tuple(part for part in parts if part.first <= part.last)
