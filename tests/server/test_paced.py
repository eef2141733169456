import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from lookalike_server.errors import ShuttingDown
from lookalike_server.paced import paced

NEVER = asyncio.Event
LONG_S, SHORT_S = 60.0, 0.001


async def counted(gate: asyncio.Event, ended: list[str]) -> AsyncIterator[int]:
    """Yield 1, then 2 once the gate is open; say how it ended."""
    try:
        yield 1
        await gate.wait()
        yield 2
        ended.append("done")
    except (asyncio.CancelledError, GeneratorExit) as error:
        ended.append(type(error).__name__)
        raise


def pace(gate: asyncio.Event, ended: list[str], every_s: float, stopping: asyncio.Event) -> AsyncGenerator[int, None]:
    return paced(counted(gate, ended), every_s, lambda last: -last, stopping)


async def test_what_comes_soon_is_passed_on_as_it_is() -> None:
    gate, ended = asyncio.Event(), list[str]()
    gate.set()
    assert [one async for one in pace(gate, ended, LONG_S, NEVER())] == [1, 2]
    assert ended == ["done"]


async def test_while_nothing_comes_the_last_is_said_again() -> None:
    gate, heard = asyncio.Event(), []
    async for one in pace(gate, [], SHORT_S, NEVER()):
        heard.append(one)
        if len(heard) == 4:
            gate.set()
    assert heard[:4] == [1, -1, -1, -1]
    assert heard[-1] == 2


async def test_whoever_stops_listening_ends_the_work() -> None:
    ended: list[str] = []
    async with aclosing(pace(asyncio.Event(), ended, SHORT_S, NEVER())) as heard:
        assert [await anext(heard), await anext(heard)] == [1, -1]
    assert ended == ["CancelledError"]


async def test_a_server_that_stops_ends_the_work_and_says_so() -> None:
    stopping, ended = asyncio.Event(), list[str]()
    heard = pace(asyncio.Event(), ended, LONG_S, stopping)
    assert await anext(heard) == 1
    stopping.set()
    with pytest.raises(ShuttingDown):
        await anext(heard)
    assert ended == ["CancelledError"]


async def test_an_error_reaches_whoever_listens() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    heard = paced(broken(), LONG_S, lambda last: last, NEVER())
    assert await anext(heard) == 1
    with pytest.raises(ValueError, match="broken"):
        await anext(heard)
