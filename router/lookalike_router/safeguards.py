"""Names the safeguards that keep the router's promises, so that tests can prove that each one is needed.

Every router has all of them. Only tests build one that lacks one, and must then see a promise broken.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Safeguards:
    """Which safeguards are on."""

    hints: bool = True
    """A replica that lacks a write is behind until it has caught up."""
    tombstones: bool = True
    """What was deleted stays deleted, whatever a late write or an old replica brings."""
    ownership: bool = True
    """A row counts only on the shard that owns its slot."""
    versions: bool = True
    """The newest version of a product wins over a better score of an older one, also where a read sees only that."""
    idempotency: bool = True
    """A request that comes twice takes effect once."""
    proof: bool = True
    """Slots change their owner only once both sides were proven to hold the same rows."""


ALL = Safeguards()
