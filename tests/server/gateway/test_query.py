import pytest
from starlette.datastructures import QueryParams

from lookalike.v1 import catalog_pb2
from lookalike_server.gateway.problem import Problem
from lookalike_server.gateway.query import query_message


def read(query: str) -> object:
    return query_message(catalog_pb2.ListProductsRequest, QueryParams(query), {})


def test_fields_have_the_names_of_json_and_of_the_proto() -> None:
    assert read("pageSize=3") == read("page_size=3") == catalog_pb2.ListProductsRequest(page_size=3)


@pytest.mark.parametrize(
    "query", ["pages=3", "pageSize=x", "pageSize=3&page_size=4", "filter=x", "pageSize=99999999999"]
)
def test_what_is_no_field_or_fits_none_is_refused(query: str) -> None:
    with pytest.raises(Problem) as refused:
        read(query)
    assert refused.value.reason == "INVALID_JSON"
