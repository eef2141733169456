"""Carries unary gRPC calls as raw bytes, doubles requests and loses replies. Knows no message and no method.

A doubled request is sent twice at the same time, and the first reply counts. A lost reply is one that came: the server
did what was asked, and the caller hears UNAVAILABLE.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

HOST = "127.0.0.1"
MESSAGE_BYTES_MAX = 32 * 2**20
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    # A server that was killed is asked again as soon as it is back, as its callers would.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
LOST = "the reply was lost on the way"


@dataclass
class Odds:
    """How likely a fault is for each call, 0 to 1."""

    double: float = 0.0
    lose: float = 0.0


@dataclass
class CallCounts:
    """What happened so far."""

    calls: int = 0
    doubled: int = 0
    """Requests that reached the server twice."""
    lost: int = 0
    """Good replies that the caller never got."""


class GrpcProxy(grpc.GenericRpcHandler):
    """One port that leads to one gRPC server. Used on one loop alone."""

    def __init__(self, target: str, odds: Odds, seed: int) -> None:
        """Take the server's address, and a seed that decides which calls suffer."""
        self.odds = odds
        self.counts = CallCounts()
        self.port = 0
        self._dice = random.Random(seed)
        self._target = target
        self._losers: set[asyncio.Future[bytes]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._channel = grpc.aio.insecure_channel(self._target, options=OPTIONS)
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"{HOST}:0")
        await self._server.start()

    async def close(self) -> None:
        """Stop at once."""
        await self._server.stop(None)
        await asyncio.gather(*self._losers, return_exceptions=True)
        await self._channel.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Carry a call of any method."""
        method: str = handler_call_details.method
        metadata = [pair for pair in handler_call_details.invocation_metadata or () if not_ours(pair[0])]

        async def carry(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            return await self._carry(method, metadata, request, context)

        return grpc.unary_unary_rpc_method_handler(carry)

    async def _carry(
        self, method: str, metadata: Sequence[Any], request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        self.counts.calls += 1
        doubled, lost = self._dice.random() < self.odds.double, self._dice.random() < self.odds.lose
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        left_s = context.time_remaining()
        copies = [
            asyncio.ensure_future(reply_of(call(request, timeout=left_s, metadata=metadata)))
            for _ in range(2 if doubled else 1)
        ]
        self.counts.doubled += doubled
        self._losers.update(copies)
        for copy in copies:
            copy.add_done_callback(self._forget)
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        first = next(copy for copy in copies if copy.done())
        try:
            reply = first.result()
        except grpc.aio.AioRpcError as error:
            trailing = tuple((key, value) for key, value in error.trailing_metadata() if not_ours(key))
            await context.abort(error.code(), error.details() or "", trailing)
        if lost:
            self.counts.lost += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, LOST)
        return reply

    def _forget(self, copy: "asyncio.Future[bytes]") -> None:
        self._losers.discard(copy)
        if not copy.cancelled():
            copy.exception()  # a loser's failure concerns nobody


async def reply_of(call: "grpc.aio.UnaryUnaryCall[bytes, bytes]") -> bytes:
    """Wait for a call in a coroutine that nobody cancels when its caller goes away."""
    return await call


def not_ours(key: str) -> bool:
    """Say whether a piece of metadata belongs to the call, and not to the connection that it came over."""
    return not key.startswith("grpc-") or key == "grpc-status-details-bin"
