"""Writes what shoppers and shops are answered as messages. Pure: checks nothing, asks nobody."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
from google.protobuf import struct_pb2

from lookalike.v1 import catalog_pb2, search_pb2
from lookalike_router.answer import Coverage, Explained, ProductHit, Trouble
from lookalike_router.filter import Json
from lookalike_server.activity import Minute
from lookalike_server.catalog import Listed
from lookalike_server.facets import Facets
from lookalike_server.models.match import Level, Match
from lookalike_server.pipeline import Answer, Detected, Embedded, Searched, Source
from lookalike_server.product import Outcome, StoredPicture, StoredProduct, Upserted
from lookalike_server.regions import Box, Detection
from lookalike_server.timings import Timings

SOURCES = {
    Source.BOX: search_pb2.Region.SOURCE_BOX,
    Source.POINT: search_pb2.Region.SOURCE_POINT,
    Source.WHOLE_IMAGE: search_pb2.Region.SOURCE_WHOLE_IMAGE,
    Source.DETECTION: search_pb2.Region.SOURCE_DETECTION,
    Source.WHOLE_IMAGE_MATCHED_BETTER: search_pb2.Region.SOURCE_WHOLE_IMAGE_MATCHED_BETTER,
    Source.NOTHING_DETECTED: search_pb2.Region.SOURCE_NOTHING_DETECTED,
}
TROUBLES = {
    Trouble.TIMED_OUT: search_pb2.Coverage.Reason.KIND_TIMED_OUT,
    Trouble.UNREACHABLE: search_pb2.Coverage.Reason.KIND_UNREACHABLE,
    Trouble.FAILED: search_pb2.Coverage.Reason.KIND_FAILED,
    Trouble.REFUSED: search_pb2.Coverage.Reason.KIND_REFUSED,
}
LEVELS = {
    Level.SAME: search_pb2.Hit.MATCH_SAME,
    Level.SIMILAR: search_pb2.Hit.MATCH_SIMILAR,
    Level.WEAK: search_pb2.Hit.MATCH_WEAK,
    Level.NONE: search_pb2.Hit.MATCH_NONE,
}
OUTCOMES = {
    Outcome.CREATED: catalog_pb2.UpsertProductResponse.OUTCOME_CREATED,
    Outcome.UPDATED: catalog_pb2.UpsertProductResponse.OUTCOME_UPDATED,
    Outcome.UNCHANGED: catalog_pb2.UpsertProductResponse.OUTCOME_UNCHANGED,
}


def search_response(answer: Answer) -> search_pb2.SearchResponse:
    """Write the answer to a search."""
    return search_pb2.SearchResponse(
        search_id=answer.search_id,
        detections=[detection(one) for one in answer.detections],
        searched=region(answer.searched) if answer.searched else None,
        hits=[hit(*one) for one in zip_longest(answer.hits, answer.matches)],
        coverage=coverage(answer.coverage),
        timings=timings(answer.timings, answer.search_ms, answer.total_ms),
        image_token=answer.token,
        model=answer.model,
        explanation=explanation(answer.explained) if answer.explained is not None else None,
        facets=facets(answer.facets) if answer.facets is not None else None,
        nothing_alike=answer.nothing_alike,
    )


def detect_response(detected: Detected) -> search_pb2.DetectResponse:
    """Write what was detected."""
    return search_pb2.DetectResponse(
        detections=[detection(one) for one in detected.detections],
        width_px=detected.seen.width_px,
        height_px=detected.seen.height_px,
        image_token=detected.seen.token,
        model=detected.model,
        timings=timings(detected.seen.timings, 0.0, detected.total_ms),
    )


def embed_response(embedded: Embedded) -> search_pb2.EmbedResponse:
    """Write an embedding."""
    return search_pb2.EmbedResponse(
        vector=vector(embedded.vector, embedded.model),
        embedded=region(embedded.part),
        image_token=embedded.seen.token,
        timings=timings(embedded.seen.timings, 0.0, embedded.total_ms),
    )


def detection(one: Detection) -> search_pb2.Detection:
    """Write one detection."""
    return search_pb2.Detection(box=box(one.box), score=one.score, label=one.label)


def region(part: Searched) -> search_pb2.Region:
    """Write which part of a picture was used, and why."""
    return search_pb2.Region(box=box(part.box), source=SOURCES[part.source])


def box(one: Box) -> catalog_pb2.Box:
    """Write a box."""
    return catalog_pb2.Box(left=one.left, top=one.top, right=one.right, bottom=one.bottom)


def vector(values: npt.NDArray[np.float32], model: str) -> catalog_pb2.Vector:
    """Write an embedding."""
    return catalog_pb2.Vector(values=values.tolist(), model=model)


def hit(one: ProductHit, match: Match | None) -> search_pb2.Hit:
    """Write one product found, with its best picture and what its score means."""
    product = StoredProduct(one.product_id, one.attributes, (StoredPicture.of(one.image_id, one.picture),))
    return search_pb2.Hit(
        product=product_message(product),
        image_id=one.image_id,
        score=one.score,
        images_matched=one.images_matched,
        match=LEVELS[match.level] if match else search_pb2.Hit.MATCH_UNSPECIFIED,
        same_probability=match.probability if match else 0.0,
    )


def coverage(one: Coverage) -> search_pb2.Coverage:
    """Write how much of the shop an answer covers."""
    return search_pb2.Coverage(
        shards_asked=one.shards_asked,
        shards_answered=one.shards_answered,
        slots_fraction=one.slots_fraction,
        unreachable=[missing.shard for missing in one.missing],
        reasons=[
            search_pb2.Coverage.Reason(shard=missing.shard, kind=TROUBLES[missing.kind], message=missing.message)
            for missing in one.missing
        ],
        behind=one.behind,
        map_may_be_stale=one.stale,
    )


def explanation(shards: Sequence[Explained]) -> search_pb2.Explanation:
    """Write how an answer came about."""
    return search_pb2.Explanation(
        shards=[
            search_pb2.ShardExplanation(
                shard=one.shard,
                replica=one.replica,
                ms=one.ms,
                rows=one.rows,
                drops=search_pb2.ShardExplanation.Drops(
                    not_owner=one.not_owner, older_version=one.older, same_product=one.same_product
                ),
                hedge=one.hedge,
                retry=one.retry,
                rounds=one.rounds,
                message=one.message,
            )
            for one in shards
        ]
    )


def facets(one: Facets) -> search_pb2.Facets:
    """Write what an answer may be narrowed by."""
    count, span = search_pb2.Facets.ValueCount, search_pb2.Facets.PriceSpan
    return search_pb2.Facets(
        products=one.products,
        categories=[count(value=value, products=products) for value, products in one.categories],
        brands=[count(value=value, products=products) for value, products in one.brands],
        in_stock=one.in_stock,
        prices=[
            span(
                currency_code=price.currency,
                least_minor=price.least_minor,
                most_minor=price.most_minor,
                products=price.products,
            )
            for price in one.prices
        ],
    )


def activity_response(minutes: Sequence[Minute]) -> search_pb2.GetActivityResponse:
    """Write how searches went."""
    return search_pb2.GetActivityResponse(
        minutes=[
            search_pb2.GetActivityResponse.Minute(
                begun_seconds=one.begun_s,
                answered=one.answered,
                refused=one.refused,
                p50_ms=one.quantile_ms(0.5),
                p95_ms=one.quantile_ms(0.95),
                coverage_mean=one.coverage_mean,
                coverage_min=one.coverage_min,
            )
            for one in minutes
        ]
    )


def timings(one: Timings, search_ms: float, total_ms: float) -> search_pb2.Timings:
    """Write where the time went."""
    return search_pb2.Timings(
        queue_ms=one.queue_ms,
        decode_ms=one.decode_ms,
        detect_ms=one.detect_ms,
        embed_ms=one.embed_ms,
        search_ms=search_ms,
        total_ms=total_ms,
    )


def product_message(product: StoredProduct, vectors_of: str | None = None) -> catalog_pb2.Product:
    """Write a product; with `vectors_of`, the model that made them, its pictures' vectors too."""
    told = product.attributes
    wire = catalog_pb2.Product(
        product_id=product.product_id,
        title=text(told, "title"),
        category=text(told, "category"),
        brand=text(told, "brand"),
        url=text(told, "url"),
        price=money(told),
        tags=texts(told.get("tags")),
        attributes=struct(told.get("attributes")),
        images=[image(one, vectors_of) for one in product.pictures],
    )
    if isinstance(in_stock := told.get("in_stock"), bool):
        wire.in_stock = in_stock
    return wire


def image(one: StoredPicture, vectors_of: str | None) -> catalog_pb2.ProductImage:
    """Write one picture of a product, without its content."""
    return catalog_pb2.ProductImage(
        image_id=one.image_id,
        uri=one.uri,
        content_sha256=one.sha256,
        box=box(one.box),
        vector=vector(one.vector, vectors_of) if vectors_of is not None and one.vector is not None else None,
    )


def text(told: Mapping[str, Json], name: str) -> str:
    """Return a text attribute, empty where it was not said."""
    value = told.get(name)
    return value if isinstance(value, str) else ""


def texts(value: Json) -> list[str]:
    """Return labels, none where none were said."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def money(told: Mapping[str, Json]) -> catalog_pb2.Money | None:
    """Write a price, None where it was not said."""
    amount = told.get("price_minor")
    if not isinstance(amount, int | float):
        return None
    return catalog_pb2.Money(amount_minor=int(amount), currency_code=text(told, "currency"))


def struct(value: Json) -> struct_pb2.Struct | None:
    """Write the shop's own attributes."""
    if not isinstance(value, dict) or not value:
        return None
    wire = struct_pb2.Struct()
    wire.update(value)
    return wire


def upsert_response(upserted: Upserted) -> catalog_pb2.UpsertProductResponse:
    """Write what an upsert did."""
    return catalog_pb2.UpsertProductResponse(
        product=product_message(upserted.product),
        outcome=OUTCOMES[upserted.outcome],
        images_embedded=upserted.images_embedded,
        images_reused=upserted.images_reused,
    )


def list_response(listed: Listed) -> catalog_pb2.ListProductsResponse:
    """Write one page of products."""
    return catalog_pb2.ListProductsResponse(
        products=[product_message(one) for one in listed.products], next_page_token=listed.next_page_token
    )
