"""Runs a whole service in the test's own loop: real gRPC on a free port, tiny models, shards in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from lookalike.v1 import admin_pb2_grpc, catalog_pb2, catalog_pb2_grpc, search_pb2_grpc
from lookalike_router.answer import ShardSpec
from lookalike_router.memory import MemoryShard
from lookalike_router.router import Router
from lookalike_router.shard import Shard
from lookalike_router.sql_store import SqlStore
from lookalike_server.serving import MESSAGE_BYTES_MAX, Serving
from lookalike_server.vision import Vision, VisionLimits
from tests.server.photos import jpeg, plain
from tests.server.tiny import tiny_detector, tiny_embedder

# What the tiny detector says of every bright picture: its left half, and less surely its right half. In 32 px.
LEFT, RIGHT = (0, 0, 16, 32, 3.0, 0), (16, 0, 32, 32, 2.0, 0)
CALL_S = 30.0

RED, GREEN, BLUE, PURPLE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255)


@dataclass(frozen=True)
class Shop:
    """A running service and its stubs."""

    serving: Serving
    vision: Vision
    router: Router
    channel: grpc.aio.Channel
    search: "search_pb2_grpc.SearchServiceAsyncStub"
    catalog: "catalog_pb2_grpc.CatalogServiceAsyncStub"
    admin: "admin_pb2_grpc.AdminServiceAsyncStub"
    health: health_pb2_grpc.HealthStub

    async def put(self, *products: catalog_pb2.Product) -> None:
        """Store products."""
        for product in products:
            await self.catalog.UpsertProduct(catalog_pb2.UpsertProductRequest(product=product), timeout=CALL_S)


def channel_to(port: int) -> grpc.aio.Channel:
    """Return a channel that takes what the server sends."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", -1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)


@asynccontextmanager
async def open_shop(
    folder: Path,
    *,
    shards: Sequence[Shard] | None = None,
    spare: Sequence[Shard] = (),
    detections: Sequence[Sequence[float]] = (LEFT, RIGHT),
    limits: VisionLimits | None = None,
    deadline_s: float = CALL_S,
    shard_deadline_s: float = CALL_S,
    match: dict[str, float] | None = None,
) -> AsyncIterator[Shop]:
    """Run a service over `shards`, which bear the names of replicas: three of one replica each unless told.

    A replica that is added later is found by its address among `spare`, or else made. A second service over the same
    folder and shards is another server of the same shop.
    """
    vision = Vision(tiny_detector(folder, detections), tiny_embedder(folder, match=match), limits)
    router = await opened(folder, memory_shards() if shards is None else shards, spare)
    serving = Serving(vision, router, deadline_s=deadline_s, shard_deadline_s=shard_deadline_s)
    await serving.start("127.0.0.1", 0)
    try:
        async with channel_to(serving.port) as channel:
            yield Shop(
                serving,
                vision,
                router,
                channel,
                cast("search_pb2_grpc.SearchServiceAsyncStub", search_pb2_grpc.SearchServiceStub(channel)),
                cast("catalog_pb2_grpc.CatalogServiceAsyncStub", catalog_pb2_grpc.CatalogServiceStub(channel)),
                cast("admin_pb2_grpc.AdminServiceAsyncStub", admin_pb2_grpc.AdminServiceStub(channel)),
                health_pb2_grpc.HealthStub(channel),
            )
    finally:
        await serving.stop(CALL_S)
        await router.close()
        await vision.close()


async def opened(folder: Path, shards: Sequence[Shard], spare: Sequence[Shard] = ()) -> Router:
    """Open a router over endpoints, with a store in a file."""
    endpoints = {one.uri: one for one in (*shards, *spare)}
    replicas: dict[str, list[str]] = {}
    for one in shards:
        replicas.setdefault(one.name.partition("/")[0], []).append(one.uri)

    def connect(name: str, uri: str) -> Shard:
        return endpoints.setdefault(uri, MemoryShard(name, uri))

    specs = [ShardSpec(name, tuple(uris)) for name, uris in replicas.items()]
    return await Router.open(SqlStore(f"sqlite:///{folder}/store.db"), specs, connect)


def address_of(name: str) -> str:
    """Return where a replica of this name would be."""
    return f"http://{name.replace('/', '-')}.test:1"


def memory_shards(*names: str) -> list[Shard]:
    """Return empty endpoints with the names of replicas; of three shards unless told."""
    return [MemoryShard(name, address_of(name)) for name in names or ("a/1", "b/1", "c/1")]


def product(product_id: str, *colours: tuple[int, int, int], **attributes: object) -> catalog_pb2.Product:
    """Return a product with a picture of each colour."""
    images = [catalog_pb2.ProductImage(content=jpeg(plain(colour))) for colour in colours]
    return catalog_pb2.Product(product_id=product_id, images=images, **attributes)  # type: ignore[arg-type]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until it holds, or fail."""
    until = asyncio.get_running_loop().time() + CALL_S
    while not await holds():
        assert asyncio.get_running_loop().time() < until, "it never held"


@dataclass(frozen=True)
class Told:
    """What a refused call told its caller."""

    code: grpc.StatusCode
    reason: str
    message: str
    fields: dict[str, str]
    retry_s: float | None


def told_by(error: grpc.aio.AioRpcError) -> Told:
    """Read a refusal with its details."""
    status: status_pb2.Status | None = rpc_status.from_call(error)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    _ = unpack(status, info), unpack(status, bad)
    retries = unpack(status, retry)
    return Told(
        code=error.code(),
        reason=info.reason,
        message=error.details() or "",
        fields={one.field: one.description for one in bad.field_violations},
        retry_s=retry.retry_delay.ToTimedelta().total_seconds() if retries else None,
    )


def unpack(status: status_pb2.Status | None, kind: Message) -> bool:
    """Fill `kind` from the detail of its kind, if there is one."""
    return any(packed.Unpack(kind) for packed in (status.details if status else ()))
