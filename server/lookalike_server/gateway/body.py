"""Reads what was posted into a message: JSON, or form data with a photo. Never more than allowed, never on a disk.

Knows no routes and no services.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from lookalike_server.errors import Overloaded
from lookalike_server.gateway.problem import Problem

JSON, FORM = "application/json", "multipart/form-data"
# The JSON beside a photo: a filter of the largest size is a tenth of it.
TOLD_BYTES_MAX = 256 * 2**10
# Whoever sends slower than this holds memory for nobody.
READING_S = 30.0
# Bodies that are read or worked on at once; with the largest photos as base64 they are 512 MiB.
BODIES_MAX = 32
RETRY_AFTER_S = 0.5


class Bodies:
    """Reads bodies of at most `bytes_max`, and not too many at once."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._open = 0

    @asynccontextmanager
    async def message(self, request: Request, kind: type[Message]) -> AsyncIterator[Message]:
        """Read a body into a new message of `kind`; the body counts as held until the block ends."""
        if self._open >= BODIES_MAX:
            raise Overloaded(f"{self._open} requests are being read; try again later", RETRY_AFTER_S)
        self._open += 1
        try:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            takes_photo = "image" in kind.DESCRIPTOR.fields_by_name
            if media_type == JSON:
                yield parsed(await self._read(request), kind)
            elif media_type == FORM and takes_photo:
                yield await form_message(request, await self._read(request), kind)
            else:
                accepted = f"{JSON} or {FORM}" if takes_photo else JSON
                detail = f"the content type is {media_type or 'not said'!r}; send {accepted}"
                raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_CONTENT_TYPE", detail)
        finally:
            self._open -= 1

    async def _read(self, request: Request) -> bytes:
        """Return the body; refuse one that is too large by what it says of itself, else as soon as it shows."""
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said) > self._bytes_max:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(READING_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._bytes_max:
                        raise self._too_large()
        except TimeoutError as error:
            detail = f"the body did not arrive within {READING_S:g} s; send it again"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "BODY_TOO_SLOW", detail) from error
        except ClientDisconnect as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "BODY_CUT_OFF", "the body ended early; send it again") from error
        return bytes(body)

    def _too_large(self) -> Problem:
        detail = f"the body is larger than {self._bytes_max / 2**20:.1f} MiB; send the picture smaller"
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", detail)


def parsed(text: bytes | str, kind: type[Message]) -> Message:
    """Read JSON as protobuf maps it."""
    try:
        return from_tree(json.loads(text), kind)
    except (ValueError, RecursionError) as error:
        raise not_json("is not JSON, or nests too deep") from error


def from_tree(tree: Any, kind: type[Message]) -> Message:
    """Make a message of what JSON held."""
    if not isinstance(tree, dict):
        raise not_json("is no JSON object")
    try:
        return json_format.ParseDict(tree, kind())
    # Text of half a surrogate pair is JSON, but no UTF-8; enum and number overflows come as ValueError.
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        detail = f"does not fit {kind.DESCRIPTOR.full_name}: {str(error)[:200]}"
        raise not_json(detail.encode(errors="replace").decode()) from error


def not_json(detail: str) -> Problem:
    """Refuse what cannot be read."""
    return Problem(HTTPStatus.BAD_REQUEST, "INVALID_JSON", f"what was sent {detail}", code="INVALID_ARGUMENT")


class MemoryParser(MultiPartParser):
    """Starlette's parser, which would put parts of more than a megabyte on disk; shoppers' photos stay in memory."""

    spool_max_size = sys.maxsize


async def form_message(request: Request, body: bytes, kind: type[Message]) -> Message:
    """Read form data: a file `image`, and optionally the rest of the message as JSON in the field `request`."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MemoryParser(request.headers, chunks(), max_files=1, max_fields=1, max_part_size=TOLD_BYTES_MAX)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError) as error:
        raise bad_form("cannot be read; its parts are one file `image` and a field `request`") from error
    async with closing(form):
        image, told = form.get("image"), form.get("request", "{}")
        if not isinstance(image, UploadFile) or not isinstance(told, str) or form.keys() - {"image", "request"}:
            raise bad_form("needs one file `image`, and may have one field `request`, the rest of the message as JSON")
        message: Any = parsed(told, kind)
        if message.WhichOneof("query"):
            raise bad_form(f"has a file `image` and in `request` the query {message.WhichOneof('query')}; send one")
        message.image = await image.read()
        return message  # type: ignore[no-any-return]


@asynccontextmanager
async def closing(form: FormData) -> AsyncIterator[None]:
    """Let go of a form's parts afterwards."""
    try:
        yield
    finally:
        await form.close()


def bad_form(detail: str) -> Problem:
    """Refuse form data."""
    return Problem(HTTPStatus.BAD_REQUEST, "INVALID_FORM", f"the form data {detail}", code="INVALID_ARGUMENT")
