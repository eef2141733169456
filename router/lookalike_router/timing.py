"""Says how often a router does what it does by itself. Knows no clock."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds between things; a simulation has its own."""

    lease_s: float = 3.0
    """A router that is silent for longer writes no more, and others take over what it was writing."""
    poll_s: float = 0.1
    """How soon a router sees that the map or a tombstone is new; others wait for that before they acknowledge."""
    hurry_s: float = 0.02
    """The same while a rebalance is active: writes to the slots that change their owner wait until all routers know."""
    tend_s: float = 0.25
    """How soon orphans and hints are looked for."""
    recheck_s: float = 2.0
    """How often rechecks that have come due are looked for."""
    sweep_s: float = 5.0
    """How long the comparison of replicas in the background rests between two windows of slots."""
    bury_s: float = 5.0
    """How often tombstones that have come of age are looked for."""
    bury_after_s: float = 300.0
    """When a deleted row is looked for once more; less than readers remember it, longer than servers seal and index."""
    prune_s: float = 60.0
    """How often the store forgets what no one can need any more."""
    patience_s: float = 2.0
    """How long a write waits for a slow replica once another one has it; the slow one then gets a hint."""


USUAL = Timing()
