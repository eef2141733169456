"""One router's process as its callers see it: it answers, or it sleeps, or it is gone. Knows no faults' making."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lookalike_router.router import Router
from lookalike_server.turns import Turns
from tests.simulation.faults import Link

T = TypeVar("T")

# How much later than its deadline a call may end.
MOMENT_S = 0.6


class Gone(Exception):
    """Nobody answered: the process died, or slept for too long. What became of the call is unknown."""


class Overdue(Exception):
    """A process that was awake all the time did not answer in time. What became of the call is unknown."""


class Node:
    """A router and its process. `requests` and `products` are a server's queues, which keep like calls apart."""

    def __init__(self, router: Router, link: Link) -> None:
        self.router = router
        self.link = link
        self.requests = Turns()
        self.products = Turns()

    async def call(self, work: Callable[["Node", float], Awaitable[T]], until: float) -> T:
        """Return what `work`, to be done by the time `until`, returns. Raises what it raises, Gone, or Overdue."""
        await self._awake(until)
        naps, link = self.link.naps, self.link
        task = asyncio.ensure_future(work(self, until))
        task.add_done_callback(_seen)
        left_s = until + MOMENT_S - asyncio.get_running_loop().time()
        ends: list[asyncio.Future[T] | asyncio.Future[None]] = [task, link.died]
        await asyncio.wait(ends, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if link.dead:
            raise Gone
        if not task.done() and link.naps == naps:
            raise Overdue
        await self._awake(until + MOMENT_S)
        if not task.done():
            raise Gone
        return task.result()

    async def _awake(self, until: float) -> None:
        if not self.link.asleep:
            return
        try:
            async with asyncio.timeout_at(until):
                await self.link.running()
        except TimeoutError as error:
            raise Gone from error


def _seen(task: "asyncio.Future[T]") -> None:
    if not task.cancelled():
        task.exception()  # who gave up waiting does not ask
