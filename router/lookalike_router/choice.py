"""Decides which replicas of a shard to ask, in which order, and how many extra calls there may be. Asks nobody."""

from collections.abc import Sequence
from dataclasses import dataclass

from lookalike_router.replica import InUse, Replica
from lookalike_router.store import Sync

# Extra calls per search of a shard, and how many may be saved up: a burst of hedges when a replica stalls.
EXTRA_SHARE = 0.05
EXTRA_MAX = 10.0
# A router that has just started may hedge, too.
EXTRA_AT_FIRST = 3.0
# A hedge sooner than this costs more than it gains: the event loop itself is late by a few ms at times.
HEDGE_LEAST_S = 0.005
# While too few searches were seen for a p95.
HEDGE_UNKNOWN_S = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom to ask: the first of `order`, the others if that fails; `shadow` gets a copy, used only if it is first."""

    order: Sequence[Replica]
    shadow: Replica | None = None


class Budget:
    """Extra calls that a router may still make."""

    def __init__(self) -> None:
        """Start with a few."""
        self.left = EXTRA_AT_FIRST

    def earn(self) -> None:
        """Take note of a call that would have been made anyway."""
        self.left = min(self.left + EXTRA_SHARE, EXTRA_MAX)

    def spend(self) -> bool:
        """Say whether one extra call may be made now; it then counts as made."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


def choose(replicas: Sequence[Replica], now: float, *, exact: bool) -> Choice:
    """Return whom to ask; an empty order means that nobody can answer.

    First replicas that hold everything: those whose breaker is closed by latency times load, then those whose is open
    (the last replica that could answer is never given up). Those behind come last, and not at all where the answer
    must be `exact`; those being filled never.
    """
    in_use = [one for one in replicas if isinstance(one.state, InUse) and one.sync is not Sync.FILLING]
    if len(in_use) < 2:
        return Choice([one for one in in_use if not exact or one.sync is Sync.IN_SYNC])
    unknown_s = min((one.health.ewma_s for one in in_use if one.health.ewma_s is not None), default=1.0)

    def rank(one: Replica) -> tuple[bool, bool, float]:
        return one.sync is Sync.BEHIND, one.health.open, one.health.cost_s(now, unknown_s)

    order = sorted((one for one in in_use if not exact or one.sync is Sync.IN_SYNC), key=rank)
    shadows = (one for one in order[1:] if one.sync is Sync.IN_SYNC and one.health.wants_search(now))
    return Choice(order, next(shadows, None))


def hedge_after_s(replicas: Sequence[Replica]) -> float:
    """Return after which time a search is slower than a shard's usually are: the p95 of its fastest replica.

    Not that of the replica asked: one that has become slow would then be given all the time it takes.
    """
    known = [one.health.p95_s for one in replicas if isinstance(one.state, InUse) and one.sync is Sync.IN_SYNC]
    fastest = min((p95_s for p95_s in known if p95_s is not None), default=HEDGE_UNKNOWN_S)
    return max(fastest, HEDGE_LEAST_S)
