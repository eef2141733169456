"""The two kinds of stream: many searches, many upserts."""

from collections.abc import Callable

from lookalike.errors import InvalidArgument, LookalikeError
from lookalike.photo import Photo
from lookalike.status import from_item
from lookalike.stream import StreamPlan
from lookalike.types import Product, SearchResult, UpsertResult
from lookalike.v1 import catalog_pb2, search_pb2
from lookalike.wire import catalog, search

SearchPlan = StreamPlan[Photo, search_pb2.SearchStreamRequest, search_pb2.SearchStreamResponse, SearchResult]
ImportPlan = StreamPlan[Product, catalog_pb2.ImportProductsRequest, catalog_pb2.ImportProductsResponse, UpsertResult]


def searches(part: search.Part, scope: search.Scope, in_flight: int, silence_s: float) -> SearchPlan:
    """Return the plan for one search per photo."""

    def build(item_id: str, photo: Photo) -> search_pb2.SearchStreamRequest:
        return search.stream_request(item_id, photo, part, scope)

    def read(answer: search_pb2.SearchStreamResponse) -> tuple[str, SearchResult | LookalikeError]:
        failed = answer.HasField("error")
        return answer.item_id, from_item(answer.error) if failed else search.search_result(answer.result)

    return StreamPlan(build, read, _at_least_one(in_flight), silence_s)


def imports(name: Callable[[Product], str] | None, in_flight: int, silence_s: float) -> ImportPlan:
    """Return the plan for one upsert per product, named by `name` or at random."""

    def build(item_id: str, product: Product) -> catalog_pb2.ImportProductsRequest:
        return catalog.import_request(item_id, product, None if name is None else name(product))

    def read(answer: catalog_pb2.ImportProductsResponse) -> tuple[str, UpsertResult | LookalikeError]:
        failed = answer.HasField("error")
        return answer.item_id, from_item(answer.error) if failed else catalog.upsert_result(answer.result)

    return StreamPlan(build, read, _at_least_one(in_flight), silence_s)


def _at_least_one(in_flight: int) -> int:
    if in_flight < 1:
        raise InvalidArgument(f"in_flight is {in_flight}: at least 1 must be on its way", reason="INVALID_FIELD")
    return in_flight
