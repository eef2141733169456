"""Draws from a seed what a world is like, what is asked of it and what goes wrong when. Plays nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can go wrong; the value is its name in the tally."""

    KILL = "kill"
    """An endpoint's process dies; what it stored stays."""
    PAUSE = "pause"
    """An endpoint's process sleeps; what was sent to it is done when it wakes."""
    SLOW = "slow"
    LOSSY = "lossy"
    """Calls of an endpoint fail, lose their replies, come late, twice or half."""
    ECHO = "echo"
    """What is written to an endpoint is written once more, later."""
    WIPE = "wipe"
    """An endpoint loses everything; an operator takes it out, and adds it again."""
    CUT = "cut"
    """A router cannot reach an endpoint."""
    CRASH = "crash"
    """A router's process dies; another one starts."""
    SLEEP = "sleep"
    """A router's process sleeps, perhaps for longer than its lease, and goes on as if nothing had happened."""
    CUT_STORE = "cut store"
    """A router cannot reach the store."""
    OUTAGE = "outage"
    """No one can reach the store."""
    FLAKY = "flaky"
    """Store calls fail before or after their transaction, or commit when nobody waits any more."""
    STRAY = "stray"
    """Rows appear on a shard that does not own them."""
    GROW = "grow"
    """An operator adds a replica."""
    MOVE = "move"
    """An operator moves slots, and something dies at one of the steps."""


# How often each is drawn.
WEIGHTS = {
    Kind.KILL: 5,
    Kind.PAUSE: 4,
    Kind.SLOW: 2,
    Kind.LOSSY: 8,
    Kind.ECHO: 3,
    Kind.WIPE: 1,
    Kind.CUT: 3,
    Kind.CRASH: 3,
    Kind.SLEEP: 4,
    Kind.CUT_STORE: 2,
    Kind.OUTAGE: 2,
    Kind.FLAKY: 4,
    Kind.STRAY: 3,
    Kind.GROW: 1,
}
PRODUCTS = tuple(f"p{number}" for number in range(8))
# Short enough for thousands a minute, long enough for a lease to end and to be taken over.
LASTS_S = 6.0
# Early enough that callers see most of it.
BEGINS_S_MAX = 4.0
# Longer than a lease and its poll; every write that it delays still comes before the store looks again.
SLEEP_S_MAX = 7.0


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong. `router` and `replica` are drawn numbers; the world takes them modulo what it has."""

    kind: Kind
    at_s: float
    """After the beginning."""
    lasts_s: float
    shard: int
    replica: int
    router: int
    strength: float
    """0 to 1."""


@dataclass(frozen=True)
class Schedule:
    """All that is random about a world, but for the fates of single calls, which its seed draws as well."""

    seed: int
    shards: int
    replicas: int
    routers: int
    products: tuple[str, ...]
    clients: int
    calls: int
    """Of each client."""
    pause_s: float
    """Between two calls of a client, on average."""
    troubles: tuple[Trouble, ...]


def schedule(seed: int, only: Sequence[Kind] = (), *, moving: bool = False) -> Schedule:
    """Return the schedule of a seed, the same on every machine; nothing goes wrong but `only` these kinds, if told.

    With `moving` slots are moved as well, and something is struck at a step.
    """
    dice = random.Random(f"schedule {seed}")
    count = dice.choice((1, 2, 3, 4, 6))
    # A few kinds at a time: what follows from two of them shows more often than in a storm of all.
    kinds = only or dice.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=2)
    drawn = [trouble(dice, dice.choice(kinds)) for _ in range(count)]
    if moving:
        drawn.append(trouble(random.Random(f"move {seed}"), Kind.MOVE))
    troubles = tuple(sorted(drawn, key=lambda one: one.at_s))
    calls = dice.choice((4, 8, 12))
    return Schedule(
        seed=seed,
        shards=dice.choice((1, 2, 2)),
        replicas=dice.choice((1, 2, 2, 2, 3)),
        routers=dice.choice((1, 2, 2)),
        products=PRODUCTS[: dice.choice((1, 2, 2, 4))],
        clients=dice.choice((1, 2, 2, 3)),
        calls=calls,
        pause_s=LASTS_S / calls,
        troubles=troubles,
    )


def trouble(dice: random.Random, kind: Kind) -> Trouble:
    """Return one trouble of a kind."""
    return Trouble(
        kind=kind,
        at_s=dice.uniform(0.0, BEGINS_S_MAX),
        lasts_s=dice.choice((0.3, 1.0, 2.5, 5.0, SLEEP_S_MAX)) * dice.uniform(0.5, 1.0),
        shard=dice.randrange(12),
        replica=dice.randrange(12),
        router=dice.randrange(12),
        strength=dice.uniform(0.1, 1.0),
    )
