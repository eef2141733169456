import asyncio
import tempfile
from pathlib import Path

import pytest

from lookalike_server.image import Limits
from tests.parts.service import RED
from tests.server.gateway.http import BOUNDARY, Http, form_body, open_http
from tests.server.photos import jpeg, plain

PHOTO = jpeg(plain(RED))
HEAD = "POST /v1/search HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "INVALID_JSON"),
        (b"[]", "INVALID_JSON"),
        (b"\xff\xfe", "INVALID_JSON"),
        (b"[" * 100_000, "INVALID_JSON"),
        (b'{"imageToken": "\\ud800"}', "INVALID_JSON"),
        (b'{"nonsense": 1}', "INVALID_JSON"),
        (b'{"limit": 1e99, "productId": "red"}', "INVALID_JSON"),
        (b'{"limit": "many", "productId": "red"}', "INVALID_JSON"),
        (b'{"image": "no base64!"}', "UNSUPPORTED_FORMAT"),
        (b"{}", "INVALID_FIELD"),
    ],
)
async def test_broken_json_is_refused(http: Http, body: bytes, reason: str) -> None:
    answer = await http.post("/v1/search", body)
    assert (answer.status, answer.json()["reason"]) == (400, reason)
    assert "Traceback" not in answer.body.decode()


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_refused(http: Http, media_type: str) -> None:
    answer = await http.post("/v1/search", b"{}", **{"Content-Type": media_type})
    assert (answer.status, answer.json()["reason"]) == (415, "UNSUPPORTED_CONTENT_TYPE")


async def test_events_take_no_form(http: Http) -> None:
    assert (await http.form("/v1/events", image=PHOTO)).status == 415


@pytest.mark.parametrize(
    "parts",
    [
        {"request": "{}"},
        {"image": PHOTO, "more": "x"},
        {"image": "text, no file"},
        {"image": PHOTO, "request": '{"productId": "red"}'},
        {"image": PHOTO, "request": b"{}"},
    ],
    ids=["no photo", "another part", "no file", "two queries", "two files"],
)
async def test_a_form_that_is_none_of_ours_is_refused(http: Http, parts: dict[str, bytes | str]) -> None:
    answer = await http.form("/v1/search", **parts)
    assert (answer.status, answer.json()["reason"]) == (400, "INVALID_FORM")


async def test_a_form_that_ends_early_is_refused(http: Http) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for body in (b"nonsense", form_body(image=PHOTO)[:60], b"--\r\n"):
        answer = await http.ask("POST", "/v1/search", body, headers)
        assert (answer.status, answer.json()["reason"]) == (400, "INVALID_FORM")
    without = await http.ask("POST", "/v1/search", b"x", {"Content-Type": "multipart/form-data"})
    assert (without.status, without.json()["reason"]) == (400, "INVALID_FORM")


async def test_twenty_megabytes_are_refused_before_they_are_sent(http: Http) -> None:
    answer = await http.raw(f"{HEAD}Content-Length: 20000000\r\n\r\n".encode())
    assert (answer.status, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")


async def test_a_body_that_hides_its_size_is_refused_when_it_shows(tmp_path: Path) -> None:
    async with open_http(tmp_path, photo=Limits(content_bytes=1000)) as http:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 10)  # and no end
        answer = await reader.readuntil(b"}")
        writer.close()
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"BODY_TOO_LARGE" in answer


async def test_a_photo_of_megabytes_touches_no_disk(
    http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Where a spooled file would be made, none can be.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    answer = await http.form("/v1/search", image=PHOTO + bytes(3 * 2**20), request="{}")
    assert answer.status == 200
