"""Tests that the proxy for calls doubles requests, loses replies, and otherwise changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.chaos.grpc_proxy import HOST, LOST, GrpcProxy, Odds

CALL_S = 10.0


class Server(grpc.GenericRpcHandler):
    """Answers every call with what it was told and the method's name; method "/x/Refuse" is refused."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        method: str = handler_call_details.method

        async def answer(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            self.heard.append(request)
            if method == "/x/Refuse":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such", (("reason-bin", b"\x00why"),))
            return method.encode() + b" " + request

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def proxied(odds: Odds, seed: int = 1) -> AsyncIterator[tuple[Server, GrpcProxy, grpc.aio.Channel]]:
    """Run a server and a proxy before it."""
    heard = Server()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((heard,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    proxy = GrpcProxy(f"{HOST}:{port}", odds, seed)
    await proxy.start()
    async with grpc.aio.insecure_channel(f"{HOST}:{proxy.port}") as channel:
        try:
            yield heard, proxy, channel
        finally:
            await proxy.close()
            await server.stop(None)


async def ask(channel: grpc.aio.Channel, method: str, request: bytes) -> bytes:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    return await call(request, timeout=CALL_S)


async def happened(look: Callable[[], bool]) -> None:
    """Return once it is so."""
    while not look():  # noqa: ASYNC110 - there is nothing to wait for but a count
        await asyncio.sleep(0)


async def test_a_call_passes_as_it_is() -> None:
    async with proxied(Odds()) as (server, proxy, channel):
        assert await ask(channel, "/x/Do", b"this") == b"/x/Do this"
        assert server.heard == [b"this"]
        assert (proxy.counts.calls, proxy.counts.doubled, proxy.counts.lost) == (1, 0, 0)


async def test_an_error_passes_with_its_details() -> None:
    async with proxied(Odds(lose=1.0)) as (_, proxy, channel):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ask(channel, "/x/Refuse", b"this")
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
        assert failed.value.details() == "no such"
        assert ("reason-bin", b"\x00why") in list(failed.value.trailing_metadata())
        assert proxy.counts.lost == 0


async def test_a_lost_reply_was_done_and_is_said_to_be_unavailable() -> None:
    async with proxied(Odds(lose=1.0)) as (server, proxy, channel):
        with pytest.raises(grpc.aio.AioRpcError, match=LOST) as failed:
            await ask(channel, "/x/Do", b"this")
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.heard == [b"this"]
        assert proxy.counts.lost == 1


async def test_a_doubled_request_is_heard_twice_and_answered_once() -> None:
    async with proxied(Odds(double=1.0)) as (server, proxy, channel):
        assert await ask(channel, "/x/Do", b"this") == b"/x/Do this"
        await happened(lambda: len(server.heard) == 2)
        assert server.heard == [b"this", b"this"]
        assert proxy.counts.doubled == 1


async def test_the_odds_are_kept_and_the_seed_repeats_them() -> None:
    async def doubled(seed: int) -> int:
        async with proxied(Odds(double=0.3), seed) as (_, proxy, channel):
            for _ in range(200):
                await ask(channel, "/x/Do", b"")
            return proxy.counts.doubled

    assert 30 < await doubled(5) < 90
    assert await doubled(5) == await doubled(5)
