"""Says which methods of the services HTTP offers, and where. Photos are posted; reads are GET; nothing is changed.

Knows no HTTP library: routes and the OpenAPI document are made from this table.
"""

from dataclasses import dataclass

from google.protobuf.message import Message

from lookalike.v1 import admin_pb2, catalog_pb2, search_pb2
from lookalike_server.gateway.call import Method
from lookalike_server.service import Services


@dataclass(frozen=True)
class Offer:
    """One method at one place; `verb` GET takes the message's fields from the path and the query."""

    verb: str
    path: str
    name: str
    """"SearchService.Search"."""
    says: str
    request: type[Message]
    response: type[Message]
    path_field: str = ""


OFFERS = (
    Offer(
        "POST", "/v1/search", "SearchService.Search", "Find the products most like a picture, a product or a vector.",
        search_pb2.SearchRequest, search_pb2.SearchResponse,
    ),
    Offer(
        "POST", "/v1/detect", "SearchService.Detect", "Find where products are in a picture.",
        search_pb2.DetectRequest, search_pb2.DetectResponse,
    ),
    Offer(
        "POST", "/v1/embed", "SearchService.Embed", "Embed a picture or a part of it.",
        search_pb2.EmbedRequest, search_pb2.EmbedResponse,
    ),
    Offer(
        "POST", "/v1/events", "SearchService.RecordEvents", "Keep what shoppers did, where that is turned on.",
        search_pb2.RecordEventsRequest, search_pb2.RecordEventsResponse,
    ),
    Offer(
        "GET", "/v1/products", "CatalogService.ListProducts", "List products, page by page.",
        catalog_pb2.ListProductsRequest, catalog_pb2.ListProductsResponse,
    ),
    Offer(
        "GET", "/v1/products/{product_id}", "CatalogService.GetProduct", "Get one product.",
        catalog_pb2.GetProductRequest, catalog_pb2.GetProductResponse, "product_id",
    ),
    Offer(
        "GET", "/v1/admin/topology", "AdminService.GetTopology", "Get the placement map and the models in use.",
        admin_pb2.GetTopologyRequest, admin_pb2.GetTopologyResponse,
    ),
    Offer(
        "GET", "/v1/admin/shards", "AdminService.ListShards", "Ask every replica of every shard how it is.",
        admin_pb2.ListShardsRequest, admin_pb2.ListShardsResponse,
    ),
    Offer(
        "GET", "/v1/admin/rebalance", "AdminService.GetRebalance", "Get the newest rebalance, active or not.",
        admin_pb2.GetRebalanceRequest, admin_pb2.GetRebalanceResponse,
    ),
    Offer(
        "GET", "/v1/admin/activity", "SearchService.GetActivity", "Say how searches went over the last hour.",
        search_pb2.GetActivityRequest, search_pb2.GetActivityResponse,
    ),
)  # fmt: skip


def method_of(offer: Offer, services: Services) -> Method:
    """Return the service's method."""
    service, _, name = offer.name.partition(".")
    owner = {"SearchService": services.search, "CatalogService": services.catalog, "AdminService": services.admin}
    method: Method = getattr(owner[service], name)
    return method
