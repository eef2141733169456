"""Keeps a long report going: its caller hears something in every interval. Knows not what is reported."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from lookalike_server.errors import ShuttingDown

Item = TypeVar("Item")


async def paced(
    items: AsyncIterator[Item], every_s: float, again: Callable[[Item], Item], stopping: asyncio.Event
) -> AsyncGenerator[Item, None]:
    """Yield each item as it comes; where the next takes longer than `every_s`, what `again` makes of the last.

    Ends with ShuttingDown when the server stops. Whoever stops listening ends `items` too.
    """
    stop = asyncio.create_task(stopping.wait())
    reading: asyncio.Task[Item | None] = asyncio.create_task(following(items))
    last: Item | None = None
    try:
        while True:
            done, _ = await asyncio.wait({reading, stop}, timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            if reading in done:
                item = reading.result()
                if item is None:
                    return
                last = again(item)
                reading = asyncio.create_task(following(items))
                yield item
            elif stop in done:
                raise ShuttingDown("the server is stopping; go on where the last message says")
            elif last is not None:
                yield last
    finally:
        for task in (stop, reading):
            task.cancel()
        await asyncio.gather(stop, reading, return_exceptions=True)
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def following(items: AsyncIterator[Item]) -> Item | None:
    """Return the next item, None after the last."""
    return await anext(items, None)
