import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.server.gateway.http import Http

PICTURE = "/v1/images/red/front%20side.jpg"


async def test_a_picture_comes_as_it_is_and_as_a_thumbnail(http: Http, images: Path) -> None:
    whole, small = await http.get(PICTURE), await http.get(f"{PICTURE}?w=160")
    assert whole.body == (images / "red" / "front side.jpg").read_bytes()
    assert (whole.headers["content-type"], small.headers["content-type"]) == ("image/jpeg", "image/webp")
    with Image.open(io.BytesIO(small.body)) as image:
        assert max(image.size) == 160
    assert "max-age" in whole.headers["cache-control"]


async def test_who_has_it_is_not_sent_it_again_until_it_changes(http: Http, images: Path) -> None:
    first = await http.get(PICTURE)
    again = await http.get(PICTURE, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    os.utime(images / "red" / "front side.jpg", ns=(1, 1))
    changed = await http.get(PICTURE, If_None_Match=first.headers["etag"])
    assert changed.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "red/../../secret.jpg",
        "%2e%2e/secret.jpg",
        "..%2fsecret.jpg",
        "%2e%2e%2fsecret.jpg",
        "red/..%5c..%5csecret.jpg",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "red//front%20side.jpg",
        "./red/front%20side.jpg",
        "way-out.jpg",
        ".hidden.jpg",
        "notes.txt",
        "red",
        "",
        "none.jpg",
        "red/front%20side.jpg%00",
        "%ff",
        "http:%2f%2fexample.org%2fa.jpg",
        "a" * 3000,
    ],
)
async def test_nothing_else_is_ever_shown(http: Http, path: str) -> None:
    answer = await http.get(f"/v1/images/{path}")
    assert (answer.status, answer.json()["reason"]) == (404, "PICTURE_NOT_FOUND")
    assert b"secret" not in answer.body
    assert b"tmp" not in answer.body


async def test_a_thumbnail_has_one_of_a_few_widths(http: Http) -> None:
    for width in ("161", "0", "-1", "x", "1e3"):
        answer = await http.get(f"{PICTURE}?w={width}")
        assert (answer.status, answer.json()["reason"]) == (400, "INVALID_FIELD")
