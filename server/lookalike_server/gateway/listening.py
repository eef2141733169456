"""Runs the gateway on uvicorn in the server's own loop. Knows no routes; leaves signals to who started it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from lookalike_server.errors import ServerError

# A phone keeps its connection between a search and the next tap.
KEEP_ALIVE_S = 30
BACKLOG = 256


class HttpPortTaken(ServerError):
    """The gateway cannot listen where it was told to."""


class Quiet(uvicorn.Server):
    """A uvicorn that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: one stop ends gRPC and HTTP in order."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start and say so."""
        await super().startup(sockets)
        self.listens.set()


class Listening:
    """The gateway at one address."""

    def __init__(self, app: ASGIApp, drain_s: float) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,  # an address may hold what a shopper looked at
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(drain_s)),
        )
        self._server = Quiet(config)
        self._serving: asyncio.Task[None] | None = None
        self.port = 0
        """Where it listens, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen, or raise HttpPortTaken; port 0 takes one that is free."""
        bound = listener(host, port)
        self.port = bound.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        listens = asyncio.create_task(self._server.listens.wait())
        await asyncio.wait([self._serving, listens], return_when=asyncio.FIRST_COMPLETED)
        listens.cancel()

    async def stop(self) -> None:
        """Take no more requests and let those that run end."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def listener(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, or raise HttpPortTaken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        why = "it is in use, or no address of this machine; give another --http-port or --http-host"
        raise HttpPortTaken(f"cannot listen on {host}:{port}: {why}") from error
    return bound
