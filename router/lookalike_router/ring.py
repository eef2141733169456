"""Says which shard comes next on the ring. Knows no shard's state and no bounds."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b

from uhashring import HashRing

from lookalike_router.slots import SLOTS

CIRCLE = 2**64
# More points spread slots more evenly and cut the map into more ranges; placement.py's bound evens out what they leave.
POINTS_PER_SHARD = 32


class Ring:
    """Shards and slots on a circle; every slot has an order in which it asks the shards."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Put each shard on the circle at as many points as its weight asks, 32 for the mean weight."""
        mean = sum(weights.values()) / len(weights)
        nodes = {
            name: {"vnodes": max(1, round(POINTS_PER_SHARD * weight / mean))}
            for name, weight in sorted(weights.items())
        }
        self._ring = HashRing(nodes=nodes, hash_fn=_point)

    def shards_from(self, slot: int) -> Iterator[str]:
        """Yield every shard once, in the order in which the circle meets them from `slot` on."""
        # Slots sit on the circle in their own order (they are hashes already), so that a shard owns runs of them.
        for node in self._ring.range(slot * (CIRCLE // SLOTS)):
            yield node["nodename"]


def _point(key: str | int) -> int:
    if isinstance(key, int):
        return key
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
