"""Turns requests that look into what was asked, or says every field that is wrong. Knows no pictures' content."""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lookalike.v1 import catalog_pb2, search_pb2
from lookalike_router.shard import DIM
from lookalike_server.complaints import ID_BYTES_MAX, Complaints
from lookalike_server.filter_checks import checked_filter
from lookalike_server.query import PhotoQuery, ProductQuery, Query, Search, VectorQuery
from lookalike_server.regions import Box, Point, Region, Whole
from lookalike_server.vision import Photo, Token, Upload
from lookalike_server.wire import LEVELS

LIMIT_DEFAULT = 10
# A shopper looks at some dozens; every shard is asked for all of offset + limit and more, and Milvus stops at 16,384.
LIMIT_MAX = 200
OFFSET_MAX = 1000
# Edges that clients compute in float32 land a little outside: 1 + 2⁻²³ is meant as 1.
EDGE_SLACK = 1e-5
MATCHES = {number: level for level, number in LEVELS.items()}
SIDES = ("left", "top", "right", "bottom")

PhotoRequest: TypeAlias = search_pb2.SearchRequest | search_pb2.EmbedRequest | search_pb2.DetectRequest
RegionRequest: TypeAlias = search_pb2.SearchRequest | search_pb2.EmbedRequest


def checked_search(wire: search_pb2.SearchRequest) -> Search:
    """Check one search."""
    complaints = Complaints()
    query = checked_query(wire, complaints)
    limit = wire.limit if wire.HasField("limit") else LIMIT_DEFAULT
    if not 1 <= limit <= LIMIT_MAX:
        complaints.add("limit", f"is {limit}; 1 to {LIMIT_MAX} products can be asked for")
    if not 0 <= wire.offset <= OFFSET_MAX:
        complaints.add("offset", f"is {wire.offset}; 0 to {OFFSET_MAX} products can be left out")
    where = checked_filter(wire.filter, "filter", complaints) if wire.HasField("filter") else None
    score_min = wire.score_min if wire.HasField("score_min") else None
    if score_min is not None and not -1 <= score_min <= 1:
        complaints.add("score_min", f"is {score_min:g}; a score is -1 to 1")
    if not 0 <= wire.coverage_min <= 1:
        complaints.add("coverage_min", f"is {wire.coverage_min:g}; a fraction of the shop is 0 to 1")
    if wire.match_min and wire.match_min not in MATCHES:
        complaints.add("match_min", f"is {wire.match_min}, which is no match")
    complaints.settle()
    assert query is not None, "a query without complaint is there"
    match_min = MATCHES.get(wire.match_min)
    return Search(query, limit, wire.offset, where, score_min, wire.coverage_min, wire.explain, wire.facets, match_min)


def checked_detect(wire: search_pb2.DetectRequest) -> Photo:
    """Check one detection."""
    complaints = Complaints()
    photo = checked_photo(wire, complaints)
    complaints.settle()
    assert photo is not None, "a photo without complaint is there"
    return photo


def checked_embed(wire: search_pb2.EmbedRequest) -> PhotoQuery:
    """Check one embedding."""
    complaints = Complaints()
    photo = checked_photo(wire, complaints)
    region = checked_region(wire, complaints)
    complaints.settle()
    assert photo is not None, "a photo without complaint is there"
    return PhotoQuery(photo, region)


def checked_query(wire: search_pb2.SearchRequest, complaints: Complaints) -> Query | None:
    """Check what is searched for, and that a region comes only with a photo."""
    kind = wire.WhichOneof("query")
    region = wire.WhichOneof("region")
    if kind in ("product_id", "vector") and region:
        complaints.add(region, f"is a part of a picture; it cannot go with {kind}")
        return None
    if kind == "product_id":
        complaints.identifier("product_id", wire.product_id)
        return ProductQuery(wire.product_id)
    if kind == "vector":
        vector = checked_vector(wire.vector, complaints)
        return None if vector is None else VectorQuery(vector, wire.vector.model)
    if kind is None:
        complaints.add("query", "is required: set one of image, image_token, product_id, vector")
        return None
    photo = checked_photo(wire, complaints)
    asked = checked_region(wire, complaints)
    return None if photo is None else PhotoQuery(photo, asked)


def checked_photo(wire: PhotoRequest, complaints: Complaints) -> Photo | None:
    """Check which photo is meant; whether its bytes are a picture is found out later."""
    match wire.WhichOneof("query"):
        case "image":
            return Upload(wire.image)
        case "image_token":
            if not wire.image_token:
                complaints.add("image_token", "is empty")
            return Token(wire.image_token)
    complaints.add("query", "is required: set one of image, image_token")
    return None


def checked_region(wire: RegionRequest, complaints: Complaints) -> Region:
    """Check which part of the photo is meant."""
    match wire.WhichOneof("region"):
        case "box":
            return checked_box(wire.box, "box", complaints)
        case "point":
            return checked_point(wire.point, complaints)
        case "whole_image":
            return Whole()
    return None


def checked_point(wire: search_pb2.Point, complaints: Complaints) -> Point | None:
    """Check a point."""
    x, y = inside(wire.x), inside(wire.y)
    for name, given, value in (("x", wire.x, x), ("y", wire.y, y)):
        if value is None:
            complaints.add(f"point.{name}", f"is {given:g}; a fraction of the picture is 0 to 1")
    return Point(x, y) if x is not None and y is not None else None


def checked_box(wire: catalog_pb2.Box, path: str, complaints: Complaints) -> Box | None:
    """Check a box: each side within the picture, and not empty."""
    given = {name: getattr(wire, name) for name in SIDES}
    sides = {name: inside(value) for name, value in given.items()}
    good = {name: side for name, side in sides.items() if side is not None}
    for name in sides.keys() - good.keys():
        complaints.add(f"{path}.{name}", f"is {given[name]:g}; a fraction of the picture is 0 to 1")
    if len(good) < len(SIDES):
        return None
    if good["left"] >= good["right"] or good["top"] >= good["bottom"]:
        complaints.add(path, "is empty: left must be less than right, and top less than bottom")
        return None
    return Box(**good)


def inside(value: float) -> float | None:
    """Return a fraction of the picture, put right where it is a rounding error outside; None where it is outside."""
    # Written so that NaN, which compares false with everything, is outside.
    return min(1.0, max(0.0, value)) if -EDGE_SLACK <= value <= 1 + EDGE_SLACK else None


def checked_vector(wire: catalog_pb2.Vector, complaints: Complaints) -> npt.NDArray[np.float32] | None:
    """Check an embedding and return it at unit length."""
    complaints_before = len(complaints.found)
    # float64: the squares of large float32 numbers would overflow.
    values = np.array(wire.values, dtype=np.float64)
    if values.shape != (DIM,):
        complaints.add("vector.values", f"holds {values.size} numbers; {DIM} are needed")
    elif not np.isfinite(values).all():
        complaints.add("vector.values", "holds a number that is not finite")
    elif not values.any():
        complaints.add("vector.values", "holds zeros only, which point nowhere")
    if len(wire.model.encode()) > ID_BYTES_MAX:
        complaints.add("vector.model", f"is longer than {ID_BYTES_MAX} bytes")
    if len(complaints.found) > complaints_before:
        return None
    return (values / math.sqrt(float(values @ values))).astype(np.float32)
