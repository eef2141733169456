import gzip
import json
from pathlib import Path

import pytest

from lookalike_server.demo import SAMPLE
from lookalike_server.gateway.page import BadRates, PageSettings, read_rates
from tests.server.gateway.http import Http, open_http


async def test_the_page_and_its_files_are_there(http: Http) -> None:
    page, ops, script = await http.get("/"), await http.get("/ops"), await http.get("/js/main.js")
    assert page.headers["content-type"].startswith("text/html")
    assert b"Operations" in ops.body
    assert script.headers["content-type"].startswith("text/javascript")
    packed = await http.get("/app.css", Accept_Encoding="gzip")
    assert b"--accent" in gzip.decompress(packed.body)
    again = await http.get("/", If_None_Match=page.headers["etag"])
    assert again.status == 304


@pytest.mark.parametrize(
    "path", ["/../page.py", "/..%2fpage.py", "/gateway/page.py", "/messages/xx.json", "/samples/a.jpg"]
)
async def test_nothing_else_is(http: Http, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status, answer.json()["reason"]) == (404, "NO_SUCH_PLACE")


async def test_the_page_is_told_of_the_shop(tmp_path: Path) -> None:
    settings = PageSettings(SAMPLE / "photos", SAMPLE / "rates.json", events=True)
    async with open_http(tmp_path, page=settings) as http:
        told = (await http.get("/settings.json")).json()
        assert (await http.get(told["samples"][0])).headers["content-type"] == "image/jpeg"
    assert len(told["samples"]) == 12
    assert len(told["rates"]["rates"]) >= 35
    assert told["events"] is True


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "{}",
        '{"base": "EUR", "rates": {}}',
        '{"base": "EUR", "rates": {"USD": 0}}',
        '{"base": "E", "rates": {"USD": 1}}',
    ],
)
def test_rates_that_make_no_sense_are_refused(tmp_path: Path, told: str) -> None:
    (tmp_path / "rates.json").write_text(told)
    with pytest.raises(BadRates, match="cannot be used"):
        read_rates(tmp_path / "rates.json")


def test_the_base_has_a_rate_too(tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text(json.dumps({"base": "EUR", "rates": {"USD": 1.1}}))
    assert read_rates(tmp_path / "rates.json")["rates"] == {"USD": 1.1, "EUR": 1}
