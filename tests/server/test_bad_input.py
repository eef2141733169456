"""Bad input over real gRPC: each with its code, its reason and its field, and the service unharmed afterwards."""

import io
import math
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from lookalike.v1 import catalog_pb2, search_pb2
from lookalike_server.service import SERVICES
from tests.parts.service import BLUE, CALL_S, RED, Shop, Told, open_shop, product, told_by
from tests.server.photos import encoded, jpeg, plain

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
UNIT = [1.0] + [0.0] * 255
GOOD = jpeg(plain(RED))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Run a shop with one product, and see that it still answers after the test."""
    async with open_shop(tmp_path) as running:
        await running.put(product("red", RED))
        yield running
        found = await running.search.Search(search_pb2.SearchRequest(image=GOOD), timeout=CALL_S)
        assert [hit.product.product_id for hit in found.hits] == ["red"]


async def refused(shop: Shop, request: search_pb2.SearchRequest) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.search.Search(request, timeout=CALL_S)
    return told_by(error.value)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IEND\xaeB\x60\x82"


def animated_gif() -> bytes:
    file = io.BytesIO()
    frames = [plain(RED), plain(BLUE)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


def deep_png() -> bytes:
    """Return a red 16-bit PNG with alpha, which Pillow reads but does not write."""
    row = b"\x00" + struct.pack(">HHHH", 0xFFFF, 0, 0, 0xFFFF) * 64
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 64)),
        (b"IEND", b""),
    ]
    written = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), np.uint8))


BAD_PHOTOS = {
    "empty": (b"", "UNSUPPORTED_FORMAT"),
    "text": (b"this is not a picture, it is a sentence", "UNSUPPORTED_FORMAT"),
    "a truncated JPEG": (jpeg(noise(128))[:9000], "CORRUPT_IMAGE"),
    "a JPEG of its first bytes": (GOOD[:8], "CORRUPT_IMAGE"),
    "a PNG of 50,000 x 50,000": (png_header(50_000, 50_000), "IMAGE_TOO_LARGE"),
    "a PNG without pixels": (png_header(64, 64), "CORRUPT_IMAGE"),
    "a file of 13 MB": (GOOD + bytes(13_000_000), "IMAGE_TOO_LARGE"),
    "one pixel": (encoded(plain(RED, 1, 1), "PNG"), "IMAGE_TOO_SMALL"),
    "a BMP": (encoded(plain(RED), "BMP"), "UNSUPPORTED_FORMAT"),
}
GOOD_PHOTOS = {
    "an animated GIF, its first frame": animated_gif(),
    "a CMYK JPEG": encoded(plain(RED).convert("CMYK"), "JPEG", quality=95),
    "a 16-bit PNG with alpha": deep_png(),
    "a WebP": encoded(plain(RED), "WEBP", lossless=True),
    "an AVIF": encoded(plain(RED), "AVIF"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
async def test_a_bad_photo_is_refused_with_its_reason(shop: Shop, name: str) -> None:
    photo, reason = BAD_PHOTOS[name]
    told = await refused(shop, search_pb2.SearchRequest(image=photo))
    assert (told.code, told.reason) == (INVALID, reason)
    assert told.message


@pytest.mark.parametrize("name", GOOD_PHOTOS)
async def test_an_odd_photo_is_accepted(shop: Shop, name: str) -> None:
    found = await shop.search.Search(search_pb2.SearchRequest(image=GOOD_PHOTOS[name]), timeout=CALL_S)
    assert found.hits[0].score > 0.95


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (search_pb2.SearchRequest(), "query"),
        (search_pb2.SearchRequest(image=GOOD, limit=0), "limit"),
        (search_pb2.SearchRequest(image=GOOD, limit=1_000_000), "limit"),
        (search_pb2.SearchRequest(image=GOOD, box=catalog_pb2.Box(left=0.5, right=1.5, bottom=1)), "box.right"),
        (
            search_pb2.SearchRequest(
                image=GOOD,
                filter=catalog_pb2.Filter(range=catalog_pb2.Filter.Range(field="colour", at_least=1)),
            ),
            "filter.range.field",
        ),
        (search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=[math.nan, *UNIT[1:]])), "vector.values"),
    ],
    ids=["no query", "limit 0", "limit 1e6", "box outside", "unknown field", "NaN vector"],
)
async def test_a_wrong_field_is_named_over_the_wire(shop: Shop, request_: search_pb2.SearchRequest, field: str) -> None:
    told = await refused(shop, request_)
    assert (told.code, told.reason, list(told.fields)) == (INVALID, "INVALID_FIELD", [field])


async def test_an_unknown_product_and_an_unknown_token_are_not_found(shop: Shop) -> None:
    assert (await refused(shop, search_pb2.SearchRequest(product_id="nobody"))).reason == "PRODUCT_NOT_FOUND"
    told = await refused(shop, search_pb2.SearchRequest(image_token="of another server"))
    assert (told.code, told.reason) == (NOT_FOUND, "IMAGE_TOKEN_EXPIRED")
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="nobody"), timeout=CALL_S)
    assert (missing.value.code(), told_by(missing.value).reason) == (NOT_FOUND, "PRODUCT_NOT_FOUND")
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await shop.catalog.DeleteProduct(catalog_pb2.DeleteProductRequest(product_id="nobody"), timeout=CALL_S)
    assert (missing.value.code(), told_by(missing.value).reason) == (NOT_FOUND, "PRODUCT_NOT_FOUND")


async def test_a_vector_of_another_model_is_refused(shop: Shop) -> None:
    told = await refused(shop, search_pb2.SearchRequest(vector=catalog_pb2.Vector(values=UNIT, model="other@1")))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
    assert "tiny-embedder@1" in told.message


@pytest.mark.parametrize(
    ("images", "field", "reason"),
    [
        ([catalog_pb2.ProductImage(content=GOOD, content_sha256="0" * 64)], "product.images[0].content_sha256", None),
        ([catalog_pb2.ProductImage(content=GOOD), catalog_pb2.ProductImage(content_sha256="0" * 64)],
         "product.images[1].content", None),
        ([catalog_pb2.ProductImage(content=GOOD), catalog_pb2.ProductImage(content=b"text")], None,
         "UNSUPPORTED_FORMAT"),
    ],
)  # fmt: skip
async def test_a_product_with_a_bad_picture_is_not_stored(
    shop: Shop, images: list[catalog_pb2.ProductImage], field: str | None, reason: str | None
) -> None:
    request = catalog_pb2.UpsertProductRequest(product=catalog_pb2.Product(product_id="new", images=images))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.catalog.UpsertProduct(request, timeout=CALL_S)
    told = told_by(error.value)
    assert told.code is INVALID
    assert list(told.fields) == ([field] if field else [])
    assert told.reason == (reason or "INVALID_FIELD")
    assert "product.images[" in told.message
    with pytest.raises(grpc.aio.AioRpcError):
        await shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="new"), timeout=CALL_S)


async def test_bytes_that_are_no_message_are_refused(shop: Shop) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = shop.channel.unary_unary(f"/{SERVICES[0]}/Search")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(b"\xff\xff\xff\xff", timeout=CALL_S)
    # gRPC answers this one itself, before any of our code: by INTERNAL or UNKNOWN, as its version has it.
    assert error.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


async def test_a_filter_deeper_than_any_parser_goes_is_refused(shop: Shop) -> None:
    deep = catalog_pb2.Filter(
        compare=catalog_pb2.Filter.Compare(field="category", value=catalog_pb2.Filter.Value(text="x"))
    )
    for _ in range(40):
        deep = catalog_pb2.Filter(negate=catalog_pb2.Filter.Negate(filter=deep))
    told = await refused(shop, search_pb2.SearchRequest(image=GOOD, filter=deep))
    assert (told.code, told.reason) == (INVALID, "INVALID_FIELD")


async def test_a_message_over_the_limit_is_refused_and_the_connection_lives(shop: Shop) -> None:
    told = await refused(shop, search_pb2.SearchRequest(image=bytes(33 * 2**20)))
    assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
