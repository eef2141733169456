"""Plays one whole run: a cast, callers, a nemesis, healing, and the checker's verdict. Prints nothing."""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lookalike import Client, Topology
from lookalike_router.slots import slot_of
from lookalike_router.sql_store import SqlStore
from tests.chaos.backdoor import Backdoor
from tests.chaos.background import Background
from tests.chaos.cast import Cast, Plan
from tests.chaos.checker import Violation, check
from tests.chaos.faults import Faults
from tests.chaos.grpc_proxy import Odds
from tests.chaos.history import Event, Outcome, Read, Recorder, Shop, Write, save
from tests.chaos.nemesis import Nemesis, Tempo
from tests.chaos.settling import look, settle
from tests.chaos.surgery import Surgeon
from tests.chaos.workload import RETRY, Pace, Workload, universe

PRODUCTS = 60
# A run that must reach a number of faults may take this many times as long as it was told.
LONGER_MAX = 2.0
PROGRESS_S = 10.0


@dataclass(frozen=True)
class Told:
    """What a run is told."""

    seconds: float
    seed: int
    plan: Plan = field(default_factory=Plan)
    odds: Odds = field(default_factory=lambda: Odds(double=0.05, lose=0.05))
    pace: Pace = field(default_factory=Pace)
    tempo: Tempo | None = field(default_factory=Tempo)
    """None: no faults but those of the odds."""
    at_least: Mapping[str, int] = field(default_factory=dict)
    """By kind of fault: the run goes on until there were so many."""


@dataclass(frozen=True)
class Played:
    """What came of a run."""

    violations: list[Violation]
    counts: dict[str, int]
    settled_s: float
    history: Path
    """The history beside the logs of all processes."""

    def forget(self) -> None:
        """Delete all that the run wrote."""
        shutil.rmtree(self.history.parent)


def play(told: Told, say: Callable[[str], None]) -> Played:
    """Play one run; `say` hears how it goes."""
    home = Path(tempfile.mkdtemp(prefix="lookalike-chaos-"))
    recorder = Recorder(time.monotonic)
    counts: dict[str, int] = {}
    settled_s = 0.0
    products = universe(PRODUCTS)
    try:
        with Background() as background, Cast(home, background, told.plan, told.odds, told.seed) as cast:
            stop = threading.Event()
            faults = Faults(cast, recorder, stop)
            backdoor = Backdoor(asyncio.run(shop_of(cast.store_url)))
            surgeon = Surgeon(cast, faults, backdoor)
            with cast.operator("router 1") as shop:
                recorder.add(owners(shop.topology(), products))
            with ExitStack() as opened:
                clients: list[Client] = [opened.enter_context(cast.client(router, RETRY)) for router in cast.routers]
                workload = Workload(clients, recorder, products, told.pace, told.seed)
                workload.start()
                opened.callback(workload.stop)
                over = clock(told, faults, recorder, say)
                if told.tempo is None:
                    while not over():
                        time.sleep(PROGRESS_S / 100)
                else:
                    Nemesis(cast, faults, surgeon, products, told.tempo, told.seed).run(over, stop)
            say("every fault is healed; waiting for the shop")
            settled_s = settle(cast, surgeon, recorder)
            look(cast, surgeon, backdoor, products, recorder)
            counts = counted(cast, faults)
    finally:
        save(recorder.events(), home / "history.jsonl")
    events = recorder.events()
    return Played(check(events), counts | calls(events), settled_s, home / "history.jsonl")


async def shop_of(store_url: str) -> str:
    """Read the shop's identity from its store."""
    store = SqlStore(store_url)
    try:
        return await store.shop()
    finally:
        await store.close()


def owners(topology: Topology, products: tuple[str, ...]) -> Shop:
    """Return which shard owns which product."""
    slots = {shard.name: shard.slots for shard in topology.shards if shard.slots}
    found: dict[str, str] = {}
    for product in products:
        slot = slot_of(product)
        for shard in topology.shards:
            if any(run.first <= slot <= run.last for run in shard.slot_ranges):
                found[product] = shard.name
    return Shop(slots, found)


def clock(told: Told, faults: Faults, recorder: Recorder, say: Callable[[str], None]) -> Callable[[], bool]:
    """Return what says whether a run is over; it also tells how the run goes."""
    begun_s = said_s = time.monotonic()

    def over() -> bool:
        nonlocal said_s
        now_s = time.monotonic()
        passed_s = now_s - begun_s
        if now_s - said_s >= PROGRESS_S:
            said_s = now_s
            faulted = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.counts.items()))
            say(f"{passed_s:.0f} of {told.seconds:.0f} s: {len(recorder.events())} events; {faulted}")
        enough = all(faults.counts[kind] >= least for kind, least in told.at_least.items())
        return passed_s >= (told.seconds if enough else LONGER_MAX * told.seconds)

    return over


def counted(cast: Cast, faults: Faults) -> dict[str, int]:
    """Return how often each fault happened."""
    doubled = sum(front.counts.doubled for front in cast.fronts.values())
    lost = sum(front.counts.lost for front in cast.fronts.values())
    return {**faults.counts, "doubled_requests": doubled, "lost_replies": lost}


def calls(events: list[Event]) -> dict[str, int]:
    """Return how many calls there were, and how many had no answer."""
    writes = [event for event in events if isinstance(event, Write)]
    reads = [event for event in events if isinstance(event, Read)]
    return {
        "writes": len(writes),
        "writes_unknown": sum(write.outcome is Outcome.UNKNOWN for write in writes),
        "reads": len(reads),
        "reads_failed": sum(read.outcome is not Outcome.OK for read in reads),
        "reads_partial": sum(bool(read.claim and read.claim.missing) for read in reads),
        "reads_behind": sum(bool(read.claim and read.claim.behind) for read in reads),
        "reads_stale": sum(bool(read.claim and read.claim.stale) for read in reads),
    }
