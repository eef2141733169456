import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from lookalike.v1 import search_pb2
from lookalike_server.edge import Edge
from lookalike_server.errors import ShuttingDown
from lookalike_server.streams import Answered

Item = search_pb2.SearchStreamRequest


class Source:
    """Items that count how many of them were read, and that may never end."""

    def __init__(self, names: list[str], *, endless: bool = False, size: int = 0) -> None:
        self.read = 0
        self._names = names
        self._endless = endless
        self._size = size

    async def items(self) -> AsyncIterator[Item]:
        for name in self._names:
            self.read += 1
            yield Item(item_id=name, search=search_pb2.SearchRequest(image=bytes(self._size)))
        if self._endless:
            await asyncio.Event().wait()


async def until(condition: "asyncio.Event") -> None:
    async with asyncio.timeout(10):
        await condition.wait()


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def echo(item: Item) -> str:
    return item.item_id


async def test_every_item_is_answered() -> None:
    answered = Answered(Edge(deadline_s=1), Source([str(n) for n in range(100)]).items(), echo, 4)
    assert {result async for result in answered.results()} == {str(n) for n in range(100)}


async def test_a_quick_item_overtakes_a_slow_one() -> None:
    gate = asyncio.Event()

    async def work(item: Item) -> str:
        if item.item_id == "slow":
            await gate.wait()
        return item.item_id

    async with aclosing(Answered(Edge(deadline_s=1), Source(["slow", "quick"]).items(), work, 4).results()) as results:
        first = await anext(results)
        gate.set()
        assert [first, await anext(results)] == ["quick", "slow"]


async def test_the_next_item_is_read_only_when_there_is_room() -> None:
    source, gate = Source([str(n) for n in range(50)]), asyncio.Event()

    async def work(item: Item) -> str:
        await gate.wait()
        return item.item_id

    async with aclosing(Answered(Edge(deadline_s=1), source.items(), work, 3).results()) as results:
        first = asyncio.ensure_future(anext(results))
        await settle()
        assert source.read == 3
        gate.set()
        await first


async def test_large_items_of_all_streams_together_are_bounded_but_each_stream_goes_on() -> None:
    edge, gate = Edge(deadline_s=1, request_bytes_max=4000), asyncio.Event()
    sources = [Source([str(n) for n in range(20)], size=1000) for _ in range(2)]

    async def work(item: Item) -> str:
        await gate.wait()
        return item.item_id

    async with (
        aclosing(Answered(edge, sources[0].items(), work, 16).results()) as first,
        aclosing(Answered(edge, sources[1].items(), work, 16).results()) as second,
    ):
        some = [asyncio.ensure_future(anext(one)) for one in (first, second)]
        await settle()
        assert sum(source.read for source in sources) <= 6
        assert all(source.read for source in sources)
        gate.set()
        await asyncio.gather(*some)


async def test_work_stops_when_the_caller_goes_away() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def work(item: Item) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return item.item_id

    results = Answered(Edge(deadline_s=1), Source(["a"], endless=True).items(), work, 4).results()
    waiting = asyncio.ensure_future(anext(results))
    await until(started)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stopped.is_set()


async def test_a_stopping_server_answers_what_it_took_and_says_so() -> None:
    edge, gate = Edge(deadline_s=1), asyncio.Event()

    async def work(item: Item) -> str:
        await gate.wait()
        return item.item_id

    results = Answered(edge, Source(["a", "b"], endless=True).items(), work, 4).results()
    first = asyncio.ensure_future(anext(results))
    await settle()
    edge.stopping.set()
    gate.set()
    assert {await first, await anext(results)} == {"a", "b"}
    with pytest.raises(ShuttingDown):
        await anext(results)


async def test_a_broken_source_breaks_the_stream_and_leaves_nothing_running() -> None:
    async def broken() -> AsyncIterator[Item]:
        yield Item(item_id="a")
        raise RuntimeError("connection lost")

    answered = Answered(Edge(deadline_s=1), broken(), echo, 1)
    with pytest.raises(RuntimeError, match="connection lost"):
        assert [result async for result in answered.results()]
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
