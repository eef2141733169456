"""Plays one schedule from founding to judgement. Knows no command line."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from lookalike_router.decide import living
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import Head
from lookalike_router.store import Sync
from tests.chaos.checker import RepeatedEffect, Violation, check
from tests.chaos.history import Event, Fault, Outcome, Read, ReplicaRead, Settled, Shown, Write
from tests.simulation.clients import BrokenCode, Client, Order, product_of
from tests.simulation.loop import Deadlock, Livelock, VirtualLoop, run
from tests.simulation.node import Node
from tests.simulation.schedules import Schedule
from tests.simulation.troubles import Troubles
from tests.simulation.world import World

# After the last fault everything must be equal again within this time.
HEAL_S_MAX = 60.0
LOOK_S = 1.0
# How soon every router must know again that an endpoint is well: its checks take turns, and so do probes.
NOTICE_S_MAX = 5.0
PROBE_DEADLINE_S = 5.0
# The first may find that the lease has just ended, or that an endpoint is not yet known to be back.
PROBES_MAX = 4


class NoAnswer(Violation):
    """A read failed, or did not cover everything, though nothing is wrong any more."""


class StuckProduct(Violation):
    """A product cannot be written though nothing is wrong any more."""


@dataclass
class Played:
    """What came of a schedule."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    writes: int = 0
    reads: int = 0
    acknowledged: int = 0
    virtual_s: float = 0.0
    healed_s: float = 0.0
    """From the last fault until all replicas were equal."""
    history: list[Event] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


def play(schedule: Schedule, safeguards: Safeguards = ALL, *, trace: bool = False) -> Played:
    """Play a schedule and judge it."""
    played = Played(schedule.seed)
    with _complaints(played):
        try:
            run(_play(schedule, safeguards, played, trace))
        except (Deadlock, Livelock) as error:
            played.violations.append(BrokenCode("", repr(error)))
    return played


async def _play(schedule: Schedule, safeguards: Safeguards, played: Played, trace: bool) -> None:
    world = World(schedule, safeguards, trace=trace)
    begun_s = world.now_s()
    try:
        await world.found_shop(schedule.routers)
        clients = [
            Client(f"c{number}", world, random.Random(f"client {schedule.seed} {number}"))
            for number in range(schedule.clients)
        ]
        troubles = Troubles(world)
        happening = [asyncio.create_task(troubles.play(trouble)) for trouble in schedule.troubles]
        await asyncio.gather(*(client.run(schedule.calls, schedule.pause_s) for client in clients))
        for task in happening:
            task.cancel()
        await asyncio.wait(happening)
        for task in happening:
            if not task.cancelled():
                task.result()
        world.around.say("HEAL")
        healed_s = world.now_s()
        await _settle(world, troubles)
        played.healed_s = world.now_s() - healed_s
        await _look(world, clients[0])
        played.violations += [*check(world.history), *returned(world)]
        await _probe(world)
    finally:
        played.violations += world.found
        played.tally = world.around.tally
        played.history = world.history
        played.trace = world.around.trace or []
        played.virtual_s = world.now_s() - begun_s
        writes = [event for event in world.history if isinstance(event, Write)]
        played.writes = len(writes)
        played.acknowledged = sum(event.outcome is Outcome.OK for event in writes)
        played.reads = sum(isinstance(event, Read) for event in world.history)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    played.violations += [BrokenCode("", complaint) for complaint in loop.complaints]


async def _settle(world: World, troubles: Troubles) -> None:
    """Mend everything, and wait until the shop says that all is well and every replica is equal."""
    try:
        async with asyncio.timeout(HEAL_S_MAX):
            await troubles.heal()
            while not world.alive():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(LOOK_S)
            while world.around.ghosts or not await _well(world):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        world.around.say("did not heal in time")
    counts = await world.store.hint_counts()
    behind = [place.name for place in world.places() if place.sync is not Sync.IN_SYNC]
    world.add(Settled(world.now_s(), sum(one.pending for one in counts.values()), tuple(behind)))


async def _well(world: World) -> bool:
    """Say whether the shop is in order: nothing in hand or to be done, replicas equal, no dead rows."""
    if world.behind() or world.store._moving() or await world.store.hint_counts():
        return False
    held: dict[str, set[frozenset[Head]]] = {}
    for place in world.places():
        heads = frozenset(
            Head(row.product_id, row.image_id, row.version)
            for row in world.rows(place)
            if world.owners[row.product_id] == place.shard
        )
        held.setdefault(place.shard, set()).add(heads)
    heads = frozenset(head for of in held.values() for one in of for head in one)
    dead = await world.store.deaths(world.products)
    return all(len(of) == 1 for of in held.values()) and living(set(heads), dead) == heads


async def _look(world: World, client: Client) -> None:
    """Read everything, past the routers and through each."""
    for place in world.places():
        now_s = world.now_s()
        rows = tuple(Shown(row.product_id, str(row.attributes["title"]), row.version) for row in world.rows(place))
        world.add(ReplicaRead(place.name, place.shard, now_s, now_s, rows))
    for node in world.alive():
        until = world.now_s() + NOTICE_S_MAX
        while not await _whole(world, client, node):
            if world.now_s() >= until:
                world.found.append(NoAnswer("", f"the last of many: {world.history[-1]}"))
                break
            await asyncio.sleep(LOOK_S / 2)


def returned(world: World) -> Iterator[Violation]:
    """Find what was written again after something else, though a request takes effect once."""
    for product, markers in world.versions.items():
        shown = [marker for marker, _ in groupby(markers[version] for version in sorted(markers))]
        for marker in {marker for marker in shown if shown.count(marker) > 1}:
            yield RepeatedEffect(product, f"{marker!r} comes back after another write: {shown}")


async def _whole(world: World, client: Client, node: Node) -> bool:
    """Search once; say whether the answer covers everything."""
    outcome = await client.read(node, client.search)
    read = world.history[-1]
    claim = read.claim if isinstance(read, Read) else None
    return outcome is Outcome.OK and claim is not None and not (claim.missing or claim.behind or claim.stale)


async def _probe(world: World) -> None:
    """Write every product once more through every router: nothing may be stuck."""
    for node in world.alive():
        left = [Order(f"probe {node.link.name}", product, 1) for product in world.products]
        for _ in range(PROBES_MAX):
            errors = await node.router.upsert([product_of(order, None) for order in left], PROBE_DEADLINE_S)
            failed = {order: error for order, error in zip(left, errors, strict=True) if error is not None}
            left = list(failed)
            if not left:
                break
            await asyncio.sleep(LOOK_S)
        else:
            world.found += [
                StuckProduct(order.product, f"through {node.link.name}: {error!r}") for order, error in failed.items()
            ]


class _Listener(logging.Handler):
    """Hears what the router logs as an error: work in the background that raised what nobody foresaw."""

    def __init__(self, played: Played) -> None:
        super().__init__(logging.ERROR)
        self._played = played

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._played.violations.append(BrokenCode("", f"{record.getMessage()}: {error!r}"))


@contextmanager
def _complaints(played: Played) -> Iterator[None]:
    log, listener = logging.getLogger("lookalike_router"), _Listener(played)
    log.addHandler(listener)
    propagates, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.removeHandler(listener)
        log.propagate = propagates


def faults(played: Played) -> list[Fault]:
    """Return what went wrong, in order."""
    return [event for event in played.history if isinstance(event, Fault)]
