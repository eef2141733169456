"""A port that leads to a Milvus server and writes down what is asked of it. Loses or changes replies as told."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from pymilvus.grpc_gen import milvus_pb2

HOST = "127.0.0.1"
REQUESTS = {
    "Query": milvus_pb2.QueryRequest,
    "Upsert": milvus_pb2.UpsertRequest,
    "Delete": milvus_pb2.DeleteRequest,
}


class Tap(grpc.GenericRpcHandler):
    """Forwards every call; `asked` holds those of REQUESTS."""

    def __init__(self, uri: str) -> None:
        self.uri = ""
        self.asked: list[tuple[str, Any]] = []
        self.lost: set[str] = set()
        """Methods whose replies are lost; each is lost once, and then not in here any more."""
        self.held: dict[str, asyncio.Event] = {}
        """Methods that wait before they are forwarded."""
        self.changed: dict[str, Callable[[bytes], bytes]] = {}
        """What is done to the replies of a method."""
        self._channel = grpc.aio.insecure_channel(uri.removeprefix("http://"))
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))

    async def start(self) -> None:
        self.uri = f"http://{HOST}:{self._server.add_insecure_port(f'{HOST}:0')}"
        await self._server.start()

    async def close(self) -> None:
        await self._server.stop(None)
        await self._channel.close()

    def taken(self) -> list[tuple[str, Any]]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        path: str = handler_call_details.method

        async def forward(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            method = path.rpartition("/")[2]
            if method in REQUESTS:
                self.asked.append((method, REQUESTS[method].FromString(request)))
            if method in self.held:
                await self.held[method].wait()
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            reply = await call(request)
            if method in self.lost:
                self.lost.discard(method)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the reply was lost")
            return self.changed.get(method, bytes)(reply)

        return grpc.unary_unary_rpc_method_handler(forward)
