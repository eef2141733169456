"""One shop with its store, endpoints and routers, on virtual time, and the switches that break it. Judges nothing."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

from lookalike_router.errors import RouterError
from lookalike_router.memory_store import MemoryStore
from lookalike_router.placement import FIRST_EPOCH, Placement
from lookalike_router.router import Router
from lookalike_router.safeguards import Safeguards
from lookalike_router.shard import Row, Shard
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.store import ReplicaPlace, ShopMap, Sync
from lookalike_router.timing import Timing
from tests.chaos.checker import Violation
from tests.chaos.history import Event, Fault, Shop
from tests.simulation.faults import Endpoint, Link, Surroundings
from tests.simulation.faulty_shard import FaultyShard
from tests.simulation.faulty_store import Weather, faulty_store
from tests.simulation.node import Node
from tests.simulation.schedules import Schedule

# The usual times, but for looks at the store that find nothing: each costs as much as a call.
TIMING = Timing(poll_s=0.3, hurry_s=0.1, tend_s=0.5)
OPEN_DEADLINE_S = 2.0
S = 1.0


class Striker(Protocol):
    """Hears which step of a move a router has reached, and may strike."""

    async def reached(self, link: Link, name: str) -> None: ...


@dataclass(frozen=True, repr=False)
class Quiet(Placement):
    """A map that a trace has room for."""

    def __repr__(self) -> str:
        return f"epoch {self.epoch}"


@cache
def placement(shards: int) -> Quiet:
    """Return the first map, one run of slots a shard: what the ring would plan has many, which cost time."""
    names = "abc"[:shards]
    return Quiet(FIRST_EPOCH, dict.fromkeys(names, 1.0), tuple(names[slot * shards // SLOTS] for slot in range(SLOTS)))


class Watched(MemoryStore):
    """A store that tells of every change of owners in the moment in which it happens."""

    def __init__(self, now_s: Callable[[], float], moved: Callable[[], None]) -> None:
        super().__init__(now_s)
        self._moved = moved

    def _changed(self, changed: ShopMap) -> int:
        before = self._known().placement.owners
        epoch = super()._changed(changed)
        if changed.placement.owners is not before:
            self._moved()
        return epoch


class World:
    """Everything of one schedule."""

    def __init__(self, schedule: Schedule, safeguards: Safeguards, *, trace: bool) -> None:
        self.around = Surroundings(random.Random(f"world {schedule.seed}"), trace=[] if trace else None)
        self.products = schedule.products
        self.found: list[Violation] = []
        """What was seen to be wrong at once."""
        self.history: list[Event] = []
        self.versions: dict[str, dict[int, str]] = {}
        """What was seen of each product, by version."""
        self.placement: Placement = placement(schedule.shards)
        self.endpoints: dict[str, Endpoint] = {}
        self.weather = Weather()
        self.nodes: list[Node] = []
        self._safeguards = safeguards
        self._replicas = schedule.replicas
        self._routers = 0
        self.striker: Striker | None = None
        self.now_s = asyncio.get_running_loop().time
        self.store = Watched(self.now_s, self._moved)

    def add(self, event: Event) -> None:
        """Write an event down."""
        self.history.append(event)

    def broke(self, kind: str, target: str) -> None:
        """Write down and count that something was broken."""
        self.around.tally[kind] += 1
        self.around.say("FAULT", kind, target)
        self.add(Fault(self.now_s(), kind, target))

    @property
    def map(self) -> ShopMap:
        """What the store says now, past all faults."""
        found = self.store._map
        assert found is not None
        return found

    def places(self) -> list[ReplicaPlace]:
        """Return every replica of the map."""
        return [place for places in self.map.replicas.values() for place in places]

    async def found_shop(self, routers: int) -> None:
        """Bring endpoints, map and routers into being while all is well."""
        shop = await self.store.shop()
        uris = {name: [f"sim:{name}{i}" for i in range(1, self._replicas + 1)] for name in self.placement.weights}
        founded = await self.store.found(self.placement, uris)
        for place in (place for of in founded.replicas.values() for place in of):
            await self.endpoint(place.uri).found(shop, place.name)
        self._moved()
        for _ in range(routers):
            await self.open()

    @property
    def owners(self) -> dict[str, str]:
        """The shard of each product, now."""
        return {product: self.map.placement.owners[slot_of(product)] for product in self.products}

    def _moved(self) -> None:
        slots = {name: sum(map(len, self.map.placement.ranges(name))) for name in self.map.replicas}
        self.add(Shop({name: count for name, count in slots.items() if count}, self.owners, self.now_s()))

    def endpoint(self, uri: str) -> Endpoint:
        """Return the server at an address; there is one at each."""
        if uri not in self.endpoints:
            self.endpoints[uri] = Endpoint(uri)
        return self.endpoints[uri]

    async def open(self) -> None:
        """Start a router's process; as its supervisor would, again and again until it stays."""
        self._routers += 1
        link = Link(f"r{self._routers}")
        while True:
            store = faulty_store(self.store, self.weather, link, self.around)
            try:
                router = await Router.open(
                    store,
                    (),
                    partial(self._connect, link),
                    router=link.name,
                    deadline_s=OPEN_DEADLINE_S,
                    timing=TIMING,
                    safeguards=self._safeguards,
                    failpoint=partial(self._reached, link),
                )
            except RouterError as error:
                self.around.say(link.name, "does not start:", repr(error))
                await asyncio.sleep(1.0)
            else:
                self.nodes.append(Node(router, link))
                return

    async def _reached(self, link: Link, name: str) -> None:
        self.around.tally[f"step {name}"] += 1
        if self.striker is not None:
            await self.striker.reached(link, name)

    def _connect(self, link: Link, name: str, uri: str) -> Shard:
        return FaultyShard(name, self.endpoint(uri), link, self.around)

    def any_node(self, dice: random.Random) -> Node | None:
        """Return a router whose process is there, awake or not."""
        alive = self.alive()
        return dice.choice(alive) if alive else None

    def alive(self) -> list[Node]:
        return [node for node in self.nodes if not node.link.dead]

    def rows(self, place: ReplicaPlace) -> Iterable[Row]:
        """Return what a replica holds, past all faults."""
        return self.endpoints[place.uri].rows._rows.values()

    def behind(self) -> bool:
        """Say whether any replica lacks anything that the store knows of, or any product is in a hand."""
        held = bool(self.store._holds)
        return held or any(place.sync is not Sync.IN_SYNC for place in self.places())
