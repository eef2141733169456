"""Callers that write, delete and read through any router, send again under the same request id, and note what they saw.

Knows no faults. What a server does around the router (first answers, unchanged products, one turn per product) is done
here in the same order.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Coverage, Picture, ProductWrite, Request
from lookalike_router.errors import Repeated, RouterError
from lookalike_router.shard import Stored
from lookalike_router.slots import slot_of
from tests.chaos.checker import Violation
from tests.chaos.history import Claim, Outcome, Read, Shown, Write
from tests.parts.shop import MODEL, vectors
from tests.simulation.node import Gone, Node, Overdue
from tests.simulation.world import World

# More than all pictures of all products, so that an answer shows everything.
LIMIT = 100
VECTORS = 64
PICTURES_MAX = 3
# Of a client's calls.
READS = 0.3
DELETES = 0.25
REPLAYS = 0.15
# How often who has just written looks at once, through any router: what is acknowledged must be there.
LOOKS_AFTER = 0.5
# How often a call that came to nothing known is made again.
INSISTS = 0.7
TRIES_MAX = 3
DEADLINES_S = (1.0, 3.0, 6.0)


class LateAnswer(Violation):
    """A read did not end by its deadline, though its router was awake."""


class BrokenCode(Violation):
    """Something was raised that nobody foresaw."""


class TornProduct(Violation):
    """A product is shown without all its pictures, or with those of two versions."""


class DeadlinePassed(Exception):
    """The server noticed that nobody waits any more."""


@cache
def pool() -> npt.NDArray[np.float32]:
    """Return the vectors of all pictures and queries (VECTORS, 256)."""
    return vectors(VECTORS, seed=1)


@dataclass(frozen=True)
class Order:
    """One write that can be sent again."""

    request: str
    product: str
    pictures: int
    """0: a delete."""

    @property
    def marker(self) -> str:
        """What the product shows afterwards: also how many pictures, so that a lost one is noticed."""
        return f"{self.request}*{self.pictures}" if self.pictures else ""


class Client:
    """One caller; it makes one call at a time."""

    def __init__(self, name: str, world: World, dice: random.Random) -> None:
        self._name = name
        self._world = world
        self._dice = dice
        self._count = 0
        self._sent: list[Order] = []

    async def run(self, calls: int, pause_s: float) -> None:
        """Make so many calls."""
        for _ in range(calls):
            await asyncio.sleep(self._dice.expovariate(1 / pause_s))
            if self._dice.random() < READS:
                await self.read()
            elif self._sent and self._dice.random() < REPLAYS:
                await self._send(self._dice.choice(self._sent))
            else:
                await self._write(self._new())

    def _new(self) -> Order:
        self._count += 1
        pictures = 0 if self._dice.random() < DELETES else self._dice.randint(1, PICTURES_MAX)
        return Order(f"{self._name}.{self._count}", self._dice.choice(self._world.products), pictures)

    async def _write(self, order: Order) -> None:
        self._sent.append(order)
        for _ in range(TRIES_MAX):
            if await self._send(order) is Outcome.OK:
                if self._dice.random() < LOOKS_AFTER:
                    await self.read()
                return
            if self._dice.random() >= INSISTS:
                return
            await asyncio.sleep(self._dice.uniform(0.05, 0.5))

    async def _send(self, order: Order) -> Outcome:
        world = self._world
        node = world.any_node(self._dice)
        begun_s, deadline_s = world.now_s(), self._dice.choice(DEADLINES_S)
        outcome, answer = Outcome.UNKNOWN, ""
        if node is None:
            await asyncio.sleep(0.5)
        else:
            world.around.say(self._name, "sends", order, "to", node.link.name)
            try:
                answer = await node.call(lambda on, until: self._serve(on, order, until), begun_s + deadline_s)
                outcome = Outcome.OK
            except (RouterError, Gone, Overdue, DeadlinePassed) as error:
                answer = repr(error)
            except Exception as error:  # a bug of the router is a finding, not an end
                world.found.append(BrokenCode(order.product, f"{order}: {error!r}"))
            world.around.say(self._name, "hears of", order.request, outcome, answer)
        ended_s = world.now_s()
        if outcome is Outcome.UNKNOWN:
            ended_s = max(ended_s, begun_s + deadline_s)  # until then a copy of it may begin
        world.add(Write(order.request, order.product, order.marker, begun_s, ended_s, outcome, answer))
        return outcome

    async def _serve(self, node: Node, order: Order, until: float) -> str:
        """Do what the server does with a write; return its answer."""
        async with node.requests.turn(order.request), node.products.turn(order.product):
            first = await node.router.replay(order.request, order.request)
            if first is not None:
                return first
            if not order.pictures:
                gone = await node.router.delete(
                    order.product, self._left_s(until), Request(order.request, order.request, "")
                )
                return str(gone)
            return await self._upsert(node, order, until)

    async def _upsert(self, node: Node, order: Order, until: float) -> str:
        rows = (await node.router.get([order.product], self._left_s(until))).get(order.product, [])
        unchanged = bool(rows) and shown(rows).marker == order.marker
        unchanged = unchanged and await node.router.settled(order.product)
        outcome = "unchanged" if unchanged else "updated" if rows else "created"
        request = Request(order.request, order.request, outcome)
        if unchanged:
            await node.router.record(request)
            return outcome
        [error] = await node.router.upsert([product_of(order, request)], self._left_s(until))
        if isinstance(error, Repeated):
            return error.text
        if error is not None:
            raise error
        return outcome

    def _left_s(self, until: float) -> float:
        left_s = until - self._world.now_s()
        if left_s <= 0:
            raise DeadlinePassed
        return left_s

    async def read(self, node: Node | None = None, what: "Reading | None" = None) -> Outcome:
        """Make one read, of any kind and through any router unless they are told."""
        world = self._world
        node = node or world.any_node(self._dice)
        if node is None:
            return Outcome.UNKNOWN
        what = what or self._dice.choice((self.search, self.search, self.search, self._get, self._scan))
        product = self._dice.choice(world.products)
        begun_s, deadline_s = world.now_s(), self._dice.choice(DEADLINES_S)
        seen: tuple[Shown, ...] = ()
        claim: Claim | None = None
        scope: tuple[str, ...] | None = ()
        outcome, said = Outcome.UNKNOWN, node.link.name
        try:
            seen, claim, scope = await node.call(lambda on, until: what(on, product, until), begun_s + deadline_s)
            outcome = Outcome.OK
        except (RouterError, Gone) as error:
            said += f" {error!r}"
        except Overdue:
            world.found.append(LateAnswer("", f"{what.__name__} through {said} at {begun_s:.3f} within {deadline_s} s"))
        except Exception as error:
            world.found.append(BrokenCode("", f"{what.__name__}: {error!r}"))
        world.add(Read(begun_s, world.now_s(), seen, claim, scope, outcome, f"{what.__name__} {said}"))
        world.around.say(
            self._name, what.__name__, product, said, outcome, *(f"{one.product}={one.marker}" for one in seen), claim
        )
        return outcome

    async def search(self, node: Node, product: str, until: float) -> "Seen":
        """Search for everything, near a vector that is no product's in particular."""
        query = pool()[self._dice.randrange(VECTORS)]
        found = await node.router.search(query[None], LIMIT, deadline_s=until - self._world.now_s())
        for one in found.explain():
            tally = self._world.around.tally
            tally["rows dropped: older"] += one.older
            tally["rows dropped: not owner"] += one.not_owner
            tally["hedges"] += bool(one.hedge)
            tally["retries"] += bool(one.retry)
        for hit in found.answers[0]:
            self._pictures(hit.product_id, str(hit.attributes["title"]), hit.images_matched, "a search")
        seen = tuple(Shown(hit.product_id, str(hit.attributes["title"])) for hit in found.answers[0])
        return seen, claim_of(found.coverage), None

    async def _get(self, node: Node, product: str, until: float) -> "Seen":
        found = await node.router.get([product], until - self._world.now_s())
        return self._seen(found.values()), None, (product,)

    async def _scan(self, node: Node, product: str, until: float) -> "Seen":
        page = await node.router.scan(None, LIMIT, deadline_s=until - self._world.now_s())
        return self._seen(page.products), None, None

    def _seen(self, products: Iterable[Sequence[Stored]]) -> tuple[Shown, ...]:
        for rows in products:
            one = shown(rows)
            self._world.versions.setdefault(one.product, {})[rows[0].version] = one.marker
            self._pictures(one.product, one.marker, len(rows), "a look-up")
        return tuple(map(shown, products))

    def _pictures(self, product: str, marker: str, pictures: int, where: str) -> None:
        """Compare how many pictures are shown with how many were written."""
        if marker.rpartition("*")[2] != str(pictures):
            says = f"{where} at {self._world.now_s():.3f} shows {marker} with {pictures} pictures"
            self._world.found.append(TornProduct(product, says))


Seen = tuple[tuple[Shown, ...], Claim | None, tuple[str, ...] | None]
"""What was shown, what it claims to cover, and which products were asked for; None: all."""
Reading = Callable[[Node, str, float], Awaitable[Seen]]
"""One kind of read; all but a search look at one product, or ignore it."""


def product_of(order: Order, request: Request | None) -> ProductWrite:
    """Return what an upsert writes; its vectors follow from the request."""
    first = slot_of(order.request)
    pictures = tuple(
        Picture(f"picture {i}", pool()[(first + i) % VECTORS], {"uri": f"{i}.jpg"}) for i in range(order.pictures)
    )
    return ProductWrite(order.product, MODEL, {"title": order.marker}, pictures, request)


def shown(rows: Sequence[Stored]) -> Shown:
    """Return what a product's rows show."""
    return Shown(rows[0].product_id, str(rows[0].attributes["title"]))


def claim_of(coverage: Coverage) -> Claim:
    """Return what an answer says that it covers."""
    return Claim(
        coverage.shards_asked,
        coverage.shards_answered,
        coverage.slots_fraction,
        tuple(one.shard for one in coverage.missing),
        coverage.behind,
        coverage.stale,
    )
