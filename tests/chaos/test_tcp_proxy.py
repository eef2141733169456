"""Tests each way in which a link breaks a connection, and that the link knows that it did."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.chaos.tcp_proxy import HOST, Link

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1024):
                writer.write(chunk)
                await writer.drain()
            writer.close()
        except OSError:
            pass

    server = await asyncio.start_server(echo, HOST, 0)
    link = Link("echo", lambda: server.sockets[0].getsockname()[1])
    await link.start()
    yield link
    await link.close()
    server.close()


async def connected(link: Link) -> Pair:
    return await asyncio.open_connection(HOST, link.port)


async def echoed(pair: Pair, message: bytes) -> bytes:
    pair[1].write(message)
    return await pair[0].readexactly(len(message))


async def happened(look: Callable[[], bool]) -> None:
    """Return once it is so."""
    while not look():  # noqa: ASYNC110 - there is nothing to wait for but a count
        await asyncio.sleep(0)


async def test_an_open_link_changes_nothing(link: Link) -> None:
    pair = await connected(link)
    assert await echoed(pair, b"hello" * 100_000) == b"hello" * 100_000
    pair[1].close()
    assert link.counts.bytes_passed == 2 * 500_000


async def test_an_end_arrives_as_an_end(link: Link) -> None:
    reader, writer = await connected(link)
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read() == b"last words"
    writer.close()


async def test_a_slow_link_is_late_each_way(link: Link) -> None:
    pair = await connected(link)
    link.slow(0.05)
    begun_s = asyncio.get_running_loop().time()
    await echoed(pair, b"hello")
    assert asyncio.get_running_loop().time() - begun_s >= 0.1
    assert link.counts.bytes_delayed == 10
    pair[1].close()


async def test_what_a_link_holds_arrives_once_it_is_healed(link: Link) -> None:
    pair = await connected(link)
    await echoed(pair, b"before")
    link.hold()
    answer = asyncio.create_task(echoed(pair, b"late"))
    await happened(lambda: link.counts.bytes_held > 0)
    assert not answer.done()
    link.heal()
    assert await answer == b"late"
    pair[1].close()


async def test_what_a_cut_link_lost_never_arrives_and_the_connection_is_reset_once_it_is_healed(link: Link) -> None:
    reader, writer = await connected(link)
    await echoed((reader, writer), b"before")
    link.cut()
    writer.write(b"lost")
    await happened(lambda: link.counts.bytes_dropped > 0)
    link.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert link.counts.bytes_dropped == 4
    writer.close()


async def test_a_new_connection_over_a_cut_link_hears_nothing(link: Link) -> None:
    link.cut()
    reader, writer = await connected(link)
    writer.write(b"hello")
    await happened(lambda: link.counts.bytes_dropped > 0)
    assert not reader.at_eof()
    link.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_reset_ends_what_is_open_but_not_what_comes_after(link: Link) -> None:
    reader, writer = await connected(link)
    await echoed((reader, writer), b"before")
    link.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert link.counts.resets == 1
    writer.close()
    pair = await connected(link)
    assert await echoed(pair, b"after") == b"after"
    pair[1].close()


async def test_a_half_closed_connection_still_carries_the_other_way(link: Link) -> None:
    reader, writer = await connected(link)
    await echoed((reader, writer), b"before")
    passed = link.counts.bytes_passed
    link.half_close()
    assert await reader.read() == b""
    writer.write(b"more")
    await happened(lambda: link.counts.bytes_passed >= passed + 4)
    assert link.counts.half_closed == 1
    writer.close()


async def test_a_link_to_nobody_refuses() -> None:
    link = Link("nobody", lambda: 1)
    await link.start()
    reader, writer = await asyncio.open_connection(HOST, link.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await link.close()
