"""The gRPC services. A handler checks, calls, translates and returns; what to do is decided elsewhere."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from lookalike.v1 import admin_pb2, admin_pb2_grpc, catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc
from lookalike_router.jobs import Job, JobState
from lookalike_router.router import Router
from lookalike_router.shard import DIM
from lookalike_server import admin_wire, rebalance_wire, wire
from lookalike_server.activity import Activity
from lookalike_server.admin_checks import (
    checked_comparison,
    checked_drain,
    checked_plan,
    checked_rate,
    checked_removal,
    checked_replica,
    checked_replica_name,
    checked_shard,
    checked_start,
)
from lookalike_server.catalog import Catalog
from lookalike_server.checks import checked_detect, checked_embed, checked_search
from lookalike_server.deadline import Deadline
from lookalike_server.edge import Context, Edge
from lookalike_server.event_checks import checked_events
from lookalike_server.events import Events
from lookalike_server.operations import Operations
from lookalike_server.pipeline import Pipeline, shard_deadline_s
from lookalike_server.product_checks import (
    checked_item_id,
    checked_listing,
    checked_product,
    checked_product_id,
    checked_request_id,
)
from lookalike_server.rebalancing import Rebalancing
from lookalike_server.status import Refusal, item_error
from lookalike_server.streams import Answered
from lookalike_server.version import VERSION

# Enough to fill the models' batches from one stream, and few enough that four streams fit into their queues.
SEARCHES_IN_FLIGHT_MAX = 16
# More than searches: an imported product also waits for its shard, and shares that write with those beside it.
PRODUCTS_IN_FLIGHT_MAX = 32
# A product with many large pictures may take long and nobody is watching; a search that takes so long is of no use.
IMPORT_DEADLINE_S = 120.0

UpsertRequest: TypeAlias = catalog_pb2.UpsertProductRequest | catalog_pb2.ImportProductsRequest

SERVICES = tuple(
    str(file.DESCRIPTOR.services_by_name[name].full_name)
    for file, name in ((search_pb2, "SearchService"), (catalog_pb2, "CatalogService"), (admin_pb2, "AdminService"))
)


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """Finds products that look like what a picture shows."""

    def __init__(self, edge: Edge, pipeline: Pipeline, activity: Activity, events: Events) -> None:
        self._edge = edge
        self._pipeline = pipeline
        self._activity = activity
        self._events = events

    async def Search(self, request: search_pb2.SearchRequest, context: Context) -> search_pb2.SearchResponse:
        """Answer one search."""
        async with self._edge.call(context, request) as deadline:
            return await self._search(request, deadline)

    async def SearchStream(
        self, requests: AsyncIterator[search_pb2.SearchStreamRequest], context: Context
    ) -> AsyncIterator[search_pb2.SearchStreamResponse]:
        """Answer many searches, each as soon as it is ready."""

        async def outcome(request: search_pb2.SearchStreamRequest) -> search_pb2.SearchStreamResponse:
            async def work(deadline: Deadline) -> search_pb2.SearchResponse:
                checked_item_id(request.item_id)
                return await self._search(request.search, deadline)

            found = await self._edge.item(context, work)
            if isinstance(found, Refusal):
                return search_pb2.SearchStreamResponse(item_id=request.item_id, error=item_error(found))
            return search_pb2.SearchStreamResponse(item_id=request.item_id, result=found)

        async with self._edge.stream(context):
            answered = Answered(self._edge, requests, outcome, SEARCHES_IN_FLIGHT_MAX)
            async with aclosing(answered.results()) as results:
                async for result in results:
                    yield result

    async def Detect(self, request: search_pb2.DetectRequest, context: Context) -> search_pb2.DetectResponse:
        """Find the products in a picture."""
        async with self._edge.call(context, request) as deadline:
            photo = checked_detect(request)
            detected = await self._pipeline.detect(photo, deadline)
            return wire.detect_response(detected)

    async def Embed(self, request: search_pb2.EmbedRequest, context: Context) -> search_pb2.EmbedResponse:
        """Embed a picture or a part of it."""
        async with self._edge.call(context, request) as deadline:
            query = checked_embed(request)
            embedded = await self._pipeline.embed(query, deadline)
            return wire.embed_response(embedded)

    async def GetActivity(
        self, request: search_pb2.GetActivityRequest, context: Context
    ) -> search_pb2.GetActivityResponse:
        """Say how searches went over the last hour."""
        async with self._edge.call(context, request):
            return wire.activity_response(self._activity.minutes())

    async def RecordEvents(
        self, request: search_pb2.RecordEventsRequest, context: Context
    ) -> search_pb2.RecordEventsResponse:
        """Keep what shoppers did, where that is wanted."""
        async with self._edge.call(context, request):
            events = checked_events(request)
            return search_pb2.RecordEventsResponse(kept=await self._events.record(events))

    async def _search(self, request: search_pb2.SearchRequest, deadline: Deadline) -> search_pb2.SearchResponse:
        with self._activity.one() as done:
            search = checked_search(request)
            answer = await self._pipeline.search(search, deadline)
            done(answer.total_ms, answer.coverage.slots_fraction)
            return wire.search_response(answer)


class CatalogService(catalog_pb2_grpc.CatalogServiceServicer):
    """Keeps the products of one shop and their pictures."""

    def __init__(self, edge: Edge, catalog: Catalog, embedder_id: str) -> None:
        self._edge = edge
        self._catalog = catalog
        self._embedder_id = embedder_id

    async def UpsertProduct(
        self, request: catalog_pb2.UpsertProductRequest, context: Context
    ) -> catalog_pb2.UpsertProductResponse:
        """Create a product or replace it whole."""
        async with self._edge.call(context, request) as deadline:
            return await self._upsert(request, deadline)

    async def ImportProducts(
        self, requests: AsyncIterator[catalog_pb2.ImportProductsRequest], context: Context
    ) -> AsyncIterator[catalog_pb2.ImportProductsResponse]:
        """Upsert many products; answer each as soon as it is stored or refused."""

        async def outcome(request: catalog_pb2.ImportProductsRequest) -> catalog_pb2.ImportProductsResponse:
            async def work(deadline: Deadline) -> catalog_pb2.UpsertProductResponse:
                checked_item_id(request.item_id)
                return await self._upsert(request, deadline)

            done = await self._edge.item(context, work, IMPORT_DEADLINE_S)
            if isinstance(done, Refusal):
                return catalog_pb2.ImportProductsResponse(item_id=request.item_id, error=item_error(done))
            return catalog_pb2.ImportProductsResponse(item_id=request.item_id, result=done)

        async with self._edge.stream(context):
            answered = Answered(self._edge, requests, outcome, PRODUCTS_IN_FLIGHT_MAX)
            async with aclosing(answered.results()) as results:
                async for result in results:
                    yield result

    async def GetProduct(
        self, request: catalog_pb2.GetProductRequest, context: Context
    ) -> catalog_pb2.GetProductResponse:
        """Get one product."""
        async with self._edge.call(context, request) as deadline:
            product = await self._catalog.get(checked_product_id(request.product_id), deadline)
            vectors_of = self._embedder_id if request.include_vectors else None
            return catalog_pb2.GetProductResponse(product=wire.product_message(product, vectors_of))

    async def ListProducts(
        self, request: catalog_pb2.ListProductsRequest, context: Context
    ) -> catalog_pb2.ListProductsResponse:
        """List one page of products."""
        async with self._edge.call(context, request) as deadline:
            listing = checked_listing(request)
            listed = await self._catalog.page(listing, deadline)
            return wire.list_response(listed)

    async def DeleteProduct(
        self, request: catalog_pb2.DeleteProductRequest, context: Context
    ) -> catalog_pb2.DeleteProductResponse:
        """Delete one product."""
        async with self._edge.call(context, request) as deadline:
            product_id = checked_product_id(request.product_id)
            deleted = await self._catalog.delete(product_id, deadline, checked_request_id(request.request_id))
            return catalog_pb2.DeleteProductResponse(images_deleted=deleted)

    async def _upsert(self, request: UpsertRequest, deadline: Deadline) -> catalog_pb2.UpsertProductResponse:
        product = checked_product(request.product)
        upserted = await self._catalog.upsert(product, deadline, checked_request_id(request.request_id))
        return wire.upsert_response(upserted)


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Shows how the shop is spread over its shards and how they are, changes them, and moves products between them."""

    def __init__(self, edge: Edge, router: Router, pipeline: Pipeline, shard_deadline_s: float) -> None:
        self._edge = edge
        self._router = router
        self._operations = Operations(router, edge.stopping)
        self._rebalancing = Rebalancing(router, edge.stopping)
        self._pipeline = pipeline
        self._shard_deadline_s = shard_deadline_s

    async def GetTopology(
        self, request: admin_pb2.GetTopologyRequest, context: Context
    ) -> admin_pb2.GetTopologyResponse:
        """Get the placement map and the models in use."""
        async with self._edge.call(context, request):
            return admin_wire.topology_response(
                self._router.topology(),
                embedder=self._pipeline.embedder_id,
                detector=self._pipeline.detector_id,
                dim=DIM,
                version=VERSION,
            )

    async def ListShards(self, request: admin_pb2.ListShardsRequest, context: Context) -> admin_pb2.ListShardsResponse:
        """Ask every shard how it is."""
        async with self._edge.call(context, request) as deadline:
            reports = await self._router.shards(shard_deadline_s(deadline, self._shard_deadline_s))
            return admin_wire.shards_response(reports, self._router.topology().epoch)

    async def AddShard(self, request: admin_pb2.AddShardRequest, context: Context) -> admin_pb2.AddShardResponse:
        """Add a shard that owns no slots yet."""
        async with self._edge.call(context, request) as deadline:
            spec = checked_shard(request)
            place = await self._operations.add_shard(spec, deadline)
            return admin_pb2.AddShardResponse(shard=admin_wire.shard(place))

    async def AddReplica(self, request: admin_pb2.AddReplicaRequest, context: Context) -> admin_pb2.AddReplicaResponse:
        """Add a replica, which is then filled in the background."""
        async with self._edge.call(context, request) as deadline:
            shard, uri = checked_replica(request)
            name = await self._operations.add_replica(shard, uri, deadline)
            return admin_pb2.AddReplicaResponse(replica=name)

    async def RemoveReplica(
        self, request: admin_pb2.RemoveReplicaRequest, context: Context
    ) -> admin_pb2.RemoveReplicaResponse:
        """Take a replica out of its shard."""
        async with self._edge.call(context, request) as deadline:
            await self._operations.remove_replica(checked_replica_name(request.replica), deadline)
            return admin_pb2.RemoveReplicaResponse()

    async def Verify(
        self, request: admin_pb2.VerifyRequest, context: Context
    ) -> AsyncIterator[admin_pb2.VerifyProgress]:
        """Compare replicas, and say all the while how far it has come."""
        async with self._edge.stream(context):
            comparison = checked_comparison(request)
            async with aclosing(self._operations.compared(comparison)) as found:
                async for one in found:
                    yield admin_wire.verify_progress(one)

    async def PlanRebalance(
        self, request: admin_pb2.PlanRebalanceRequest, context: Context
    ) -> admin_pb2.PlanRebalanceResponse:
        """Say what a rebalance would do."""
        async with self._edge.call(context, request) as deadline:
            asked = checked_plan(request)
            plan = await self._rebalancing.planned(asked, deadline)
            return admin_pb2.PlanRebalanceResponse(plan=rebalance_wire.plan(plan))

    async def StartRebalance(
        self, request: admin_pb2.StartRebalanceRequest, context: Context
    ) -> admin_pb2.StartRebalanceResponse:
        """Start to move slots until every shard has its share."""
        async with self._edge.call(context, request) as deadline:
            asked = checked_start(request)
            job = await self._rebalancing.start(asked, deadline)
            return admin_pb2.StartRebalanceResponse(job=written(job))

    async def DrainShard(self, request: admin_pb2.DrainShardRequest, context: Context) -> admin_pb2.DrainShardResponse:
        """Start to empty a shard, or let it own slots again."""
        async with self._edge.call(context, request) as deadline:
            asked = checked_drain(request)
            job = await self._rebalancing.drain(asked, deadline)
            return admin_pb2.DrainShardResponse(job=written(job))

    async def RemoveShard(
        self, request: admin_pb2.RemoveShardRequest, context: Context
    ) -> admin_pb2.RemoveShardResponse:
        """Take an empty shard out of the map."""
        async with self._edge.call(context, request) as deadline:
            name = checked_removal(request.shard)
            await self._operations.remove_shard(name, deadline, force=request.force)
            return admin_pb2.RemoveShardResponse()

    async def ReverseRebalance(
        self, request: admin_pb2.ReverseRebalanceRequest, context: Context
    ) -> admin_pb2.ReverseRebalanceResponse:
        """Start to take the last job back."""
        async with self._edge.call(context, request):
            job = await self._rebalancing.reverse(checked_rate(request.rows_per_s))
            return admin_pb2.ReverseRebalanceResponse(job=written(job))

    async def GetRebalance(
        self, request: admin_pb2.GetRebalanceRequest, context: Context
    ) -> admin_pb2.GetRebalanceResponse:
        """Get the newest job."""
        async with self._edge.call(context, request):
            return admin_pb2.GetRebalanceResponse(job=written(await self._router.job()))

    async def WatchRebalance(
        self, request: admin_pb2.WatchRebalanceRequest, context: Context
    ) -> AsyncIterator[admin_pb2.WatchRebalanceResponse]:
        """Show the newest job until it has ended."""
        async with self._edge.stream(context), aclosing(self._rebalancing.watched()) as jobs:
            async for job in jobs:
                yield admin_pb2.WatchRebalanceResponse(job=written(job))

    async def PauseRebalance(
        self, request: admin_pb2.PauseRebalanceRequest, context: Context
    ) -> admin_pb2.PauseRebalanceResponse:
        """Halt the active job."""
        async with self._edge.call(context, request):
            job = await self._router.steer_rebalance(JobState.PAUSED)
            return admin_pb2.PauseRebalanceResponse(job=written(job))

    async def ResumeRebalance(
        self, request: admin_pb2.ResumeRebalanceRequest, context: Context
    ) -> admin_pb2.ResumeRebalanceResponse:
        """Let the active job go on."""
        async with self._edge.call(context, request):
            job = await self._router.steer_rebalance(JobState.RUNNING)
            return admin_pb2.ResumeRebalanceResponse(job=written(job))

    async def ThrottleRebalance(
        self, request: admin_pb2.ThrottleRebalanceRequest, context: Context
    ) -> admin_pb2.ThrottleRebalanceResponse:
        """Have the active job copy faster or slower."""
        async with self._edge.call(context, request):
            job = await self._rebalancing.throttle(checked_rate(request.rows_per_s))
            return admin_pb2.ThrottleRebalanceResponse(job=written(job))

    async def CancelRebalance(
        self, request: admin_pb2.CancelRebalanceRequest, context: Context
    ) -> admin_pb2.CancelRebalanceResponse:
        """Cancel the active job."""
        async with self._edge.call(context, request):
            job = await self._router.steer_rebalance(JobState.CANCELLING)
            return admin_pb2.CancelRebalanceResponse(job=written(job))

    async def VerifyRebalance(
        self, request: admin_pb2.VerifyRebalanceRequest, context: Context
    ) -> AsyncIterator[admin_pb2.VerifyRebalanceProgress]:
        """Look for rows in wrong places, and say all the while what was found."""
        async with self._edge.stream(context), aclosing(self._rebalancing.strays(repair=request.repair)) as replicas:
            async for found in replicas:
                yield rebalance_wire.verify_progress(found)


def written(job: Job | None) -> admin_pb2.RebalanceJob | None:
    """Write a job where there is one."""
    return None if job is None else rebalance_wire.job(job)


@dataclass(frozen=True)
class Services:
    """The services of one server; whoever calls them, by gRPC or by HTTP, gets the same."""

    search: SearchService
    catalog: CatalogService
    admin: AdminService


def add_services(server: grpc.aio.Server, services: Services) -> None:
    """Make the services part of a server."""
    search_pb2_grpc.add_SearchServiceServicer_to_server(services.search, server)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(services.catalog, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(services.admin, server)
