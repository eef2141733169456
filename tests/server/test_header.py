import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_server import header
from lookalike_server.errors import BadImage, ImageTrouble
from tests.server.photos import corners, encoded

KINDS = ["JPEG", "PNG", "WEBP", "AVIF", "GIF"]
SAMPLES = {kind: encoded(corners(97, 65), kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_format_and_size_are_read_from_the_bytes(kind: str) -> None:
    assert header.read(SAMPLES[kind]) == header.Header(kind, 97, 65)


@pytest.mark.parametrize(
    "settings",
    [
        {"lossless": True},
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
        {"save_all": True, "append_images": [corners(97, 65).rotate(180)]},
    ],
)
def test_every_kind_of_webp_says_its_size(settings: dict[str, object]) -> None:
    assert header.read(encoded(corners(97, 65), "WEBP", **settings)) == header.Header("WEBP", 97, 65)


def test_a_progressive_jpeg_with_a_thumbnail_says_its_own_size() -> None:
    thumbnail = SAMPLES["JPEG"]
    exif = b"Exif\0\0" + thumbnail
    content = encoded(corners(200, 100), "JPEG", progressive=True, exif=exif)
    assert header.read(content) == header.Header("JPEG", 200, 100)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"BM" + bytes(60), "BMP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not a picture"),
    ],
)
def test_other_files_are_named_and_refused(content: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=says) as caught:
        header.read(content)
    assert caught.value.trouble is ImageTrouble.UNSUPPORTED_FORMAT
    assert "send JPEG, PNG, WebP, AVIF or GIF" in str(caught.value)


def test_a_claimed_size_is_read_and_nothing_decoded() -> None:
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 50_000, 50_000) + b"\x08\x02\0\0\0"
    assert header.read(content) == header.Header("PNG", 50_000, 50_000)


@given(st.sampled_from(KINDS), st.integers(0, 400), st.integers(0, 255))
def test_broken_headers_are_bad_images_and_nothing_else(kind: str, at: int, value: int) -> None:
    content = bytearray(SAMPLES[kind])
    content[min(at, len(content) - 1)] = value
    for broken in (bytes(content), bytes(content[:at])):
        with contextlib.suppress(BadImage):
            header.read(broken)


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", b"RIFF\0\0\0\0WEBPVP8X", b"GIF89a"]),
    st.binary(max_size=200),
)
def test_any_bytes_after_a_known_beginning_are_read_or_refused(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(BadImage):
        header.read(start + rest)
