"""Writes and reads through every router and records each call. Knows no faults and judges nothing."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from lookalike import (
    Client,
    DeadlineExceeded,
    Image,
    LookalikeError,
    NotFound,
    Product,
    RetryPolicy,
    Unavailable,
    Vector,
)
from lookalike.types import Coverage, SearchResult
from tests.chaos.history import Claim, Outcome, Read, Recorder, Shown, Write
from tests.server.photos import jpeg, plain

WRITE_S = 6.0
READ_S = 4.0
# A router that is down is left for another one soon.
RETRY = RetryPolicy(attempts_max=3)
# Who hears that a router is down does not ask again at once.
REST_S = 0.3
# More than the universe, so that an answer shows everything.
LIMIT = 200
DIM = 256
COLOURS = 8
# Of a writer's calls; the rest are upserts.
DELETES = 0.25
REPLAYS = 0.08
# How often a call of unknown outcome is made again at once, under the same request id, through any router.
INSISTS = 0.5
# How often a caller goes to any router, and not to the one that answered last.
WANDERS = 0.15
# Earlier writes that may be sent again.
REMEMBERED = 40


@dataclass(frozen=True)
class Pace:
    """How much is asked of the shop."""

    writers: int = 3
    readers: int = 2
    write_pause_s: float = 0.08
    read_pause_s: float = 0.08


def universe(count: int) -> tuple[str, ...]:
    """Return the ids of all products that may ever be written."""
    return tuple(f"p{number}" for number in range(count))


@cache
def picture(number: int) -> bytes:
    """Return a tiny photo of a colour of its own."""
    return jpeg(plain((255, 32 * (number % COLOURS), 128), 16, 16))


class Workload:
    """Callers on threads of their own, from `start` to `stop`."""

    def __init__(
        self, clients: Sequence[Client], recorder: Recorder, products: Sequence[str], pace: Pace, seed: int
    ) -> None:
        """Take a client for each router; every tenth product is written by all writers, the others by one each."""
        self._stop = threading.Event()
        contested = list(products[::10])
        own = [product for product in products if product not in contested]
        bodies: list[tuple[str, Callable[[], bool], float]] = []
        for number in range(pace.writers):
            dice = random.Random(f"{seed} writer {number}")
            writer = Writer(f"w{number}", clients, recorder, [*own[number :: pace.writers], *contested], dice)
            bodies.append((writer.name, writer.step, pace.write_pause_s))
        for number in range(pace.readers):
            reader = Reader(clients, recorder, products, random.Random(f"{seed} reader {number}"))
            bodies.append((f"r{number}", reader.step, pace.read_pause_s))
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(step, pause_s), name=name) for name, step, pause_s in bodies
        ]

    def start(self) -> None:
        """Start all callers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every caller end its call; raise what one of them did not foresee."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _repeat(self, step: Callable[[], bool], pause_s: float) -> None:
        try:
            while not self._stop.wait(pause_s):
                if not step():
                    self._stop.wait(REST_S)
        except BaseException as error:  # `stop` raises it in the caller's thread
            self._failed.append(error)


class Doors:
    """Which router a caller goes to: the one that answered last, mostly."""

    def __init__(self, clients: Sequence[Client], dice: random.Random) -> None:
        self._clients = clients
        self._dice = dice
        self._last = dice.choice(clients)

    def choose(self) -> Client:
        """Return the one to call."""
        if self._dice.random() < WANDERS:
            self._last = self._dice.choice(self._clients)
        return self._last

    def leave(self) -> None:
        """Go to another one from now on."""
        others = [client for client in self._clients if client is not self._last]
        self._last = self._dice.choice(others or self._clients)


@dataclass(frozen=True)
class Order:
    """One write that can be sent again."""

    request: str
    product: str
    marker: str
    """Empty: a delete."""
    pictures: int


class Writer:
    """Upserts, deletes, and sends old requests again."""

    def __init__(
        self, name: str, clients: Sequence[Client], recorder: Recorder, products: Sequence[str], dice: random.Random
    ) -> None:
        self.name = name
        self._doors = Doors(clients, dice)
        self._recorder = recorder
        self._products = products
        self._dice = dice
        self._count = 0
        self._done: list[Order] = []
        self._written: set[str] = set()

    def step(self) -> bool:
        """Make one write, or one that was acknowledged before once more; say whether it was acknowledged."""
        if self._done and self._dice.random() < REPLAYS:
            return self._send(self._dice.choice(self._done)) is Outcome.OK
        self._count += 1
        product = self._dice.choice(self._products)
        name = f"{self.name}-{self._count}"
        marker = "" if self._dice.random() < DELETES and product in self._written else name
        self._written.add(product)
        order = Order(f"request-{name}", product, marker, self._dice.choice((1, 1, 2)))
        outcome = self._send(order)
        if outcome is Outcome.UNKNOWN and self._dice.random() < INSISTS:
            outcome = self._send(order)
        if outcome is Outcome.OK:
            self._done = [*self._done[-REMEMBERED:], order]
        return outcome is Outcome.OK

    def _send(self, order: Order) -> Outcome:
        client = self._doors.choose()
        begun_s = self._recorder.now_s()
        outcome, answer = Outcome.OK, ""
        try:
            answer = sent(client, order)
        except NotFound as absent:
            # A first try of the same call may have deleted it; whoever says so must not show it.
            outcome, answer = Outcome.UNKNOWN, str(absent)
            self._recorder.add(Read(begun_s, self._recorder.now_s(), (), scope=(order.product,), said=client.address))
        except (Unavailable, DeadlineExceeded) as unknown:
            outcome, answer = Outcome.UNKNOWN, str(unknown)
            self._doors.leave()
        ended_s = self._recorder.now_s()
        if outcome is Outcome.UNKNOWN:
            ended_s = max(ended_s, begun_s + WRITE_S)  # copies of it may be on their way until their deadline
        self._recorder.add(Write(order.request, order.product, order.marker, begun_s, ended_s, outcome, answer))
        return outcome


def sent(client: Client, order: Order) -> str:
    """Make the call and return its answer as text."""
    if not order.marker:
        return str(client.delete(order.product, request_id=order.request, timeout_s=WRITE_S))
    # The colours follow from the request: sent again, it is the same.
    first = sum(order.request.encode())
    images = tuple(Image(picture(first + number)) for number in range(order.pictures))
    product = Product(order.product, title=order.marker, images=images)
    result = client.upsert(product, request_id=order.request, timeout_s=WRITE_S)
    return f"{result.outcome}, {result.product.title}"


class Reader:
    """Searches for everything, by a vector or by a product, and looks up single products."""

    def __init__(
        self, clients: Sequence[Client], recorder: Recorder, products: Sequence[str], dice: random.Random
    ) -> None:
        self._doors = Doors(clients, dice)
        self._recorder = recorder
        self._products = products
        self._dice = dice

    def step(self) -> bool:
        """Make one read; say whether it was answered."""
        client, product = self._doors.choose(), self._dice.choice(self._products)
        read = self._dice.choice((self._search, self._search, self._similar, self._get))
        begun_s = self._recorder.now_s()
        try:
            shown, claim, scope = read(client, product)
            outcome, said = Outcome.OK, client.address
        except NotFound:  # says that the product does not exist
            shown, claim, scope, outcome, said = (), None, (product,), Outcome.OK, client.address
        except LookalikeError as error:
            shown, claim, scope, outcome, said = (), None, (), Outcome.UNKNOWN, f"{client.address} {error}"
            self._doors.leave()
        self._recorder.add(Read(begun_s, self._recorder.now_s(), shown, claim, scope, outcome, said))
        return outcome is Outcome.OK

    def _search(self, client: Client, product: str) -> "Seen":
        vector = [self._dice.uniform(0, 1) for _ in range(3)] + [0.0] * (DIM - 3)
        result = client.search(vector=Vector(tuple(vector)), limit=LIMIT, timeout_s=READ_S)
        return shown_in(result), claim_of(result.coverage), None

    def _similar(self, client: Client, product: str) -> "Seen":
        result = client.search(product_id=product, limit=LIMIT, timeout_s=READ_S)
        others = tuple(other for other in self._products if other != product)
        return shown_in(result), claim_of(result.coverage), others

    def _get(self, client: Client, product: str) -> "Seen":
        found = client.get(product, timeout_s=READ_S)
        return (Shown(found.product_id, found.title),), None, (product,)


Seen = tuple[tuple[Shown, ...], Claim | None, tuple[str, ...] | None]
"""What was shown, what it claims to cover, and which products were asked for; None: all."""


def shown_in(result: SearchResult) -> tuple[Shown, ...]:
    """Return the products of an answer."""
    return tuple(Shown(hit.product.product_id, hit.product.title) for hit in result.hits)


def claim_of(coverage: Coverage) -> Claim:
    """Return what an answer says that it covers."""
    return Claim(
        coverage.shards_asked,
        coverage.shards_answered,
        coverage.slots_fraction,
        tuple(one.shard for one in coverage.missing),
        coverage.behind,
        coverage.map_may_be_stale,
    )
