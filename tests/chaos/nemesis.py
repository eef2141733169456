"""Decides by a seed what breaks when, and never makes a promise unkeepable. Does not know how a thing is broken."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tests.chaos.actors import Actor, Condition, LiteReplica
from tests.chaos.cast import Cast
from tests.chaos.faults import Faults
from tests.chaos.surgery import Surgeon
from tests.chaos.tcp_proxy import Link

# How often each kind of fault comes, relative to the others.
SHARES = {
    "kill a replica": 24,
    "kill a router": 8,
    "kill a shard": 4,
    "kill a replica and a router": 5,
    "kill everything": 1,
    "pause a replica": 9,
    "pause a router": 5,
    "part one link": 9,
    "part a replica": 3,
    "part a router": 3,
    "slow": 3,
    "reset": 3,
    "half-close": 3,
    "full disk": 3,
    "impostor": 3,
    "stray rows": 5,
    "store outage": 4,
}
ROUTER_GONE = ("kill a router", "kill a replica and a router", "pause a router")
INSTEAD = ("kill a replica", "part one link", "reset")
# A pause beyond a router's lease of 3 s, one beyond the callers' patience of 8 s, and many short ones.
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 9.0)
DOWN_S = (0.0, 0.0, 0.5, 1.5, 4.0)
PARTS_S = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Tempo:
    """How fast faults follow each other; they overlap."""

    pause_s: float = 1.4
    at_once_max: int = 8
    """Faults at work at the same time."""
    wipe_every_s: float = 45.0


class Nemesis:
    """Breaks a cast until it is told to stop."""

    def __init__(
        self, cast: Cast, faults: Faults, surgeon: Surgeon, products: Sequence[str], tempo: Tempo, seed: int
    ) -> None:
        self._cast = cast
        self._faults = faults
        self._surgeon = surgeon
        self._products = products
        self._tempo = tempo
        self._dice = random.Random(f"{seed} nemesis")
        self._lite = {name: one for name, one in cast.replicas.items() if isinstance(one, LiteReplica)}
        self._deck: list[str] = []
        self._running: list[Future[None]] = []
        self._replacements: list[Future[None]] = []

    def run(self, over: Callable[[], bool], stop: threading.Event) -> None:
        """Break one thing after the other until `over`; return once every fault is healed."""
        wiped_s = time.monotonic()
        while not over() and not stop.wait(self._tempo.pause_s * self._dice.uniform(0.5, 1.5)):
            self._collect()
            self._supervise()
            if time.monotonic() - wiped_s > self._tempo.wipe_every_s:
                self._wipe()
                wiped_s = time.monotonic()
            elif len(self._running) < self._tempo.at_once_max:
                kind = self._kind()
                self._running.append(self._cast.pool.submit(self._fault(kind)))
        stop.set()
        self._finish()
        for replacement in self._replacements:
            replacement.result()

    def _kind(self) -> str:
        """Choose what happens next; a shop without any router shows nothing, and so one is left mostly."""
        self._deck = self._deck or shuffled(SHARES, self._dice)
        kind = self._deck.pop()
        all_up = all(router.condition is Condition.UP for router in self._cast.routers.values())
        return kind if all_up or kind not in ROUTER_GONE else self._dice.choice(INSTEAD)

    def _collect(self) -> None:
        """Let go of the faults that are over; raise what one of them did not foresee."""
        for fault in [fault for fault in self._running if fault.done()]:
            self._running.remove(fault)
            fault.result()

    def _supervise(self) -> None:
        """Have those started again that ended by themselves."""
        for name in self._faults.actors:
            if self._faults.ended(name):
                self._running.append(self._cast.pool.submit(self._faults.supervise, name))

    def _finish(self) -> None:
        """Wait until every fault is over and every process is back."""
        while self._running:
            self._running.pop().result()
        self._supervise()
        while self._running:
            self._running.pop().result()

    def _wipe(self) -> None:
        """Have a replica lose its data, with nothing else broken meanwhile."""
        self._finish()
        replace = self._surgeon.lose(self._target(self._lite))
        if replace is not None:
            self._replacements.append(self._cast.pool.submit(replace))

    def _fault(self, kind: str) -> Callable[[], None]:
        """Return a fault of a kind with all that chance decides about it."""
        dice, faults = self._dice, self._faults
        replica, router = self._target(self._cast.replicas), self._target(self._cast.routers)
        down_s, paused_s, parted_s = dice.choice(DOWN_S), dice.choice(PAUSES_S), dice.choice(PARTS_S)
        lossy, chance = dice.random() < 0.5, random.Random(dice.random())
        link = self._cast.link(router, replica)
        match kind:
            case "pause a replica" | "pause a router":
                return lambda: faults.pause([replica if "replica" in kind else router], paused_s)
            case "part one link" | "part a replica" | "part a router":
                return lambda: faults.part(self._links(kind, router, replica), parted_s, lossy=lossy)
            case "slow":
                return lambda: faults.slow([link], parted_s)
            case "reset":
                return lambda: faults.reset([link])
            case "half-close":
                return lambda: faults.half_close([link], parted_s)
            case "full disk":
                return lambda: faults.fill_disk(parted_s)
            case "impostor":
                victim = self._target(self._lite)
                return lambda: self._impostor(victim, parted_s)
            case "stray rows":
                return lambda: self._surgeon.stray(self._products, chance)
            case "store outage":
                return lambda: faults.hold_store(parted_s, kill=lossy)
        return lambda: faults.kill(self._victims(kind, router, replica), down_s)

    def _impostor(self, victim: str, for_s: float) -> None:
        """Let a stranger answer at a replica's address, unless an operator is adding an empty server there.

        Then the shop is told that the server is its own, and writes to whoever stands there.
        """
        if not self._surgeon.replacing(victim):
            self._faults.impostor(victim, for_s)

    def _target(self, actors: Mapping[str, Actor]) -> str:
        """Choose one that no fault has, if there is one."""
        free = [name for name, actor in actors.items() if not actor.busy.locked()]
        return self._dice.choice(free or list(actors))

    def _victims(self, kind: str, router: str, replica: str) -> list[str]:
        match kind:
            case "kill a replica":
                return [replica]
            case "kill a router":
                return [router]
            case "kill a shard":
                return [name for name in self._cast.replicas if name[0] == replica[0]]
            case "kill a replica and a router":
                return [router, replica]
        return [*self._cast.routers, *self._cast.replicas]

    def _links(self, kind: str, router: str, replica: str) -> list[Link]:
        match kind:
            case "part one link":
                return [self._cast.link(router, replica)]
            case "part a replica":
                return [self._cast.link(one, replica) for one in self._cast.routers]
        return [self._cast.link(router, one) for one in self._cast.replicas]


def shuffled(shares: Mapping[str, int], dice: random.Random) -> list[str]:
    """Return each kind as often as its share says, spread evenly: a short run sees a little of everything."""
    places: list[tuple[float, str]] = []
    for kind, share in shares.items():
        first = dice.random()
        places += [((number + first) / share, kind) for number in range(share)]
    return [kind for _, kind in sorted(places)]
