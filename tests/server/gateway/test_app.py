import base64
import json

from lookalike.v1 import search_pb2
from tests.parts.service import RED
from tests.server.gateway.http import Http
from tests.server.photos import jpeg, plain

PHOTO = jpeg(plain(RED))


async def test_a_photo_finds_the_same_by_form_by_json_and_by_grpc(http: Http) -> None:
    by_form = (await http.form("/v1/search", image=PHOTO, request='{"limit": 2, "wholeImage": {}}')).json()
    as_json = {"image": base64.b64encode(PHOTO).decode(), "limit": 2, "wholeImage": {}}
    by_json = (await http.post("/v1/search", as_json)).json()
    whole = search_pb2.WholeImage()
    by_grpc = await http.shop.search.Search(search_pb2.SearchRequest(image=PHOTO, limit=2, whole_image=whole))
    ids = [hit.product.product_id for hit in by_grpc.hits]
    assert ids[0] == "red"
    assert [hit["product"]["productId"] for hit in by_form["hits"]] == ids
    assert [hit["product"]["productId"] for hit in by_json["hits"]] == ids
    assert by_form["searched"]["source"] == "SOURCE_WHOLE_IMAGE"


async def test_a_token_searches_the_same_photo_again(http: Http) -> None:
    first = (await http.form("/v1/search", image=PHOTO)).json()
    box = {"left": 0.1, "top": 0.1, "right": 0.9, "bottom": 0.9}
    again = (await http.post("/v1/search", {"imageToken": first["imageToken"], "box": box})).json()
    assert again["searched"]["source"] == "SOURCE_BOX"


async def test_what_is_detected_and_embedded_is_told(http: Http) -> None:
    assert len((await http.form("/v1/detect", image=PHOTO)).json()["detections"]) == 2
    assert len((await http.form("/v1/embed", image=PHOTO)).json()["vector"]["values"]) == 256


async def test_the_catalogue_is_read(http: Http) -> None:
    page = (await http.get("/v1/products?pageSize=2")).json()
    assert len(page["products"]) == 2
    rest = (await http.get(f"/v1/products?page_size=2&pageToken={page['nextPageToken']}")).json()
    assert {one["productId"] for one in page["products"] + rest["products"]} == {"red", "green", "a/b c"}
    only = {"compare": {"field": "brand", "value": {"text": "One"}}}
    quoted = json.dumps(only).replace(" ", "%20").replace('"', "%22")
    filtered = (await http.get(f"/v1/products?filter={quoted}")).json()
    assert [one["productId"] for one in filtered["products"]] == ["red"]
    assert (await http.get("/v1/products/a%2Fb%20c")).json()["product"]["title"] == "Blue"
    with_vector = (await http.get("/v1/products/red?includeVectors=true")).json()
    assert len(with_vector["product"]["images"][0]["vector"]["values"]) == 256


async def test_the_shops_shards_are_told(http: Http) -> None:
    assert (await http.get("/v1/admin/topology")).json()["slots"] == 16384
    assert len((await http.get("/v1/admin/shards")).json()["shards"]) == 3
    await http.form("/v1/search", image=PHOTO)
    await http.form("/v1/search", image=b"no picture")
    minutes = (await http.get("/v1/admin/activity")).json()["minutes"]
    assert sum(one["answered"] for one in minutes) == 1
    assert sum(one["refused"] for one in minutes) == 1


async def test_an_answer_says_what_it_may_be_narrowed_by(http: Http) -> None:
    request = json.dumps({"limit": 1, "facets": True})
    answer = (await http.form("/v1/search", image=PHOTO, request=request)).json()
    assert len(answer["hits"]) == 1
    assert answer["facets"]["categories"] == [{"value": "colour", "products": 2}, {"value": "other", "products": 1}]
    assert (answer["facets"]["products"], answer["facets"]["inStock"]) == (3, 1)


async def test_refusals_have_the_reasons_of_grpc(http: Http) -> None:
    for answer, status, reason, code in (
        (await http.form("/v1/search", image=b"no picture"), 400, "UNSUPPORTED_FORMAT", "INVALID_ARGUMENT"),
        (await http.post("/v1/search", {"imageToken": "old"}), 404, "IMAGE_TOKEN_EXPIRED", "NOT_FOUND"),
        (await http.get("/v1/products/none"), 404, "PRODUCT_NOT_FOUND", "NOT_FOUND"),
        (await http.post("/v1/search", {"productId": "red", "limit": 1000}), 400, "INVALID_FIELD", "INVALID_ARGUMENT"),
    ):
        told = answer.json()
        assert (answer.status, told["reason"], told["code"]) == (status, reason, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert told["status"] == status
    assert told["fields"][0]["field"] == "limit"


async def test_what_is_not_there_is_a_problem_too(http: Http) -> None:
    missing, wrong = await http.get("/v1/nothing"), await http.get("/v1/search")
    assert (missing.status, missing.json()["reason"]) == (404, "NO_SUCH_PLACE")
    assert (wrong.status, wrong.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "POST"
    deleted = await http.ask("DELETE", "/v1/products/red", b"", {})
    assert deleted.status == 405
