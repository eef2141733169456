"""Answers the items of a stream several at a time, each as soon as it is ready. Knows no message.

It reads on only while there is room, so that gRPC's flow control holds the caller back.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from lookalike_server.edge import Edge
from lookalike_server.errors import ShuttingDown

Item = TypeVar("Item", bound=Message)
Result = TypeVar("Result")


class Answered(Generic[Item, Result]):
    """One stream: items come in, results go out in the order in which they are ready."""

    def __init__(
        self,
        edge: Edge,
        items: AsyncIterator[Item],
        work: Callable[[Item], Coroutine[Any, Any, Result]],
        in_flight_max: int,
    ) -> None:
        self._edge = edge
        self._items = items
        self._work = work
        self._in_flight_max = in_flight_max
        self._sizes: dict[asyncio.Task[Result], int] = {}
        """The items that are worked on, and their bytes."""
        self._reading: asyncio.Task[Item | None] | None = None
        self._ended = False

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yield a result for each item; end after the last, or with ShuttingDown when the server stops."""
        stopping = asyncio.create_task(self._edge.stopping.wait())
        try:
            while self._may_go_on():
                done, _ = await asyncio.wait(self._awaited(stopping), return_when=asyncio.FIRST_COMPLETED)
                if stopping in done and not self._ended:
                    self._stop_reading()
                if self._reading in done:
                    self._take_in(self._reading)
                for task in [task for task in self._sizes if task in done]:
                    self._edge.release(self._sizes.pop(task))
                    yield task.result()
            if stopping.done():
                raise ShuttingDown("the server is stopping; send the items without an answer again")
        finally:
            await self._abandon(stopping)

    def _may_go_on(self) -> bool:
        """Begin to read the next item if there is room; say whether anything is to be waited for."""
        room = not self._sizes or (len(self._sizes) < self._in_flight_max and self._edge.has_room)
        if self._reading is None and not self._ended and room:
            self._reading = asyncio.create_task(self._next())
        return bool(self._sizes) or self._reading is not None

    def _awaited(self, stopping: asyncio.Task[bool]) -> set[asyncio.Task[Any]]:
        waited: set[asyncio.Task[Any]] = set(self._sizes)
        if self._reading is not None:
            waited.add(self._reading)
        if not self._ended:
            waited.add(stopping)
        return waited

    async def _next(self) -> Item | None:
        return await anext(self._items, None)

    def _take_in(self, reading: "asyncio.Task[Item | None] | None") -> None:
        self._reading = None
        item = reading.result() if reading is not None else None
        if item is None:
            self._ended = True
            return
        size = self._edge.hold(item)
        self._sizes[asyncio.create_task(self._work(item))] = size

    def _stop_reading(self) -> None:
        self._ended = True
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _abandon(self, stopping: asyncio.Task[bool]) -> None:
        """Stop whatever is still worked on: nobody is there to hear of it."""
        tasks = [*self._awaited(stopping), stopping]
        self._ended, self._reading = True, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for size in self._sizes.values():
            self._edge.release(size)
        self._sizes.clear()
