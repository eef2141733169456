"""What can go wrong, as values and switches: of routers' and endpoints' processes, and the network. Moves no data."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from lookalike_router.errors import ShardError, ShardFailed, ShardTimedOut, ShardUnreachable
from lookalike_router.memory import MemoryShard

STORE = "store"
"""The store's address, for links that are cut from it."""
# How long a store call hangs before its client gives up.
STORE_DEADLINE_S = 3.0
# A write that comes late comes within this time: less than the store's RECHECK_AFTER_S even after the longest pause.
LATE_S_MAX = 5.0
FOUNDING_S = 5.0
LATENCY_S = 0.004
"""Of a call, there and back together, on average."""


@dataclass
class Chances:
    """How likely each fate of a call is; the rest goes well. 0 to 1."""

    fails: float = 0.0
    """It is refused before anything is done."""
    loses: float = 0.0
    """It is done, and the caller is told that it was not, or hears nothing."""
    late: float = 0.0
    """The caller is told that it failed; it is done seconds later."""
    doubles: float = 0.0
    """It is done and reported, and done once more later."""
    torn: float = 0.0
    """Rows are stored, old ones are not deleted, and the caller is told that it failed."""
    slow_s: float = 0.0
    """Added to every call."""

    def draw(self, dice: random.Random) -> str:
        """Return what becomes of one write: "" if it goes well."""
        left = dice.random()
        for name in ("fails", "loses", "late", "doubles", "torn"):
            left -= getattr(self, name)
            if left < 0:
                return name
        return ""


WELL = Chances()


class Gate:
    """Lets everyone through until it is closed; whoever waits goes on when it opens."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def closed(self) -> bool:
        return not self._open.is_set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        """Return as soon as the gate is open."""
        while not self._open.is_set():
            await self._open.wait()


@dataclass
class Surroundings:
    """What all parts of one world share."""

    dice: random.Random
    tally: Counter[str] = field(default_factory=Counter)
    """How often each fault took effect."""
    ghosts: set[asyncio.Task[None]] = field(default_factory=set)
    """Calls under way that nobody may wait for any more."""
    trace: list[str] | None = None
    """Every call, for those who look for a bug; None: not kept."""

    def latency_s(self) -> float:
        """Return how long a call takes one way."""
        return self.dice.expovariate(2 / LATENCY_S)

    def say(self, *words: object) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            at = asyncio.get_running_loop().time()
            self.trace.append(f"{at:9.3f} " + " ".join(str(word) for word in words))


class Link:
    """One router's process and its network. All that it hears passes here: a process that sleeps hears nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.naps = 0
        """How often the process fell asleep."""
        self._process = Gate()
        self.parted = False
        """Whether it cannot reach something."""
        self._cuts: dict[str, Gate] = {}

    @property
    def dead(self) -> bool:
        return self.died.done()

    @property
    def asleep(self) -> bool:
        return self._process.closed

    async def running(self) -> None:
        """Return when the process runs; never again if it is dead."""
        await self._process.passed()

    def pause(self) -> None:
        self._process.close()
        self.naps += 1

    def resume(self) -> None:
        if not self.dead:
            self._process.open()

    def kill(self) -> None:
        """Stop the process for good."""
        self._process.close()
        if not self.dead:
            self.died.set_result(None)

    def cut(self, address: str) -> None:
        """Part it from an address: what is sent arrives when the network heals."""
        self._cuts.setdefault(address, Gate()).close()
        self.parted = True

    def heal(self, address: str) -> None:
        if address in self._cuts:
            self._cuts[address].open()
        self.parted = any(gate.closed for gate in self._cuts.values())

    def heal_all(self) -> None:
        for address in self._cuts:
            self.heal(address)

    async def reaches(self, address: str) -> None:
        """Return when a message can pass between the process and an address."""
        if address in self._cuts:
            await self._cuts[address].passed()


class Endpoint:
    """One server: its rows outlive its process, until it is wiped."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.rows = MemoryShard(uri, uri)
        self.chances = Chances()
        self.process = Gate()
        self.down = False
        self.holds = ""
        """The replica that it was founded for: a server keeps rows under its name, and knows of no other."""
        self.lives = 0
        """How often it was killed: what waited in the process before is gone."""

    def kill(self) -> None:
        self.down = True
        self.lives += 1

    def restart(self) -> None:
        self.down = False

    async def found(self, shop: str, replica: str) -> None:
        """Hold a replica's rows from now on, if it holds none's."""
        if not self.holds:
            await self.rows.join(shop, True, FOUNDING_S)
            self.holds = replica

    def wipe(self) -> None:
        """Lose every row, and to which shop it belongs."""
        self.rows = MemoryShard(self.uri, self.uri)
        self.holds = ""
        self.lives += 1

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with it now."""
        return not self.down and self.holds != "" and not self.process.closed and self.chances == WELL


def failure(dice: random.Random, name: str, what: str) -> ShardError:
    """Return one of the errors by which a caller may learn that a call came to nothing, or seems to."""
    kind = dice.choice((ShardTimedOut, ShardUnreachable, ShardFailed))
    return kind(name, what)
