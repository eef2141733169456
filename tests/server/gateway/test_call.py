import pytest

from lookalike.v1 import search_pb2
from lookalike_server.gateway.call import called
from lookalike_server.gateway.problem import Problem
from tests.server.gateway.http import Http


async def test_a_service_answers_without_grpc(http: Http) -> None:
    search = http.shop.serving.services.search
    answer = await called(search.Search, search_pb2.SearchRequest(product_id="red"))
    assert isinstance(answer, search_pb2.SearchResponse)
    assert len(answer.hits) == 2


async def test_a_refusal_is_a_problem(http: Http) -> None:
    search = http.shop.serving.services.search
    with pytest.raises(Problem, match="query"):
        await called(search.Search, search_pb2.SearchRequest())
