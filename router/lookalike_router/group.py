"""Names the replicas of one shard, and its slots. Decides nothing."""

from dataclasses import dataclass
from functools import cached_property

from lookalike_router.replica import Replica
from lookalike_router.slots import SlotRange


@dataclass(frozen=True)
class Group:
    """One shard of one epoch's map."""

    name: str
    ranges: tuple[SlotRange, ...]
    """The slots that it owns; none until some are moved to it."""
    replicas: tuple[Replica, ...]
    """At least one, in the order of their numbers."""

    @cached_property
    def slots(self) -> int:
        """How many slots it owns."""
        return sum(map(len, self.ranges))
