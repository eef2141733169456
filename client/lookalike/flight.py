"""Keeps the books of one stream: what is in flight, what to send again and when, and when to stop.

Pure: it says what to do next and is told what happened. It knows no clock, no thread and no gRPC; transport.py and
aio_transport.py do what it says, one blocking, one not.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from lookalike.errors import LookalikeError
from lookalike.limits import IN_FLIGHT_BYTES_MAX
from lookalike.retry import RetryPolicy
from lookalike.types import Failed

Item = TypeVar("Item")
Request = TypeVar("Request")


@dataclass(slots=True)
class Ticket(Generic[Item, Request]):
    """One item without an answer yet, and how often it was sent."""

    index: int
    item: Item
    request: Request
    size_bytes: int
    tries: int = 0

    def failed(self, error: LookalikeError) -> Failed[Item]:
        """Return this item as failed."""
        return Failed(self.index, self.item, error)


@dataclass(frozen=True, slots=True)
class Pull:
    """Take the next item from the caller."""


@dataclass(frozen=True, slots=True)
class Send(Generic[Item, Request]):
    """Send this item."""

    ticket: Ticket[Item, Request]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for news until `until_s`, then ask again; `silence` says that no news by then ends the stream."""

    until_s: float
    silence: bool


@dataclass(frozen=True, slots=True)
class End:
    """Every item has its outcome and there are no more."""


class Flight(Generic[Item, Request]):
    """The items of one stream that have no outcome yet; at most `items_max` of them."""

    def __init__(self, policy: RetryPolicy, items_max: int, silence_s: float) -> None:
        self._policy = policy
        self._reconnect = replace(policy, attempts_max=policy.reconnects_max)
        self._items_max = items_max
        self._silence_s = silence_s
        self._ready: deque[Ticket[Item, Request]] = deque()
        self._parked: list[tuple[float, int, Ticket[Item, Request]]] = []  # a heap by the time to send again
        self._sent: dict[int, Ticket[Item, Request]] = {}
        self._bytes = 0
        self._source_open = True
        self._heard_s = 0.0  # when the server last said anything, or first could have
        self._breaks = 0  # since the last answer
        self._met = False  # whether there was any answer

    def next_step(self, now_s: float) -> Pull | Send[Item, Request] | Wait | End:
        """Return what to do next."""
        while self._parked and self._parked[0][0] <= now_s:
            self._ready.append(heapq.heappop(self._parked)[2])
        if self._ready:
            return Send(self._ready[0])
        waiting = len(self._parked) + len(self._sent)
        if self._source_open and waiting < self._items_max and self._bytes < IN_FLIGHT_BYTES_MAX:
            return Pull()
        if not waiting:
            return End()
        silence_ends_s = self._heard_s + self._silence_s if self._sent else float("inf")
        due_s = self._parked[0][0] if self._parked else float("inf")
        return Wait(min(silence_ends_s, due_s), silence_ends_s <= due_s)

    def pulled(self, ticket: Ticket[Item, Request]) -> None:
        """Take in a new item."""
        self._bytes += ticket.size_bytes
        self._ready.append(ticket)

    def exhausted(self) -> None:
        """Note that the caller has no more items."""
        self._source_open = False

    def sent(self, now_s: float) -> None:
        """Note that the item of the last `Send` is on its way."""
        if not self._sent:
            self._heard_s = now_s
        ticket = self._ready.popleft()
        ticket.tries += 1
        self._sent[ticket.index] = ticket

    def landed(self, index: int, now_s: float) -> Ticket[Item, Request] | None:
        """Take out the item that succeeded; None for one that is not in flight."""
        self._heard_s = now_s
        self._breaks = 0
        self._met = True
        ticket = self._sent.pop(index, None)
        if ticket is not None:
            self._bytes -= ticket.size_bytes
        return ticket

    def refused(self, index: int, error: LookalikeError, now_s: float, dice: float) -> Failed[Item] | None:
        """Take out the item that failed for good; None for one that will be sent again."""
        ticket = self.landed(index, now_s)
        return None if ticket is None else self._again(ticket, error, now_s, dice)

    def broke(self, error: LookalikeError, now_s: float, dice: float) -> Iterator[Failed[Item]]:
        """Note that the stream is gone; yield the items that fail with it, and raise if there is no use in another.

        Whether the items in flight were done is unknown; sending them again does no harm.
        """
        self._breaks += 1
        policy = self._reconnect if self._met else self._policy
        wait_s = policy.wait_s(error, self._breaks, float("inf"), dice)
        lost, self._sent = self._sent, {}
        if wait_s is None:
            parked = (entry[2] for entry in self._parked)
            yield from (ticket.failed(error) for ticket in [*lost.values(), *self._ready, *parked])
            raise error
        for ticket in lost.values():
            if self._breaks > 1:  # the server was not even reached: not the item's fault, and no try of it
                ticket.tries -= 1
                heapq.heappush(self._parked, (now_s + wait_s, ticket.index, ticket))
                continue
            self._bytes -= ticket.size_bytes
            failed = self._again(ticket, error, now_s, dice)
            if failed is not None:
                yield failed

    def _again(
        self, ticket: Ticket[Item, Request], error: LookalikeError, now_s: float, dice: float
    ) -> Failed[Item] | None:
        wait_s = self._policy.wait_s(error, ticket.tries, float("inf"), dice)
        if wait_s is None:
            return ticket.failed(error)
        self._bytes += ticket.size_bytes
        heapq.heappush(self._parked, (now_s + wait_s, ticket.index, ticket))
        return None
