"""Lets those who name the same thing do their work one after another. Knows nothing of the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Queue:
    """Those who name one thing, of whom one at a time has its turn."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Turns:
    """Turns by name; a name that nobody holds costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until nobody else has a turn of this name; turns come in the order in which they were asked for."""
        queue = self._queues.setdefault(name, Queue())
        queue.waiting += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[name]
