"""A real gRPC server on loopback that keeps products in a dict and fails exactly as a test told it."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from lookalike.v1 import admin_pb2, admin_pb2_grpc, catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc

MODEL = "tiny@1"
DIM = 256


@dataclass(frozen=True)
class Refusal:
    """How one call or one item is to fail."""

    code: int
    message: str = "scripted"
    reason: str = ""
    retry_after_s: float = 0.0
    fields: tuple[str, ...] = ()

    def item(self) -> catalog_pb2.ItemError:
        return catalog_pb2.ItemError(
            code=self.code,
            message=self.message,
            reason=self.reason,
            retry_delay_seconds=self.retry_after_s,
            field_violations=[catalog_pb2.FieldViolation(field=name, description="is wrong") for name in self.fields],
        )

    def status(self) -> Any:
        details: list[Any] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="lookalike"))
        if self.retry_after_s:
            delay = duration_pb2.Duration(nanos=round(self.retry_after_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.fields:
            violation = error_details_pb2.BadRequest.FieldViolation
            fields = [violation(field=name, description="is wrong") for name in self.fields]
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        packed = [any_pb2.Any() for _ in details]
        for any_, detail in zip(packed, details, strict=True):
            any_.Pack(detail)
        return rpc_status.to_status(status_pb2.Status(code=self.code, message=self.message, details=packed))


AWAY = Refusal(code_pb2.UNAVAILABLE, "the shard is away", "SHARD_UNAVAILABLE")
FULL = Refusal(code_pb2.RESOURCE_EXHAUSTED, "64 searches wait", "OVERLOADED", retry_after_s=0.001)
WRONG = Refusal(code_pb2.INVALID_ARGUMENT, "no", "INVALID_FIELD", fields=("product.title",))


@dataclass
class Script:
    """What goes wrong, in order, and what was seen."""

    calls: deque[Refusal] = field(default_factory=deque)  # the next unary calls
    items: dict[str, deque[Refusal]] = field(default_factory=dict)  # an item's next answers, by product id or photo
    breaks: deque[tuple[int, Refusal]] = field(default_factory=deque)  # the next streams: after so many items
    gate: threading.Semaphore | None = None  # every answer on a stream takes one
    silent: bool = False  # streams are read and never answered
    hold: threading.Event | None = None  # unary calls wait for it
    requests: list[Any] = field(default_factory=list)
    seen: threading.Event = field(default_factory=threading.Event)  # set by the first item on a stream
    streams: int = 0
    taken: int = 0  # items read from streams

    def meet(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.hold is not None:
            self.hold.wait()
        if self.calls:
            context.abort_with_status(self.calls.popleft().status())

    def refused(self, name: str) -> Refusal | None:
        waiting = self.items.get(name)
        return waiting.popleft() if waiting else None

    def converse(
        self, requests: Iterator[Any], context: grpc.ServicerContext, answer: Callable[[Any], Any]
    ) -> Iterator[Any]:
        self.streams += 1
        after, refusal = self.breaks.popleft() if self.breaks else (None, None)
        for count, request in enumerate(requests):
            self.taken += 1
            self.seen.set()
            if refusal is not None and count == after:
                context.abort_with_status(refusal.status())
            if self.gate is not None:
                self.gate.acquire()
            if not self.silent:
                yield answer(request)


class ScriptedShop(
    search_pb2_grpc.SearchServiceServicer,
    catalog_pb2_grpc.CatalogServiceServicer,
    admin_pb2_grpc.AdminServiceServicer,
):
    """A shop in a dict; every product matches every photo, best first by id."""

    def __init__(self) -> None:
        self.script = Script()
        self.products: dict[str, catalog_pb2.Product] = {}
        self.coverage = search_pb2.Coverage(shards_asked=1, shards_answered=1, slots_fraction=1.0)
        self.state = admin_pb2.ShardStatus.STATE_HEALTHY
        self.dim = DIM
        self.scores = 1.0
        self.health = health.HealthServicer()
        self.server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.max_receive_message_length", 32 * 2**20)]
        )
        search_pb2_grpc.add_SearchServiceServicer_to_server(self, self.server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self, self.server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(grace=None).wait()

    def serve(self, status: Any) -> None:
        """Say of itself that it serves, or not."""
        self.health.set("", status)

    def Search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        self.script.meet(request, context)
        return self._found(request)

    def SearchStream(self, request_iterator: Any, context: Any) -> Iterator[search_pb2.SearchStreamResponse]:
        def answer(request: search_pb2.SearchStreamRequest) -> search_pb2.SearchStreamResponse:
            refusal = self.script.refused(request.search.image.decode())
            if refusal is not None:
                return search_pb2.SearchStreamResponse(item_id=request.item_id, error=refusal.item())
            return search_pb2.SearchStreamResponse(item_id=request.item_id, result=self._found(request.search))

        return self.script.converse(request_iterator, context, answer)

    def Detect(self, request: search_pb2.DetectRequest, context: Any) -> search_pb2.DetectResponse:
        self.script.meet(request, context)
        return search_pb2.DetectResponse(
            detections=[_detection()], width_px=320, height_px=240, image_token="token", model="boxes@1"
        )

    def Embed(self, request: search_pb2.EmbedRequest, context: Any) -> search_pb2.EmbedResponse:
        self.script.meet(request, context)
        region = search_pb2.Region(box=_detection().box, source=search_pb2.Region.SOURCE_DETECTION)
        return search_pb2.EmbedResponse(vector=_vector(), embedded=region, image_token="token")

    def UpsertProduct(self, request: catalog_pb2.UpsertProductRequest, context: Any) -> Any:
        self.script.meet(request, context)
        return self._stored(request.product)

    def ImportProducts(self, request_iterator: Any, context: Any) -> Iterator[catalog_pb2.ImportProductsResponse]:
        def answer(request: catalog_pb2.ImportProductsRequest) -> catalog_pb2.ImportProductsResponse:
            refusal = self.script.refused(request.product.product_id)
            if refusal is not None:
                return catalog_pb2.ImportProductsResponse(item_id=request.item_id, error=refusal.item())
            return catalog_pb2.ImportProductsResponse(item_id=request.item_id, result=self._stored(request.product))

        return self.script.converse(request_iterator, context, answer)

    def GetProduct(self, request: catalog_pb2.GetProductRequest, context: Any) -> catalog_pb2.GetProductResponse:
        self.script.meet(request, context)
        product = catalog_pb2.Product()
        product.CopyFrom(self._known(request.product_id, context))
        if request.include_vectors:
            for image in product.images:
                image.vector.CopyFrom(_vector())
        return catalog_pb2.GetProductResponse(product=product)

    def ListProducts(self, request: catalog_pb2.ListProductsRequest, context: Any) -> catalog_pb2.ListProductsResponse:
        self.script.meet(request, context)
        start = int(request.page_token or 0)
        end = start + (request.page_size or 50)
        products = sorted(self.products.values(), key=lambda product: product.product_id)
        token = str(end) if end < len(products) else ""
        return catalog_pb2.ListProductsResponse(products=products[start:end], next_page_token=token)

    def DeleteProduct(self, request: catalog_pb2.DeleteProductRequest, context: Any) -> Any:
        self.script.meet(request, context)
        images = len(self._known(request.product_id, context).images)
        del self.products[request.product_id]
        return catalog_pb2.DeleteProductResponse(images_deleted=images)

    def GetTopology(self, request: admin_pb2.GetTopologyRequest, context: Any) -> admin_pb2.GetTopologyResponse:
        self.script.meet(request, context)
        return admin_pb2.GetTopologyResponse(
            epoch=1, slots=16384, shards=[_shard()], embedder=MODEL, detector="boxes@1", dim=self.dim
        )

    def ListShards(self, request: admin_pb2.ListShardsRequest, context: Any) -> admin_pb2.ListShardsResponse:
        self.script.meet(request, context)
        trouble = "" if self.state == admin_pb2.ShardStatus.STATE_HEALTHY else "does not answer: start it"
        status = admin_pb2.ShardStatus(
            shard=_shard(), state=self.state, message=trouble, rows=7, latency_ms=1.5, server_version="2.3.5"
        )
        return admin_pb2.ListShardsResponse(shards=[status], epoch=1)

    def _known(self, product_id: str, context: grpc.ServicerContext) -> catalog_pb2.Product:
        if product_id not in self.products:
            gone = Refusal(code_pb2.NOT_FOUND, f"there is no product {product_id!r}", "PRODUCT_NOT_FOUND")
            context.abort_with_status(gone.status())
        return self.products[product_id]

    def _stored(self, product: catalog_pb2.Product) -> catalog_pb2.UpsertProductResponse:
        stored = catalog_pb2.Product()
        stored.CopyFrom(product)
        for image in stored.images:
            image.content_sha256 = hashlib.sha256(image.content).hexdigest()
            image.image_id = image.image_id or image.content_sha256[:12]
            image.ClearField("content")
        before, self.products[product.product_id] = self.products.get(product.product_id), stored
        outcomes = catalog_pb2.UpsertProductResponse
        if before == stored:
            return outcomes(product=stored, outcome=outcomes.OUTCOME_UNCHANGED, images_reused=len(stored.images))
        outcome = outcomes.OUTCOME_CREATED if before is None else outcomes.OUTCOME_UPDATED
        return outcomes(product=stored, outcome=outcome, images_embedded=len(stored.images))

    def _found(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        limit = request.limit if request.HasField("limit") else 10
        chosen = sorted(self.products.values(), key=lambda product: product.product_id)
        hits = [
            search_pb2.Hit(product=product, image_id=product.images[0].image_id, score=self.scores, images_matched=1)
            for product in chosen[request.offset : request.offset + limit]
        ]
        region = search_pb2.Region(box=_detection().box, source=search_pb2.Region.SOURCE_DETECTION)
        return search_pb2.SearchResponse(
            search_id="s-1",
            detections=[_detection()],
            searched=region,
            hits=hits,
            coverage=self.coverage,
            timings=search_pb2.Timings(total_ms=12.5),
            image_token="token",
            model=MODEL,
        )


def _detection() -> search_pb2.Detection:
    box = catalog_pb2.Box(left=0.25, top=0.125, right=0.75, bottom=0.5)
    return search_pb2.Detection(box=box, score=0.5, label="product")


def _vector() -> catalog_pb2.Vector:
    return catalog_pb2.Vector(values=[1.0] + [0.0] * (DIM - 1), model=MODEL)


def _shard() -> admin_pb2.Shard:
    slots = [admin_pb2.SlotRange(first=0, last=16383)]
    return admin_pb2.Shard(name="a", weight=1.0, uri="http://127.0.0.1:19530", slots=16384, slot_ranges=slots)
