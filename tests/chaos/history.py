"""Writes down what was asked of a shop and what it answered, by one clock. Judges nothing and knows no shop.

A history is a list of frozen events, kept as JSON lines so that a run can be read again. Its clock only has to move on:
seconds of a machine, seconds of a simulation, or a counter. Equal times mean that the order is not known.
"""

import enum
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class Outcome(enum.StrEnum):
    """How a call ended for the one who made it."""

    OK = "ok"
    """It was answered; a write has taken effect."""
    REFUSED = "refused"
    """It was answered with an error that says that nothing happened and never will."""
    UNKNOWN = "unknown"
    """Nobody knows: a write may take effect later, once."""


@dataclass(frozen=True)
class Shop:
    """Who owns what, from a moment on."""

    slots: Mapping[str, int]
    """By shard; shards that own none are left out."""
    owners: Mapping[str, str]
    """The shard of every product that may ever be written: the whole universe."""
    at_s: float = 0.0
    """A history has one Shop from its beginning on, and one more for every change of owners."""


@dataclass(frozen=True)
class Write:
    """One call that replaces or deletes a product, with all its retries. The same request may be called again."""

    request: str
    """Its own name; calls of one name are one write, and take effect once."""
    product: str
    marker: str
    """What the product shows afterwards, never used by another write; empty for a delete."""
    invoked_s: float
    ended_s: float
    """When the answer came; where the outcome is UNKNOWN, when no copy of the call could begin any more."""
    outcome: Outcome
    answer: str = ""
    """What it said, as text: the same for every call of one request."""


@dataclass(frozen=True)
class Shown:
    """One product in an answer, or one version of it on a replica."""

    product: str
    marker: str
    version: int = 0
    """0 where it is not told."""


@dataclass(frozen=True)
class Claim:
    """What an answer says that it covers."""

    shards_asked: int
    shards_answered: int
    slots_fraction: float
    missing: tuple[str, ...] = ()
    """Shards whose products may be missing."""
    behind: tuple[str, ...] = ()
    """Shards that may lack acknowledged writes."""
    stale: bool = False


@dataclass(frozen=True)
class Read:
    """One search or look-up through a router. It must show every product of its scope that exists."""

    invoked_s: float
    ended_s: float
    shown: tuple[Shown, ...]
    claim: Claim | None = None
    """None: it says nothing, and so claims to cover its scope."""
    scope: tuple[str, ...] | None = None
    """None: every product of the shop."""
    outcome: Outcome = Outcome.OK
    said: str = ""
    """Through which router, and the error if there was one: for those who read the history."""


@dataclass(frozen=True)
class ReplicaRead:
    """Everything that one replica holds, read past the routers, after every fault was healed."""

    replica: str
    shard: str
    invoked_s: float
    ended_s: float
    shown: tuple[Shown, ...]
    """Every row on it, in no order: a product comes once for each of its pictures in each version."""


@dataclass(frozen=True)
class Settled:
    """What the shop said of itself after the last fault, when the time to heal was over."""

    at_s: float
    hints: int
    """Still pending."""
    differing: tuple[str, ...]
    """Products on which `verify` found a shard's replicas to differ, or shards that it could not compare."""


@dataclass(frozen=True)
class Trespass:
    """A server that is none of the shop's was written to."""

    at_s: float
    says: str


@dataclass(frozen=True)
class Fault:
    """Something that was done to the shop; only for those who read the history."""

    at_s: float
    kind: str
    target: str


Event = Shop | Write | Read | ReplicaRead | Settled | Trespass | Fault
KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Shop, Write, Read, ReplicaRead, Settled, Trespass, Fault)
}


class Recorder:
    """Collects the events of several threads by one clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take a clock that only moves on."""
        self.now_s = now_s
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def add(self, event: Event) -> None:
        """Keep one event."""
        with self._lock:
            self._events.append(event)

    def events(self) -> list[Event]:
        """Return what was kept so far."""
        with self._lock:
            return list(self._events)


def to_json(event: Event) -> str:
    """Write an event as one line."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, separators=(",", ":"), ensure_ascii=False)


def from_json(line: str) -> Event:
    """Read an event that to_json wrote."""
    told: dict[str, Any] = json.loads(line)
    kind = KINDS[told.pop("event")]
    for name in told.keys() & {"scope", "differing"}:
        told[name] = None if told[name] is None else tuple(told[name])
    if "shown" in told:
        told["shown"] = tuple(Shown(**one) for one in told["shown"])
    if "outcome" in told:
        told["outcome"] = Outcome(told["outcome"])
    if told.get("claim") is not None:
        lists = {name: tuple(told["claim"][name]) for name in ("missing", "behind")}
        told["claim"] = Claim(**(told["claim"] | lists))
    return kind(**told)


def save(events: Iterable[Event], path: Path) -> None:
    """Write a history, an event to a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(to_json(event) + "\n" for event in events)


def load(path: Path) -> list[Event]:
    """Read a history."""
    with path.open(encoding="utf-8") as file:
        return [from_json(line) for line in file]
