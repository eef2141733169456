import gzip
import json

from tests.server.gateway.http import Http


async def test_a_long_answer_is_packed_for_those_who_take_it(http: Http) -> None:
    plain = await http.get("/v1/openapi.json")
    packed = await http.get("/v1/openapi.json", Accept_Encoding="br, gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.body)) == plain.json()


async def test_answers_are_kept_by_nobody(http: Http) -> None:
    assert (await http.get("/v1/products")).headers["cache-control"] == "no-store"


async def test_empty_fields_are_there(http: Http) -> None:
    answer = (await http.post("/v1/search", {"productId": "red", "scoreMin": 1})).json()
    assert answer["hits"] == []
    assert answer["coverage"]["unreachable"] == []
