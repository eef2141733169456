"""One router's way to the store, on which calls fail before or after their transaction. Knows no schedule."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from lookalike_router.errors import RouterError, StoreFailed
from lookalike_router.memory_store import MemoryStore
from lookalike_router.store import Store
from tests.simulation.faults import STORE, STORE_DEADLINE_S, WELL, Chances, Link, Surroundings

# A transaction of which the caller heard nothing is over within this time: a database works off what waits at once.
LATE_S_MAX = 1.0
# Looks that every router takes many times a second: too dull for a trace, and too many for each to cost two timers.
QUIET = {"look", "beat", "hint_counts", "orphans", "hints", "take_duty", "routers"}
# How many of them take no time at all while all is well.
AT_ONCE = 0.8


class Weather:
    """How the store is for all routers."""

    def __init__(self) -> None:
        self.chances = Chances()
        self.down = False


def faulty_store(store: MemoryStore, weather: Weather, link: Link, around: Surroundings) -> Store:
    """Return a store that fails as told; each method is the store's own, on a bad line."""
    return cast(Store, _BadLine(store, weather, link, around))


class _BadLine:
    def __init__(self, store: MemoryStore, weather: Weather, link: Link, around: Surroundings) -> None:
        self._store = store
        self._weather = weather
        self._link = link
        self._around = around

    async def close(self) -> None:
        """Keep the store: it is everyone's."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._call(name, lambda: method(*arguments, **named), arguments)

        setattr(self, name, call)
        return call

    async def _call(self, name: str, work: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if self._calm:  # what cannot be late needs no timer
            if name in QUIET and self._around.dice.random() < AT_ONCE:
                return await work()
            return await self._calmly(name, work, arguments)
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                value = await self._transact(name, work)
        except TimeoutError as error:
            await self._link.running()
            self._say(name, arguments, "timed out")
            raise StoreFailed("the store did not answer in time") from error
        except RouterError as error:
            await self._link.running()
            self._say(name, arguments, repr(error))
            raise
        await self._link.running()
        self._say(name, arguments, value)
        return value

    async def _calmly(self, name: str, work: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        """Do the work before or after a moment, of which half of a call's time consists."""
        later = self._around.dice.random() < 0.5
        try:
            if later:
                await asyncio.sleep(self._around.latency_s())
            value = await work()
            if not later:
                await asyncio.sleep(self._around.latency_s())
        except RouterError as error:
            self._say(name, arguments, repr(error))
            raise
        await self._link.running()
        self._say(name, arguments, value)
        return value

    async def _transact(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        around, chances = self._around, self._weather.chances
        await asyncio.sleep(around.latency_s() + chances.slow_s)
        await self._link.running()
        await self._link.reaches(STORE)
        if self._weather.down:
            raise StoreFailed("the store is down")
        fate = chances.draw(around.dice)
        if fate in ("fails", "torn", "doubles"):  # a transaction is never torn or doubled
            around.tally["store fails"] += 1
            raise StoreFailed("the store failed; nothing was done")
        if fate == "late":
            around.tally["store late"] += 1
            self._later(name, work)
            raise StoreFailed("the store's connection broke")
        value = await work()
        if fate == "loses":
            around.tally["store loses"] += 1
            raise StoreFailed("the store's reply was lost")
        await asyncio.sleep(around.latency_s())
        await self._link.reaches(STORE)
        return value

    @property
    def _calm(self) -> bool:
        """Whether nothing can go wrong now."""
        link, weather = self._link, self._weather
        return not (weather.down or link.asleep or link.parted) and weather.chances == WELL

    def _later(self, name: str, work: Callable[[], Awaitable[Any]]) -> None:
        task = asyncio.create_task(self._ghost(name, work))
        self._around.ghosts.add(task)
        task.add_done_callback(self._around.ghosts.discard)

    async def _ghost(self, name: str, work: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(self._around.dice.uniform(0, LATE_S_MAX))
        self._around.say("ghost", "store", name, "commits now")
        try:
            await work()
        except RouterError:
            return  # the transaction was refused, and nobody hears of it

    def _say(self, name: str, arguments: tuple[Any, ...], outcome: object) -> None:
        if self._around.trace is not None and (name not in QUIET or isinstance(outcome, str)):
            told = [one for one in arguments if one != self._link.name]
            self._around.say(self._link.name, "store", name, *told, "->", outcome)
