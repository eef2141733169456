"""Tests each way in which a link breaks a connection, and that the link knows that it did."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.chaos.tcp_proxy import CONNECTED, HOST, Exchange, Link

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Way:
    """A link, and how to go over it."""

    exchange: Exchange
    address: str

    @property
    def link(self) -> Link:
        return self.exchange.link(self.address)

    async def connected(self) -> Pair:
        reader, writer = await self.asked()
        assert await reader.readexactly(len(CONNECTED)) == CONNECTED
        return reader, writer

    async def asked(self) -> Pair:
        reader, writer = await asyncio.open_connection(HOST, self.exchange.port)
        writer.write(f"CONNECT {self.address} HTTP/1.1\r\nHost: {self.address}\r\n\r\n".encode())
        return reader, writer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    with suppress(OSError):
        while chunk := await reader.read(1024):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    """The way to a server that sends back what it gets."""
    server = await asyncio.start_server(echo, HOST, 0)
    exchange = Exchange("test")
    await exchange.start()
    yield Way(exchange, f"{HOST}:{server.sockets[0].getsockname()[1]}")
    await exchange.close()
    server.close()


async def echoed(pair: Pair, message: bytes) -> bytes:
    pair[1].write(message)
    return await pair[0].readexactly(len(message))


async def happened(look: Callable[[], bool]) -> None:
    """Return once it is so."""
    while not look():  # noqa: ASYNC110 - there is nothing to wait for but a count
        await asyncio.sleep(0)


async def test_an_open_link_changes_nothing(way: Way) -> None:
    pair = await way.connected()
    assert await echoed(pair, b"hello" * 100_000) == b"hello" * 100_000
    pair[1].close()
    assert way.link.counts.bytes_passed == 2 * 500_000


async def test_an_end_arrives_as_an_end(way: Way) -> None:
    reader, writer = await way.connected()
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read() == b"last words"
    writer.close()


async def test_a_slow_link_is_late_each_way(way: Way) -> None:
    pair = await way.connected()
    way.link.slow(0.05)
    begun_s = asyncio.get_running_loop().time()
    await echoed(pair, b"hello")
    assert asyncio.get_running_loop().time() - begun_s >= 0.1
    assert way.link.counts.bytes_delayed == 10
    pair[1].close()


async def test_what_a_link_holds_arrives_once_it_is_healed(way: Way) -> None:
    pair = await way.connected()
    await echoed(pair, b"before")
    way.link.hold()
    answer = asyncio.create_task(echoed(pair, b"late"))
    await happened(lambda: way.link.counts.bytes_held > 0)
    assert not answer.done()
    way.link.heal()
    assert await answer == b"late"
    pair[1].close()


async def test_what_a_cut_link_lost_never_arrives_and_the_connection_is_reset_once_it_is_healed(way: Way) -> None:
    reader, writer = await way.connected()
    await echoed((reader, writer), b"before")
    way.link.cut()
    writer.write(b"lost")
    await happened(lambda: way.link.counts.bytes_dropped > 0)
    way.link.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert way.link.counts.bytes_dropped == 4
    writer.close()


async def test_a_new_connection_over_a_cut_link_hears_nothing_until_it_is_reset(way: Way) -> None:
    way.link.cut()
    reader, writer = await way.asked()
    await happened(lambda: way.link.counts.connections_lost == 1)
    assert not reader.at_eof()
    way.link.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_new_connection_over_a_held_link_is_made_once_it_is_healed(way: Way) -> None:
    way.link.hold()
    reader, writer = await way.asked()
    await happened(lambda: way.link.counts.connections == 1)
    way.link.heal()
    assert await reader.readexactly(len(CONNECTED)) == CONNECTED
    writer.close()


async def test_a_fault_on_one_link_leaves_the_others_alone(way: Way) -> None:
    other = Exchange("other")
    await other.start()
    other.link(way.address).cut()
    pair = await way.connected()
    assert await echoed(pair, b"hello") == b"hello"
    pair[1].close()
    await other.close()


async def test_a_reset_ends_what_is_open_but_not_what_comes_after(way: Way) -> None:
    reader, writer = await way.connected()
    await echoed((reader, writer), b"before")
    way.link.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert way.link.counts.resets == 1
    writer.close()
    pair = await way.connected()
    assert await echoed(pair, b"after") == b"after"
    pair[1].close()


async def test_a_half_closed_connection_still_carries_the_other_way(way: Way) -> None:
    reader, writer = await way.connected()
    await echoed((reader, writer), b"before")
    passed = way.link.counts.bytes_passed
    way.link.half_close()
    assert await reader.read() == b""
    writer.write(b"more")
    await happened(lambda: way.link.counts.bytes_passed >= passed + 4)
    assert way.link.counts.half_closed == 1
    writer.close()


async def test_a_link_to_nobody_refuses() -> None:
    exchange = Exchange("test")
    await exchange.start()
    reader, writer = await Way(exchange, f"{HOST}:1").asked()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await exchange.close()
