"""Makes calls to one Milvus server: each once, under its own deadline. Knows no collection and no row."""

import asyncio
import base64
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from pymilvus.grpc_gen import milvus_pb2_grpc

from lookalike_router.errors import ShardError, ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable

DEFAULT_PORT = 19530
COLLECTION_NOT_FOUND = 100
# A channel that is given up closes once the calls that it still carries have met their own deadlines.
RETIRE_S = 10.0
# gRPC takes no shorter one.
TIMEOUT_LEAST_S = 0.001
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Channels to one address would share connections, their state of failure too.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class MilvusChannel:
    """The connection to one server; every failure is a ShardError in the name of `name`."""

    def __init__(self, name: str, uri: str, token: str) -> None:
        """Take whose errors they are, where the server is, and "USER:PASSWORD" or an API key if it asks for one."""
        scheme, self._address = _parsed(name, uri)
        self.name = name
        self.uri = f"{scheme}://{self._address}"
        self._secure = scheme == "https"
        self._metadata = [("authorization", base64.b64encode(token.encode()).decode())] if token else None
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._retiring: set[asyncio.Task[None]] = set()

    def renew(self) -> None:
        """Open a new channel: an old one may sit out a back-off, or a connection to a machine that is gone."""
        self._retire()
        if self._secure:
            self._channel = grpc.aio.secure_channel(self._address, grpc.ssl_channel_credentials(), options=OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(self._address, options=OPTIONS)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)

    async def call(self, method: str, request: Any, until: float) -> Any:
        """Make one call that ends at `until`, in the loop's time; raise the ShardError that says how it failed."""
        if self._channel is None:
            raise ShardUnreachable(self.name, "is not joined")
        timeout_s = max(until - asyncio.get_running_loop().time(), TIMEOUT_LEAST_S)
        try:
            answer = await getattr(self._stub, method)(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._as_ours(method, error) from error
        status = answer if hasattr(answer, "error_code") else answer.status
        if status.code or status.error_code:
            kind = ShardRefused if status.code == COLLECTION_NOT_FOUND else ShardFailed
            raise kind(self.name, f"{method}: {status.reason or 'no reason given'}")
        return answer

    async def close(self) -> None:
        """Let go of the connection."""
        self._retire()
        await asyncio.gather(*self._retiring)

    def _retire(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            task = asyncio.ensure_future(channel.close(RETIRE_S))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _as_ours(self, method: str, error: grpc.aio.AioRpcError) -> ShardError:
        match error.code():
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return ShardTimedOut(self.name, f"{method} did not answer in time")
            case grpc.StatusCode.UNAVAILABLE:
                return ShardUnreachable(self.name, f"cannot be reached: {error.details()}")
            case _:
                return ShardFailed(self.name, f"{method}: {error.code().name}: {error.details()}")


def _parsed(name: str, uri: str) -> tuple[str, str]:
    """Return scheme and address; the errors do not repeat what may hold a password."""
    wrong = ValueError(f"the address of shard {name} is not http://HOST:PORT or https://HOST:PORT")
    try:
        parts = urlsplit(uri)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    if parts.username is not None:
        raise ValueError(
            f"the address of shard {name} holds a user or a password, and addresses are stored and shown; "
            "give it without, and USER:PASSWORD in the setting for the shards' token"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, f"{host}:{port}"
