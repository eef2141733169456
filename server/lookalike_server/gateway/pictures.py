"""Shows the catalogue's pictures out of one folder, whole or as thumbnails. Knows no products.

A picture's place is its `uri` in the catalogue, below the folder that the operator names. Nothing outside that folder
and nothing that is no picture is ever read out; pictures at other servers are not fetched.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lookalike_server import image
from lookalike_server.errors import BadImage
from lookalike_server.gateway.problem import Problem
from lookalike_server.header import sniff
from lookalike_server.image import Limits

# On a card, and on the same card of a sharper screen; the smallest is for lists.
WIDTHS = (160, 320, 640)
# A shop's first pages of results stay in memory: about 3,000 thumbnails.
THUMBNAILS_BYTES_MAX = 48 * 2**20
# Searches share the cores with what makes thumbnails.
THREADS_MAX = 2
# A day; afterwards the ETag says whether it has changed.
CACHE_CONTROL = "public, max-age=86400"
PATH_CHARS_MAX = 1024
# Enough for any format to be recognised.
HEAD_BYTES = 512


@dataclass(frozen=True)
class Shown:
    """One picture ready to be sent."""

    content: bytes
    media_type: str
    etag: str


class Pictures:
    """The pictures of one folder."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self._root = folder.resolve() if folder else None
        self._limits = limits
        self._thumbnails: OrderedDict[str, Shown] = OrderedDict()
        self._bytes = 0
        self._threads = asyncio.Semaphore(THREADS_MAX)

    async def get(self, request: Request) -> Response:
        """Answer with a picture, or with 304 where the caller has it."""
        width = asked_width(request.query_params.get("w"))
        async with self._threads:
            path, etag = await asyncio.to_thread(self._found, request.path_params["path"], width)
            if etag in request.headers.get("if-none-match", ""):
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=told(etag))
            shown = self._thumbnails.get(etag)
            if shown is None:
                shown = await asyncio.to_thread(self._read, path, width, etag)
        if width is not None:
            self._keep(shown)
        return Response(shown.content, headers=told(etag), media_type=shown.media_type)

    def _found(self, asked: str, width: int | None) -> tuple[Path, str]:
        """Return where a picture is and what names its present state."""
        path = self._inside(asked)
        try:
            stat = path.stat()
        except (OSError, ValueError) as error:
            raise no_picture() from error
        state = f"{path}|{stat.st_mtime_ns}|{stat.st_size}|{width}"
        return path, f'"{hashlib.blake2b(os.fsencode(state), digest_size=12).hexdigest()}"'

    def _inside(self, asked: str) -> Path:
        """Return the place of `asked` below the folder; refuse whatever could lead out of it."""
        parts = asked.split("/")
        # A leading dot covers "." and ".." and hidden files; links that lead out are found by resolve().
        if len(asked) > PATH_CHARS_MAX or any(not part or part[0] == "." or "\\" in part for part in parts):
            raise no_picture()
        if self._root is None or not asked.isprintable():
            raise no_picture()
        try:
            path = self._root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise no_picture() from error
        if not path.is_relative_to(self._root) or not path.is_file():
            raise no_picture()
        return path

    def _read(self, path: Path, width: int | None, etag: str) -> Shown:
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                kind = sniff(head)
                if kind is None or os.fstat(file.fileno()).st_size > self._limits.content_bytes:
                    raise no_picture()
                content = head + file.read()
            if width is None:
                return Shown(content, f"image/{kind.lower()}", etag)
            return Shown(image.thumbnail(content, width, self._limits), "image/webp", etag)
        except (OSError, BadImage) as error:
            raise no_picture() from error

    def _keep(self, shown: Shown) -> None:
        if shown.etag not in self._thumbnails:
            self._thumbnails[shown.etag] = shown
            self._bytes += len(shown.content)
        self._thumbnails.move_to_end(shown.etag)
        while self._bytes > THUMBNAILS_BYTES_MAX:
            _, old = self._thumbnails.popitem(last=False)
            self._bytes -= len(old.content)


def asked_width(said: str | None) -> int | None:
    """Read the width of a thumbnail; None: the picture as it is."""
    if said is None:
        return None
    if said not in map(str, WIDTHS):
        detail = f"w is none of {', '.join(map(str, WIDTHS))}"
        raise Problem(HTTPStatus.BAD_REQUEST, "INVALID_FIELD", detail, "INVALID_ARGUMENT", (("w", detail),))
    return int(said)


def told(etag: str) -> dict[str, str]:
    """Return the headers of a picture."""
    return {"ETag": etag, "Cache-Control": CACHE_CONTROL}


def no_picture() -> Problem:
    """Refuse without a word on what is there instead."""
    return Problem(HTTPStatus.NOT_FOUND, "PICTURE_NOT_FOUND", "the catalogue has no such picture")
