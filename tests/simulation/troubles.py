"""Breaks a world as its schedule says, and mends it in the end. Knows no callers and judges nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lookalike_router.errors import RouterError
from lookalike_router.shard import Row
from lookalike_router.slots import slot_of
from lookalike_router.store import ReplicaPlace, Sync
from tests.simulation.clients import Order, product_of
from tests.simulation.faults import STORE, Chances, Endpoint
from tests.simulation.moving import Operator, Striker
from tests.simulation.node import Gone, Node, Overdue
from tests.simulation.schedules import Kind, Trouble
from tests.simulation.world import World

OPERATOR_DEADLINE_S = 5.0
RESTART_S = 0.5


class Troubles:
    """All that goes wrong in one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fragile: set[str] = set()
        """Shards of which one replica alone has everything: nothing else may happen to them."""
        self._healed = False
        self._operators: list[asyncio.Task[None]] = []
        self._hurt: dict[str, int] = {}  # by shard, how many troubles it has now
        self._do: dict[Kind, Callable[[Trouble], Coroutine[Any, Any, None]]] = {
            Kind.KILL: self._kill,
            Kind.PAUSE: self._pause,
            Kind.SLOW: self._slow,
            Kind.LOSSY: self._lossy,
            Kind.ECHO: self._echo,
            Kind.WIPE: self._wipe,
            Kind.CUT: self._cut,
            Kind.CRASH: self._crash,
            Kind.SLEEP: self._sleep,
            Kind.CUT_STORE: self._cut_store,
            Kind.OUTAGE: self._outage,
            Kind.FLAKY: self._flaky,
            Kind.STRAY: self._stray,
            Kind.GROW: self._grow,
            Kind.MOVE: self._move,
        }

    async def play(self, trouble: Trouble) -> None:
        """Wait for a trouble's time, and let it happen and end."""
        await asyncio.sleep(trouble.at_s)
        if not self._healed:
            await self._do[trouble.kind](trouble)

    async def heal(self) -> None:
        """End every trouble; return when operators have done what they had begun."""
        self._healed = True
        world = self._world
        for endpoint in world.endpoints.values():
            endpoint.restart()
            endpoint.process.open()
            endpoint.chances = Chances()
        world.weather.down, world.weather.chances = False, Chances()
        for node in world.nodes:
            node.link.heal_all()
            node.link.resume()
        while left := [task for task in self._operators if not task.done()]:
            await asyncio.wait(left)  # what they do may need others to begin
        for task in self._operators:
            task.result()

    def _place(self, trouble: Trouble) -> ReplicaPlace:
        shards = sorted(self._world.map.replicas)
        places = self._world.map.replicas[shards[trouble.shard % len(shards)]]
        return places[trouble.replica % len(places)]

    def _endpoint(self, place: ReplicaPlace) -> Endpoint:
        return self._world.endpoints[place.uri]

    def _node(self, trouble: Trouble) -> Node | None:
        alive = self._world.alive()
        return alive[trouble.router % len(alive)] if alive else None

    async def _hurting(
        self, trouble: Trouble, begin: Callable[[Endpoint], None], end: Callable[[Endpoint], None]
    ) -> None:
        """Break an endpoint for a while, unless its shard could not bear that."""
        place = self._place(trouble)
        if place.shard in self._fragile:
            return
        endpoint = self._endpoint(place)
        self._hurt[place.shard] = self._hurt.get(place.shard, 0) + 1
        self._world.broke(trouble.kind, place.name)
        begin(endpoint)
        await asyncio.sleep(trouble.lasts_s)
        end(endpoint)
        self._world.around.say("ends", trouble.kind, place.name)
        self._hurt[place.shard] -= 1

    async def _kill(self, trouble: Trouble) -> None:
        await self._hurting(trouble, Endpoint.kill, Endpoint.restart)

    async def _pause(self, trouble: Trouble) -> None:
        await self._hurting(trouble, lambda one: one.process.close(), lambda one: one.process.open())

    async def _slow(self, trouble: Trouble) -> None:
        def slow(one: Endpoint) -> None:
            one.chances = Chances(slow_s=trouble.strength)

        await self._hurting(trouble, slow, well)

    async def _lossy(self, trouble: Trouble) -> None:
        each = trouble.strength * 0.3

        def lossy(one: Endpoint) -> None:
            one.chances = Chances(each / 2, each, each, each / 2, each / 2)

        await self._hurting(trouble, lossy, well)

    async def _echo(self, trouble: Trouble) -> None:
        """Have every write to a shard come twice: a network between that sends again what was not confirmed."""
        shard = self._place(trouble).shard
        endpoints = [self._endpoint(place) for place in self._world.map.replicas[shard]]
        self._world.broke(trouble.kind, shard)
        for endpoint in endpoints:
            endpoint.chances = Chances(doubles=0.5 + trouble.strength / 2)
        await asyncio.sleep(trouble.lasts_s)
        for endpoint in endpoints:
            well(endpoint)

    async def _cut(self, trouble: Trouble) -> None:
        node = self._node(trouble)
        if node is not None:
            await self._hurting(trouble, lambda one: node.link.cut(one.uri), lambda one: node.link.heal(one.uri))

    async def _cut_store(self, trouble: Trouble) -> None:
        node = self._node(trouble)
        if node is not None:
            self._world.broke(trouble.kind, node.link.name)
            node.link.cut(STORE)
            await asyncio.sleep(trouble.lasts_s)
            node.link.heal(STORE)

    async def _outage(self, trouble: Trouble) -> None:
        self._world.broke(trouble.kind, STORE)
        self._world.weather.down = True
        await asyncio.sleep(trouble.lasts_s)
        self._world.weather.down = False

    async def _flaky(self, trouble: Trouble) -> None:
        self._world.broke(trouble.kind, STORE)
        each = trouble.strength * 0.15
        self._world.weather.chances = Chances(fails=each, loses=each, late=each)
        await asyncio.sleep(trouble.lasts_s)
        self._world.weather.chances = Chances()

    async def _sleep(self, trouble: Trouble) -> None:
        node = self._node(trouble)
        if node is not None:
            self._world.broke(trouble.kind, node.link.name)
            node.link.pause()
            await asyncio.sleep(trouble.lasts_s)
            node.link.resume()
            self._world.around.say("ends", trouble.kind, node.link.name)

    async def _crash(self, trouble: Trouble) -> None:
        node = self._node(trouble)
        if node is not None:
            self._world.broke(trouble.kind, node.link.name)
            node.link.kill()
            self._restart()

    async def _start_again(self) -> None:
        await asyncio.sleep(RESTART_S)
        await self._world.open()

    async def _stray(self, trouble: Trouble) -> None:
        """Put rows where they do not belong: an old copy of a product, and one that nobody wrote."""
        world = self._world
        place = self._place(trouble)
        foreign = [product for product, owner in world.owners.items() if owner != place.shard]
        # While slots move it could fall between a proof and its flip, where only a mover's own late copies could.
        if not foreign or world.store._moving():
            return
        world.broke(trouble.kind, place.name)
        product = foreign[trouble.router % len(foreign)]
        rows = (row for other in world.places() for row in world.rows(other) if row.product_id == product)
        copies = list(dict.fromkeys(rows))  # not a set, whose order is another one each time
        version = max((row.version for row in copies), default=1) + round(trouble.strength)
        await self._endpoint(place).rows.write([*copies, *strays(product, version)], [], OPERATOR_DEADLINE_S)

    async def _wipe(self, trouble: Trouble) -> None:
        """Lose a replica that another one can replace; what only it had would be lost indeed."""
        world, place = self._world, self._place(trouble)
        siblings = [one for one in world.map.replicas[place.shard] if one.name != place.name]
        safe = siblings and all(one.sync is Sync.IN_SYNC and self._endpoint(one).well for one in siblings)
        if not safe or self._hurt.get(place.shard) or place.shard in self._fragile or self._cut_off():
            return
        self._fragile.add(place.shard)
        world.broke(trouble.kind, place.name)
        self._endpoint(place).wipe()
        self._operators.append(asyncio.create_task(self._replace(place)))

    def _all_in_sync(self, shard: str) -> bool:
        return all(one.sync is Sync.IN_SYNC for one in self._world.map.replicas[shard])

    def _cut_off(self) -> bool:
        """Say whether some router might not reach a replica in sync."""
        return any(node.link.parted for node in self._world.alive())

    async def _replace(self, place: ReplicaPlace) -> None:
        world = self._world
        await asyncio.sleep(1.0)
        while any(one.name == place.name for one in world.places()):
            await self._operate(lambda on, _: on.router.remove_replica(place.name, OPERATOR_DEADLINE_S))
        while not any(one.uri == place.uri for one in world.places()):
            await self._operate(lambda on, _: on.router.add_replica(place.shard, place.uri, OPERATOR_DEADLINE_S))
        while not self._all_in_sync(place.shard):  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.5)
        self._fragile.discard(place.shard)

    async def _grow(self, trouble: Trouble) -> None:
        shard = self._place(trouble).shard
        uri = f"sim:{shard}{len(self._world.endpoints) + 10}"
        self._world.broke(trouble.kind, shard)
        self._operators.append(asyncio.create_task(self._add(shard, uri)))

    async def _move(self, trouble: Trouble) -> None:
        """Have slots moved, and something struck at a step; one such trouble at a time."""
        world = self._world
        if world.striker is not None:
            return
        self._world.broke(trouble.kind, "")
        world.striker = Striker(world, trouble, self._restart)
        self._operators.append(asyncio.create_task(Operator(world, self._operate).run(trouble)))

    def _restart(self) -> None:
        self._operators.append(asyncio.create_task(self._start_again()))

    async def _add(self, shard: str, uri: str) -> None:
        self._world.endpoint(uri)
        while not any(one.uri == uri for one in self._world.places()):
            await self._operate(lambda on, _: on.router.add_replica(shard, uri, OPERATOR_DEADLINE_S))

    async def _operate(self, work: Callable[[Node, float], Coroutine[Any, Any, object]]) -> None:
        """Try once to have a router do an operator's work; its outcome shows in the map."""
        world = self._world
        node = world.any_node(world.around.dice)
        try:
            if node is not None:
                await node.call(work, world.now_s() + OPERATOR_DEADLINE_S)
        except (RouterError, Gone, Overdue) as error:
            world.around.say("an operator hears", repr(error))
        await asyncio.sleep(0.5)


def well(endpoint: Endpoint) -> None:
    """End what is wrong with an endpoint's calls."""
    endpoint.chances = Chances()


def strays(product: str, version: int) -> list[Row]:
    """Return rows that no one wrote through a router."""
    write = product_of(Order("stray", product, 2), None)
    return [
        # A picture of its own: two rows of one key that differ are nothing that a shop could ever hold.
        Row(
            product,
            f"stray {one.image_id}",
            slot_of(product),
            version,
            write.model,
            write.attributes,
            one.facts,
            one.vector,
        )
        for one in write.pictures
    ]
