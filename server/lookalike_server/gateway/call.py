"""Calls a service as gRPC does, for a caller who came by HTTP. Knows no routes and no bodies."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, cast

from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc import StatusCode

from lookalike_server.edge import Context
from lookalike_server.gateway.problem import problem_of

DETAILS = "grpc-status-details-bin"

Method: TypeAlias = Callable[[Any, Context], Awaitable[Message]]


class HttpCall:
    """What a handler asks of its context, for a call without gRPC."""

    def time_remaining(self) -> float | None:
        """Return None: a browser names no deadline, so the server's own holds."""
        return None

    async def abort(self, code: StatusCode, details: str, trailing_metadata: Any) -> NoReturn:
        """End the call with what gRPC would have sent."""
        rich = next(value for name, value in trailing_metadata if name == DETAILS)
        raise problem_of(status_pb2.Status.FromString(rich))


async def called(method: Method, request: Message) -> Message:
    """Return a service's answer, or raise the Problem that it refused with."""
    return await method(request, cast("Context", HttpCall()))
