from tests.server.gateway.http import Http


async def test_every_answer_says_what_browsers_may_do(http: Http) -> None:
    for path in ("/", "/ops", "/v1/products", "/v1/nothing", "/v1/images/../x", "/js/main.js"):
        headers = (await http.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert not any(name.startswith("access-control") for name in headers)


async def test_pages_of_other_sites_may_not_post(http: Http) -> None:
    foreign = await http.post("/v1/search", {"productId": "red"}, Origin="https://elsewhere.example")
    own = await http.post("/v1/search", {"productId": "red"}, Origin="http://shop.test")
    assert (foreign.status, foreign.json()["reason"]) == (403, "CROSS_ORIGIN")
    assert own.status == 200
