"""Carries TCP connections and breaks them as told: late, held, dropped, half closed, reset. Knows no protocol on top.

Each caller has an exchange of its own, an HTTP proxy that it is told of by `grpc_proxy`; so it reaches servers by their
true addresses, and a link, between one caller and one server, can part just these two. A link counts what a fault did,
so that a test can prove that it happened. Everything here runs on one loop, and is used there alone.
"""

import asyncio
import enum
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
# Chunks under way while a link is slow; beyond it the sender has to wait, as on a long wire.
CHUNKS_MAX = 64
# A caller says where it wants to go in a few lines.
GREETING_S = 10.0
CONNECTED = b"HTTP/1.1 200 OK\r\n\r\n"
# Closing with this sends a reset instead of an orderly end.
LINGER_NONE = struct.pack("ii", 1, 0)


class Wire(enum.Enum):
    """What becomes of the bytes of a link."""

    OPEN = "open"
    HELD = "held"
    """They wait, and arrive late once the link is open again: a partition that TCP outlasts."""
    CUT = "cut"
    """They are lost. Connections that lost any are reset once the link is open again."""


@dataclass
class Counts:
    """What happened on a link so far."""

    connections: int = 0
    connections_lost: int = 0
    """Begun while the link was cut."""
    bytes_passed: int = 0
    bytes_delayed: int = 0
    bytes_held: int = 0
    bytes_dropped: int = 0
    resets: int = 0
    half_closed: int = 0


class Exchange:
    """The port through which one caller reaches every server."""

    def __init__(self, caller: str) -> None:
        """Take the caller's name."""
        self.caller = caller
        self.port = 0
        self._links: dict[str, Link] = {}
        self._server: asyncio.Server | None = None

    @property
    def uri(self) -> str:
        """Return what the caller is told."""
        return f"http://{HOST}:{self.port}"

    def link(self, address: str) -> "Link":
        """Return the link to the server at "host:port"."""
        return self._links.setdefault(address, Link(f"{self.caller} to {address}", address))

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more and end every connection."""
        assert self._server is not None
        self._server.close()
        for link in self._links.values():
            link.heal()  # so that nobody waits for it
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        try:
            greeting = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), GREETING_S)
            word, address = greeting.decode().split()[:2]
            if word == "CONNECT":
                await self.link(address).carry(reader, caller)
        except (OSError, EOFError, TimeoutError, ValueError):
            pass  # a caller that left again, or never said what it wanted
        finally:
            _abort(caller)


class Link:
    """The way from one caller to one server."""

    def __init__(self, name: str, address: str) -> None:
        """Take where it leads."""
        self.name = name
        self.wire = Wire.OPEN
        self.delay_s = 0.0
        self.counts = Counts()
        self._host, _, self._port = address.rpartition(":")
        self._open = asyncio.Event()
        self._open.set()
        self._healed = asyncio.Event()
        self._connections: set[_Connection] = set()

    def hold(self) -> None:
        """Let nothing through until `heal`, and then everything."""
        self.wire = Wire.HELD
        self._open.clear()

    def cut(self) -> None:
        """Lose everything until `heal`."""
        self.wire = Wire.CUT
        self._open.set()
        self._healed.clear()

    def slow(self, delay_s: float) -> None:
        """Let every byte arrive later by this, each way."""
        self.delay_s = delay_s

    def heal(self) -> None:
        """Let everything through again."""
        self.wire, self.delay_s = Wire.OPEN, 0.0
        self._open.set()
        self._healed.set()
        for connection in [one for one in self._connections if one.damaged or one.half_closed]:
            self._reset(connection)

    def reset(self) -> None:
        """Reset every connection that is open now."""
        for connection in list(self._connections):
            self._reset(connection)

    def half_close(self) -> None:
        """End the way from server to caller on every open connection; the other way stays open until `heal`."""
        for connection in self._connections:
            with suppress(OSError, RuntimeError):
                connection.caller.write_eof()
                connection.half_closed = True
                self.counts.half_closed += 1

    def _reset(self, connection: "_Connection") -> None:
        self.counts.resets += 1
        self._connections.discard(connection)
        connection.reset()

    async def carry(self, reader: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        """Connect a caller that said where it wants to go, and carry both ways to their end."""
        self.counts.connections += 1
        if self.wire is Wire.CUT:
            self.counts.connections_lost += 1
            await self._healed.wait()
            return
        await self._open.wait()
        from_server, server = await asyncio.open_connection(self._host, int(self._port))
        caller.write(CONNECTED)
        connection = _Connection(caller, server)
        self._connections.add(connection)
        try:
            await asyncio.gather(self._pump(connection, reader, server), self._pump(connection, from_server, caller))
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pump(self, connection: "_Connection", source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """Carry one way of a connection to its end."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        sender = asyncio.create_task(self._deliver(connection, due, to))
        try:
            while chunk := await source.read(CHUNK_BYTES):
                self.counts.bytes_delayed += len(chunk) if self.delay_s else 0
                await due.put((asyncio.get_running_loop().time() + self.delay_s, chunk))
            await due.put((0.0, b""))
            await sender
        finally:
            sender.cancel()

    async def _deliver(
        self, connection: "_Connection", due: "asyncio.Queue[tuple[float, bytes]]", to: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at_s, chunk = await due.get()
            if at_s > loop.time():
                await asyncio.sleep(at_s - loop.time())
            if self.wire is Wire.HELD:
                self.counts.bytes_held += len(chunk)
                await self._open.wait()
            if not chunk:
                if self.wire is Wire.OPEN and to.can_write_eof():
                    to.write_eof()
                return
            if connection.half_closed and to is connection.caller:
                continue
            if self.wire is Wire.CUT or connection.damaged:
                self.counts.bytes_dropped += len(chunk)
                connection.damaged = True
                continue
            to.write(chunk)
            await to.drain()
            self.counts.bytes_passed += len(chunk)


@dataclass(eq=False)
class _Connection:
    """The two halves of one connection."""

    caller: asyncio.StreamWriter
    server: asyncio.StreamWriter
    damaged: bool = False
    """Bytes of it were lost, so that what follows makes no sense."""
    half_closed: bool = False

    def reset(self) -> None:
        """End both halves without ceremony."""
        _abort(self.caller)
        _abort(self.server)


def _abort(writer: asyncio.StreamWriter) -> None:
    wire = writer.get_extra_info("socket")
    with suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    writer.transport.abort()
