"""Runs the gRPC server: opens the port, tells health, and stops without dropping what runs. Knows no settings."""

import logging
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lookalike_router.router import Router
from lookalike_server.activity import Activity
from lookalike_server.catalog import Catalog
from lookalike_server.edge import Edge
from lookalike_server.errors import ServerError
from lookalike_server.events import Events
from lookalike_server.pipeline import Pipeline
from lookalike_server.service import (
    SERVICES,
    AdminService,
    CatalogService,
    SearchService,
    Services,
    add_services,
)
from lookalike_server.vision import Vision

log = logging.getLogger(__name__)

# Above the largest picture, so that a file of 13 MB hears what is wrong with it (IMAGE_TOO_LARGE) and is not merely
# cut off by gRPC; and room for a product with two of the largest pictures.
MESSAGE_BYTES_MAX = 32 * 2**20
LOOKAHEAD_BYTES = 4 * 2**20
# Clients may ask this often whether the connection lives; gRPC's own five minutes punish ordinary keepalive.
PING_INTERVAL_MIN_MS = 10_000
# After draining, for the last bytes to leave and for health watchers, who never end by themselves.
GOODBYE_S = 0.5

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A photo arrives in one go: with the usual 64 KiB of window, one of 3 MB takes twice as long even on loopback.
    ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
    # Two servers on one port would each get half of the calls: a port in use must be an error.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)


class PortTaken(ServerError):
    """The server cannot listen where it was told to."""


class Serving:
    """One running server over one vision and one router, neither of which it closes."""

    def __init__(
        self,
        vision: Vision,
        router: Router,
        *,
        deadline_s: float,
        shard_deadline_s: float,
        events_path: Path | None = None,
    ) -> None:
        edge = self._edge = Edge(deadline_s=deadline_s)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=OPTIONS)
        self.port = 0
        """Where it listens, once started."""
        pipeline = Pipeline(vision, router, shard_deadline_s=shard_deadline_s)
        self.services = Services(
            SearchService(edge, pipeline, Activity(), Events(events_path)),
            CatalogService(edge, Catalog(vision, router), pipeline.embedder_id),
            AdminService(edge, router, pipeline, shard_deadline_s),
        )
        add_services(self._server, self.services)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int) -> None:
        """Listen, or raise PortTaken; port 0 takes one that is free."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            why = "it is in use, or no address of this machine; give another --port or --host"
            raise PortTaken(f"cannot listen on {address}: {why}") from error
        await self._server.start()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, drain_s: float) -> bool:
        """Say NOT_SERVING, let running calls end within `drain_s`, then stop; say whether all of them ended."""
        await self._health.enter_graceful_shutdown()
        drained = await self._edge.drain(drain_s)
        await self._server.stop(GOODBYE_S)
        return drained
