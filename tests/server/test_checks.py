import math

import numpy as np
import pytest

from lookalike.v1 import catalog_pb2, search_pb2
from lookalike_server.checks import checked_detect, checked_embed, checked_search
from lookalike_server.errors import BadField
from lookalike_server.query import PhotoQuery, ProductQuery, VectorQuery
from lookalike_server.regions import Box, Point, Whole
from lookalike_server.vision import Token, Upload
from tests.server.wrong import wrong_fields

NAN, INF = math.nan, math.inf
UNIT = [1.0] + [0.0] * 255


def box(left: float, top: float, right: float, bottom: float) -> catalog_pb2.Box:
    return catalog_pb2.Box(left=left, top=top, right=right, bottom=bottom)


def test_a_plain_photo_is_detected_and_ten_products_are_asked_for() -> None:
    search = checked_search(search_pb2.SearchRequest(image=b"photo"))
    assert search.query == PhotoQuery(Upload(b"photo"), None)
    assert (search.limit, search.offset, search.score_min, search.coverage_min) == (10, 0, None, 0.0)


def test_regions_become_values() -> None:
    regions = [
        checked_search(wire).query
        for wire in (
            search_pb2.SearchRequest(image_token="t", box=box(0.25, 0, 1, 0.5)),
            search_pb2.SearchRequest(image_token="t", point=search_pb2.Point(x=0.5, y=1)),
            search_pb2.SearchRequest(image_token="t", whole_image=search_pb2.WholeImage()),
        )
    ]
    assert [query.region for query in regions if isinstance(query, PhotoQuery)] == [
        Box(0.25, 0, 1, 0.5),
        Point(0.5, 1),
        Whole(),
    ]


def test_a_rounding_error_outside_the_picture_is_put_right() -> None:
    query = checked_search(search_pb2.SearchRequest(image=b"x", box=box(-1e-7, 0, 1 + 1e-6, 1))).query
    assert isinstance(query, PhotoQuery)
    assert query.region == Box(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (search_pb2.SearchRequest(), "query"),
        (search_pb2.SearchRequest(image=b"x", limit=0), "limit"),
        (search_pb2.SearchRequest(image=b"x", limit=-1), "limit"),
        (search_pb2.SearchRequest(image=b"x", limit=1_000_000), "limit"),
        (search_pb2.SearchRequest(image=b"x", offset=-1), "offset"),
        (search_pb2.SearchRequest(image=b"x", offset=1001), "offset"),
        (search_pb2.SearchRequest(image=b"x", score_min=NAN), "score_min"),
        (search_pb2.SearchRequest(image=b"x", score_min=1.5), "score_min"),
        (search_pb2.SearchRequest(image=b"x", coverage_min=NAN), "coverage_min"),
        (search_pb2.SearchRequest(image=b"x", coverage_min=-0.1), "coverage_min"),
        (search_pb2.SearchRequest(image=b"x", box=box(0.5, 0, 1.5, 1)), "box.right"),
        (search_pb2.SearchRequest(image=b"x", box=box(NAN, 0, 1, 1)), "box.left"),
        (search_pb2.SearchRequest(image=b"x", box=box(0, -INF, 1, 1)), "box.top"),
        (search_pb2.SearchRequest(image=b"x", box=box(0.8, 0, 0.2, 1)), "box"),
        (search_pb2.SearchRequest(image=b"x", box=box(0, 0, 0, 0)), "box"),
        (search_pb2.SearchRequest(image=b"x", point=search_pb2.Point(x=2, y=0)), "point.x"),
        (search_pb2.SearchRequest(image=b"x", point=search_pb2.Point(x=0, y=NAN)), "point.y"),
        (search_pb2.SearchRequest(image_token=""), "image_token"),
        (search_pb2.SearchRequest(product_id=""), "product_id"),
        (search_pb2.SearchRequest(product_id="a\x00b"), "product_id"),
        (search_pb2.SearchRequest(product_id="ü" * 65), "product_id"),
        (search_pb2.SearchRequest(product_id="a", box=box(0, 0, 1, 1)), "box"),
        (search_pb2.SearchRequest(product_id="a", whole_image=search_pb2.WholeImage()), "whole_image"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=UNIT), point=search_pb2.Point()), "point"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=UNIT[:255])), "vector.values"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector()), "vector.values"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=[0.0] * 256)), "vector.values"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=[NAN, *UNIT[1:]])), "vector.values"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=[INF, *UNIT[1:]])), "vector.values"),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=UNIT, model="m" * 129)), "vector.model"),
        (search_pb2.SearchRequest(image=b"x", filter=catalog_pb2.Filter()), "filter"),
        (search_pb2.SearchRequest.FromString(b"\x0a\x01x\x78\x09"), "match_min"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(wire: search_pb2.SearchRequest, field: str) -> None:
    assert set(wrong_fields(lambda: checked_search(wire))) == {field}


def test_several_wrong_fields_are_told_at_once() -> None:
    wire = search_pb2.SearchRequest(image=b"x", limit=0, offset=-1, score_min=9, box=box(2, 2, 1, 1))
    assert set(wrong_fields(lambda: checked_search(wire))) == {"limit", "offset", "score_min", "box.left", "box.top"}


def test_a_vector_of_any_length_becomes_a_unit_vector() -> None:
    for scale in (1e-30, 1.0, 3e38):
        query = checked_search(search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=[scale] * 256))).query
        assert isinstance(query, VectorQuery)
        assert np.allclose(query.vector, 1 / 16)


def test_a_product_is_a_query() -> None:
    assert checked_search(search_pb2.SearchRequest(product_id="mug 1")).query == ProductQuery("mug 1")


def test_detect_and_embed_need_a_picture() -> None:
    assert checked_detect(search_pb2.DetectRequest(image_token="t")) == Token("t")
    assert checked_embed(search_pb2.EmbedRequest(image=b"x")) == PhotoQuery(Upload(b"x"), None)
    with pytest.raises(BadField):
        checked_detect(search_pb2.DetectRequest())
    with pytest.raises(BadField):
        checked_embed(search_pb2.EmbedRequest(box=box(0, 0, 1, 1)))
