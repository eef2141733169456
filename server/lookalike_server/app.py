"""Builds the service that a config describes, once, and takes it down again. Knows no signals and no terminal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lookalike_router.answer import ShardSpec
from lookalike_router.errors import PlacementConflict
from lookalike_router.milvus import MilvusShard
from lookalike_router.router import Router
from lookalike_router.shard import DIM, Shard
from lookalike_router.sql_store import SqlStore
from lookalike_server.config import BadSetting, Config
from lookalike_server.errors import BadModel
from lookalike_server.image import Limits
from lookalike_server.models.load import load_detector, load_embedder
from lookalike_server.models.session import Runtime
from lookalike_server.pipeline import TAPPED_MAX, TAPPED_SCORE_MIN
from lookalike_server.serving import Serving
from lookalike_server.vision import Vision, VisionLimits

# Shards that start together with the server get this long; a real cluster that just woke needs most of it.
NO_SHARDS = (
    "--shards (LOOKALIKE_SHARDS): no shard is named and the store knows none yet; for example "
    "--shards a=http://127.0.0.1:19530 ; `lookalike-server demo` starts three of its own"
)


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    serving: Serving
    vision: Vision
    shards: int
    http_port: int
    """Where HTTP and the page are; 0: nowhere."""


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Running]:
    """Serve what `config` says until the block ends, then drain."""
    vision = opened_vision(config)
    try:
        router = await opened_router(config)
        try:
            await router.claim_model(vision.embedder_id, DIM)
            serving = Serving(
                vision,
                router,
                deadline_s=config.deadline_s,
                shard_deadline_s=config.shard_deadline_s,
                events_path=config.events,
            )
            await serving.start(config.host, config.port)
            try:
                async with http(config, serving) as http_port:
                    yield Running(serving, vision, len(router.topology().shards), http_port)
            finally:
                await serving.stop(config.drain_s)
        finally:
            await router.close()
    finally:
        await vision.close()


@asynccontextmanager
async def http(config: Config, serving: Serving) -> AsyncIterator[int]:
    """Offer the same services by HTTP until the block ends, where that is wanted; yield the port."""
    if not config.http_port:
        yield 0
        return
    # Imported here: who serves gRPC alone need not load it.
    from lookalike_server.gateway.app import GatewaySettings, gateway
    from lookalike_server.gateway.listening import Listening
    from lookalike_server.gateway.page import PageSettings

    page = PageSettings(config.samples, config.rates, config.events is not None)
    listening = Listening(
        gateway(serving.services, GatewaySettings(page, config.images, photo(config))), config.drain_s
    )
    await listening.start(config.http_host, config.http_port)
    try:
        yield listening.port
    finally:
        await listening.stop()


def photo(config: Config) -> Limits:
    """Return what a photo may take at most."""
    return Limits(int(config.image_mib_max * 2**20), int(config.image_megapixels_max * 1e6))


def opened_vision(config: Config) -> Vision:
    """Load the models; raise BadModel if one cannot be used."""
    runtime = Runtime(config.providers, config.threads)
    detector = load_detector(config.detector, runtime, score_min=TAPPED_SCORE_MIN, detections_max=TAPPED_MAX)
    embedder = load_embedder(config.embedder, runtime)
    if embedder.dim != DIM:
        raise BadModel(f"{embedder.id} makes vectors of {embedder.dim} numbers; the shop keeps {DIM}")
    limits = VisionLimits(
        photo=photo(config),
        batch_max=config.batch,
        photos_waiting_max=config.queue,
        token_bytes_max=int(config.token_mib * 2**20),
        token_ttl_s=config.token_ttl_s,
    )
    return Vision(detector, embedder, limits)


async def opened_router(config: Config) -> Router:
    """Open the shop; raise BadSetting if it is new and no shards are named."""
    specs = [ShardSpec(one.name, one.uris, one.weight) for one in config.shards]

    def connect(name: str, uri: str) -> Shard:
        return MilvusShard(name, uri, token=config.shard_token)

    try:
        return await Router.open(SqlStore(config.store), specs, connect)
    except PlacementConflict as error:
        if not specs:
            raise BadSetting(NO_SHARDS) from error
        raise
