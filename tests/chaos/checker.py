"""Says which promises a history breaks, each by its own name. Knows nothing of how the history came about.

Each product is a register. What a read may show follows from one number, `since`: the latest start of a write that was
acknowledged before the read began. Whatever ended before that start was overwritten for good: an acknowledged write, a
delete, and also a write of unknown outcome. Everything else that was under way may be seen or not, in any order.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate
from operator import and_, attrgetter

from tests.chaos.history import Claim, Event, Outcome, Read, ReplicaRead, Settled, Shop, Shown, Trespass, Write

# Fractions travel as 32-bit floats; one slot of 16,384 is a thousand times more.
FRACTION_ERROR_MAX = 1e-6
EVER = float("-inf")
# A router that could not see a change of owners for so long has lost its lease, and says so.
SEEN_S_MAX = 4.0


@dataclass(frozen=True)
class Violation:
    """A broken promise."""

    product: str
    """Or the shard or replica; empty where it concerns all."""
    says: str

    @property
    def name(self) -> str:
        return type(self).__name__


class LostWrite(Violation):
    """An acknowledged write is not there."""


class RevivedProduct(Violation):
    """A product is shown after its delete was acknowledged."""


class DoubledProduct(Violation):
    """A product is in one answer twice."""


class PhantomProduct(Violation):
    """Something is shown that nobody wrote, or whose write was refused."""


class StaleAnswer(Violation):
    """An older write of a product is shown after a newer one was acknowledged."""


class RepeatedEffect(Violation):
    """A request took effect twice, or was answered in two ways."""


class WrongCoverage(Violation):
    """What an answer shows contradicts what it says that it covers."""


class DivergedReplicas(Violation):
    """The replicas of a shard hold different rows after all was healed."""


class HintsLeft(Violation):
    """Hints are still pending after all was healed."""


class WrongServer(Violation):
    """A server that does not belong to the shop was written to."""


def check(history: Iterable[Event]) -> list[Violation]:
    """Return every broken promise once, in the order in which it shows; the history needs a Shop."""
    events = list(history)
    judge = Judge(sorted((one for one in events if isinstance(one, Shop)), key=attrgetter("at_s")), events)
    found: dict[tuple[str, str, str], Violation] = {}
    for violation, key in judge.all():
        found.setdefault((violation.name, violation.product, key), violation)
    return list(found.values())


class Register:
    """The writes of one product, each request once."""

    def __init__(self, calls: Sequence[Write]) -> None:
        """Take every call that could write the product."""
        named: dict[str, list[Write]] = defaultdict(list)
        for call in calls:
            named[call.request].append(call)
        self.calls = named
        self.writes = [joined(calls_of_one) for calls_of_one in named.values()]
        self.by_marker = {write.marker: write for write in self.writes if write.marker}
        self._acked = sorted((w for w in self.writes if w.outcome is Outcome.OK), key=attrgetter("ended_s"))
        self._acked_ends = [write.ended_s for write in self._acked]
        self._newest = list(accumulate(self._acked, begun_later))
        deletes = [w for w in self.writes if not w.marker and w.outcome is not Outcome.REFUSED]
        deletes.sort(key=attrgetter("invoked_s"))
        self._delete_starts = [write.invoked_s for write in deletes]
        self._delete_ends = list(accumulate((write.ended_s for write in deletes), max))

    def newest(self, invoked_s: float) -> Write | None:
        """Return the write that began last of those acknowledged before a time."""
        count = bisect.bisect_left(self._acked_ends, invoked_s)
        return self._newest[count - 1] if count else None

    def may_be_absent(self, since: float, ended_s: float) -> bool:
        """Say whether a read that ended then may show nothing."""
        count = bisect.bisect_right(self._delete_starts, ended_s)
        return since == EVER or (count > 0 and self._delete_ends[count - 1] >= since)


def begun_later(one: Write, other: Write) -> Write:
    """Return the one that began later."""
    return other if other.invoked_s > one.invoked_s else one


def joined(calls: Sequence[Write]) -> Write:
    """Return one request's calls as the one write that they are."""
    acked = [call for call in calls if call.outcome is Outcome.OK]
    unknown = [call for call in calls if call.outcome is Outcome.UNKNOWN]
    # After the first acknowledgement nothing may happen any more, however often the request is sent.
    ended_s = min(call.ended_s for call in acked) if acked else max(call.ended_s for call in unknown or calls)
    outcome = Outcome.OK if acked else Outcome.UNKNOWN if unknown else Outcome.REFUSED
    return replace(calls[0], invoked_s=min(call.invoked_s for call in calls), ended_s=ended_s, outcome=outcome)


Named = tuple[Violation, str]
"""A violation, and what tells it from others of its name and product."""


class Judge:
    """Goes through a history."""

    def __init__(self, shops: Sequence[Shop], events: Sequence[Event]) -> None:
        """Take the whole history, and the owners in the order in which they followed each other."""
        self._shops = shops
        self._shop = shops[-1]
        """The one by which is judged."""
        self._events = events
        calls: dict[str, list[Write]] = defaultdict(list)
        for event in events:
            if isinstance(event, Write):
                calls[event.product].append(event)
        self._registers = {product: Register(calls[product]) for product in {*self._shop.owners, *calls}}
        self._versions: dict[str, set[int]] = defaultdict(set)
        self._seen: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for event in events:
            for shown in event.shown if isinstance(event, Read | ReplicaRead) else ():
                if isinstance(event, ReplicaRead) and self._shop.owners.get(shown.product) != event.shard:
                    continue  # an old copy where nobody looks
                self._versions[shown.marker].update({shown.version} - {0})
                if isinstance(event, Read):
                    self._seen[shown.product].append((event.invoked_s, shown.marker))

    def all(self) -> Iterator[Named]:
        """Return every violation, also those that repeat."""
        yield from self._answers()
        for event in self._events:
            match event:
                case Read(outcome=Outcome.OK):
                    yield from self._read_under_any(event)
                case ReplicaRead():
                    yield from self._replica(event)
                case Settled():
                    yield from settled(event)
                case Trespass():
                    yield WrongServer("", f"{event.says} at {event.at_s:.3f}"), event.says
        yield from self._equal([event for event in self._events if isinstance(event, ReplicaRead)])

    def _answers(self) -> Iterator[Named]:
        """Compare what the calls of one request were told, and what they left behind."""
        for product, register in self._registers.items():
            for marker in register.by_marker:
                if len(versions := self._versions[marker]) > 1:
                    yield RepeatedEffect(product, f"{marker!r} was written as versions {sorted(versions)}"), marker
            for request, calls in register.calls.items():
                told = {f"{call.outcome}: {call.answer}" for call in calls if call.outcome is not Outcome.UNKNOWN}
                if len(told) > 1:
                    yield RepeatedEffect(product, f"request {request} was answered {' and '.join(sorted(told))}"), ""

    def _read_under_any(self, read: Read) -> Iterator[Named]:
        """Judge a read by the owners that it went by: those of some moment while it lasted, or shortly before.

        An answer that says it is stale is of a router that sees no changes: it may go by those of any earlier moment.
        """
        began = [shop for shop in self._shops if shop.at_s <= read.invoked_s - SEEN_S_MAX]
        during = [shop for shop in self._shops if read.invoked_s - SEEN_S_MAX < shop.at_s <= read.ended_s]
        found: list[Named] = []
        stale = read.claim is not None and read.claim.stale
        for shop in [*during[::-1], *began[: None if stale else -2 : -1]]:
            self._shop = shop
            found = list(self._read(read))
            if not found:
                break
        self._shop = self._shops[-1]
        yield from found

    def _read(self, read: Read) -> Iterator[Named]:
        yield from self._claim(read.claim)
        shown: dict[str, Shown] = {}
        for one in read.shown:
            if one.product in shown:
                yield DoubledProduct(one.product, f"twice in the answer at {read.ended_s:.3f}"), ""
            shown.setdefault(one.product, one)
            yield from self._phantom(one, read.ended_s)
        claim = read.claim or Claim(0, 0, 1.0)
        scope = self._shop.owners if read.scope is None else read.scope
        for product in {*scope, *shown} & self._shop.owners.keys():
            owner = self._shop.owners[product]
            if owner in claim.missing:
                if product in shown:
                    says = f"shown at {read.ended_s:.3f} though its shard {owner} is said to be missing"
                    yield WrongCoverage(product, says), ""
            elif not claim.stale:
                yield from self._value(product, shown.get(product), read, owner in claim.behind)

    def _claim(self, claim: Claim | None) -> Iterator[Named]:
        if claim is None:
            return
        owning = self._shop.slots.keys()
        answered = owning - set(claim.missing)
        fraction = sum(self._shop.slots[shard] for shard in answered) / sum(self._shop.slots.values())
        if claim.shards_asked != len(owning) or claim.shards_answered != len(answered):
            counts = f"{claim.shards_answered} of {claim.shards_asked}, missing {', '.join(claim.missing) or 'none'}"
            yield WrongCoverage("", f"the answer says {counts} of the {len(owning)} shards"), "count"
        if abs(claim.slots_fraction - fraction) > FRACTION_ERROR_MAX:
            yield (
                WrongCoverage("", f"the answer says {claim.slots_fraction:.6f} of the slots, not {fraction:.6f}"),
                "of",
            )
        if stranger := {*claim.missing, *claim.behind} - owning:
            yield WrongCoverage("", f"the answer names shards that own nothing: {', '.join(sorted(stranger))}"), "who"

    def _phantom(self, shown: Shown, ended_s: float) -> Iterator[Named]:
        register = self._registers.get(shown.product)
        write = register.by_marker.get(shown.marker) if register else None
        if write is None or write.outcome is Outcome.REFUSED or write.invoked_s > ended_s:
            why = "nobody wrote" if write is None else "was refused" if write.invoked_s <= ended_s else "came later"
            yield PhantomProduct(shown.product, f"shows {shown.marker!r} at {ended_s:.3f}: {why}"), shown.marker

    def _value(self, product: str, shown: Shown | None, read: Read | ReplicaRead, lenient: bool) -> Iterator[Named]:
        """Judge what a read shows of one product; a lenient one may show what is old, but nothing deleted."""
        register = self._registers[product]
        newest = register.newest(read.invoked_s)
        since = EVER if newest is None else newest.invoked_s
        on_replica = isinstance(read, ReplicaRead)
        if shown is None:
            if not lenient and newest is not None and not register.may_be_absent(since, read.ended_s):
                says = f"{newest.marker!r}, acknowledged at {newest.ended_s:.3f}, is missing at {read.ended_s:.3f}"
                complete = not on_replica and isinstance(read, Read) and read.claim is not None
                yield (WrongCoverage if complete else LostWrite)(product, f"{says} {where(read)}"), newest.marker
            return
        write = register.by_marker.get(shown.marker)
        if write is None or newest is None or write.ended_s >= since:
            return
        if lenient and newest.marker:
            return
        later = f"{newest.marker!r}" if newest.marker else "the delete"
        says = f"shows {shown.marker!r} at {read.ended_s:.3f} {where(read)}; {later} was acknowledged at"
        kind = self._overwritten(register, write, newest, on_replica)
        yield kind(product, f"{says} {newest.ended_s:.3f}"), f"{shown.marker} {newest.request}"

    def _overwritten(self, register: Register, write: Write, newest: Write, on_replica: bool) -> type[Violation]:
        """Name the promise broken by showing `write` after `newest`."""
        if any(call.invoked_s > newest.invoked_s for call in register.calls[write.request]):
            return RepeatedEffect  # it was sent again after the newer one
        if not newest.marker:
            return RevivedProduct
        if not on_replica:
            return StaleAnswer
        after = [marker for at_s, marker in self._seen[write.product] if at_s > newest.ended_s]
        # Once it was replaced for all to see; so it was written again, not the newer one lost.
        replaced = any(register.by_marker[m].ended_s >= newest.invoked_s for m in after if m in register.by_marker)
        return RepeatedEffect if replaced else LostWrite

    def _replica(self, read: ReplicaRead) -> Iterator[Named]:
        newest: dict[str, Shown] = {}
        for one in read.shown:
            if self._shop.owners.get(one.product) != read.shard:
                continue  # what lies on a shard that does not own it is never shown
            yield from self._phantom(one, read.ended_s)
            newest[one.product] = max(newest.get(one.product, one), one, key=attrgetter("version"))
        for product, owner in self._shop.owners.items():
            if owner == read.shard:
                yield from self._value(product, newest.get(product), read, lenient=False)

    def _equal(self, reads: Sequence[ReplicaRead]) -> Iterator[Named]:
        """Compare the replicas of each shard, dead rows included."""
        by_shard: dict[str, dict[str, Counter[Shown]]] = defaultdict(dict)
        for read in reads:
            owned = Counter(one for one in read.shown if self._shop.owners.get(one.product) == read.shard)
            by_shard[read.shard][read.replica] = owned
        for shard, replicas in by_shard.items():
            common = reduce(and_, replicas.values())
            for replica, rows in replicas.items():
                if extra := rows - common:
                    one = min(extra, key=attrgetter("product", "version"))
                    says = f"{replica} holds {extra.total()} that not all replicas hold: {one.product} {one.marker!r}"
                    yield DivergedReplicas(shard, says), replica


def where(read: Read | ReplicaRead) -> str:
    """Say where something was read."""
    return f"on {read.replica}" if isinstance(read, ReplicaRead) else f"in an answer {read.said}".rstrip()


def settled(event: Settled) -> Iterator[Named]:
    """Judge what the shop said of itself in the end."""
    if event.hints:
        yield HintsLeft("", f"{event.hints} hints are pending at {event.at_s:.3f}"), ""
    for name in event.differing:
        yield DivergedReplicas(name, f"verify finds that it differs at {event.at_s:.3f}"), "verify"
