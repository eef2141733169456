"""A real gRPC server on loopback that keeps products in a dict and fails exactly as a test told it."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Self

import grpc
from google.rpc import code_pb2
from grpc_health.v1 import health, health_pb2_grpc

from lookalike.v1 import admin_pb2_grpc, catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc
from tests.client.script import Refusal, Script
from tests.client.scripted_map import MODEL, ScriptedMap

DIM = 256


class ScriptedShop(search_pb2_grpc.SearchServiceServicer, catalog_pb2_grpc.CatalogServiceServicer):
    """A shop in a dict; every product matches every photo, best first by id."""

    def __init__(self) -> None:
        self.script = Script()
        self.map = ScriptedMap(self.script, DIM)
        self.answers: dict[str, tuple[bytes, Any]] = {}  # by request_id: the payload, and the first answer
        self.products: dict[str, catalog_pb2.Product] = {}
        self.coverage = search_pb2.Coverage(shards_asked=1, shards_answered=1, slots_fraction=1.0)
        self.explanation = search_pb2.Explanation()
        self.scores = 1.0
        self.match: search_pb2.Hit.Match.ValueType = search_pb2.Hit.MATCH_UNSPECIFIED
        self.nothing_alike = False
        self.health = health.HealthServicer()
        self.server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.max_receive_message_length", 32 * 2**20)]
        )
        search_pb2_grpc.add_SearchServiceServicer_to_server(self, self.server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self, self.server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self.map, self.server)
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

    def GetActivity(self, request: search_pb2.GetActivityRequest, context: Any) -> search_pb2.GetActivityResponse:
        self.script.meet(request, context)
        return search_pb2.GetActivityResponse()

    def RecordEvents(self, request: search_pb2.RecordEventsRequest, context: Any) -> search_pb2.RecordEventsResponse:
        self.script.meet(request, context)
        return search_pb2.RecordEventsResponse(kept=len(request.events))

    def UpsertProduct(self, request: catalog_pb2.UpsertProductRequest, context: Any) -> Any:
        self.script.meet(request, context)
        answer = self._once(request, lambda: self._stored(request.product), context)
        self.script.lose(context)
        return answer

    def ImportProducts(self, request_iterator: Any, context: Any) -> Iterator[catalog_pb2.ImportProductsResponse]:
        def answer(request: catalog_pb2.ImportProductsRequest) -> catalog_pb2.ImportProductsResponse:
            refusal = self.script.refused(request.product.product_id)
            if refusal is not None:
                return catalog_pb2.ImportProductsResponse(item_id=request.item_id, error=refusal.item())
            result = self._once(request, lambda: self._stored(request.product), context)
            return catalog_pb2.ImportProductsResponse(item_id=request.item_id, result=result)

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

        def delete() -> catalog_pb2.DeleteProductResponse:
            images = len(self._known(request.product_id, context).images)
            del self.products[request.product_id]
            return catalog_pb2.DeleteProductResponse(images_deleted=images)

        answer = self._once(request, delete, context)
        self.script.lose(context)
        return answer

    def _once(self, request: Any, do: Callable[[], Any], context: grpc.ServicerContext) -> Any:
        """Do what is asked unless it was done under the same request_id; then give the first answer again."""
        payload = (request.product if hasattr(request, "product") else request).SerializeToString()
        before, answer = self.answers.get(request.request_id, (payload, None))
        if before != payload:
            message = f"request_id {request.request_id!r} was used for another write: give each one its own"
            context.abort_with_status(Refusal(code_pb2.INVALID_ARGUMENT, message, "REQUEST_ID_REUSED").status())
        if answer is None:
            answer = do()
            self.answers[request.request_id] = (payload, answer)
        return answer

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
            search_pb2.Hit(
                product=product,
                image_id=product.images[0].image_id,
                score=self.scores,
                images_matched=1,
                match=self.match,
                same_probability=0.5 if self.match else 0.0,
            )
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
            explanation=self.explanation if request.explain else None,
            nothing_alike=self.nothing_alike,
        )


def _detection() -> search_pb2.Detection:
    box = catalog_pb2.Box(left=0.25, top=0.125, right=0.75, bottom=0.5)
    return search_pb2.Detection(box=box, score=0.5, label="product")


def _vector() -> catalog_pb2.Vector:
    return catalog_pb2.Vector(values=[1.0] + [0.0] * (DIM - 1), model=MODEL)
