"""Knows who owned which slot when, from what the jobs of a shop have moved. Asks nobody and judges nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence

from lookalike import Topology
from lookalike_router.jobs import Job
from lookalike_router.slots import SLOTS, slot_of
from tests.chaos.history import Shop


class Owners:
    """The owners of all slots from the beginning on, and every change."""

    def __init__(self, topology: Topology) -> None:
        """Take the map of the beginning."""
        self.now = owners(topology)
        self._past: list[tuple[float, tuple[str, ...]]] = [(0.0, self.now)]

    def follow(self, job: Job, ahead_s: float) -> int:
        """Take over what a job that has ended has moved; return how many batches that were.

        `ahead_s` is what the store's clock is ahead of the history's.
        """
        moved = sorted((move for move in job.moves if move.step.flipped), key=lambda move: move.flipped_at)
        for move in moved:
            slots = list(self.now)
            for run in move.batch.slots:
                slots[run.first : run.last + 1] = [move.batch.target] * len(run)
            self.now = tuple(slots)
            self._past.append((move.flipped_at - ahead_s, self.now))
        return len(moved)

    def shops(self, products: Sequence[str]) -> Iterator[Shop]:
        """Yield who owned these products, from every change on."""
        places = {product: slot_of(product) for product in products}
        for at_s, slots in self._past:
            yield Shop(dict(Counter(slots)), {product: slots[slot] for product, slot in places.items()}, at_s)


def owners(topology: Topology) -> tuple[str, ...]:
    """Return the owner of every slot."""
    found = [""] * SLOTS
    for shard in topology.shards:
        for run in shard.slot_ranges:
            found[run.first : run.last + 1] = [shard.name] * (run.last - run.first + 1)
    return tuple(found)
