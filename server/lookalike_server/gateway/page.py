"""Serves the page: its files out of memory, and what it must know of this shop. Knows no services."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lookalike_server.errors import ServerError
from lookalike_server.gateway.reply import json_reply, takes_gzip

WEB = Path(__file__).parent.parent / "web"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
INDEXES = {"/": "index.html", "/ops": "ops.html"}
# Photos to try that the page offers; more would be a gallery.
SAMPLES_MAX = 12
# A phone at a shop's shelf asks again by ETag; a new version of the server is then seen at once.
CACHE_CONTROL = "no-cache"
RATES_MAX = 500


class BadRates(ServerError):
    """The file of exchange rates cannot be used; the message says why."""


@dataclass(frozen=True)
class PageSettings:
    """What an operator says of the page."""

    samples: Path | None = None
    """A folder of photos to try."""
    rates: Path | None = None
    """A JSON file: {"base": "EUR", "as_of": "2026-01-31", "rates": {"USD": 1.1}}."""
    events: bool = False


@dataclass(frozen=True)
class Asset:
    """One file of the page, as it is and packed."""

    content: bytes
    packed: bytes
    media_type: str
    etag: str


class Page:
    """The files of the page and its settings, read once."""

    def __init__(self, settings: PageSettings) -> None:
        self._assets = {
            f"/{path.relative_to(WEB).as_posix()}": asset(path) for path in WEB.rglob("*") if path.is_file()
        }
        samples = sample_photos(settings.samples)
        self._assets.update({f"/samples/{path.name}": asset(path) for path in samples})
        self._settings = {
            "rates": read_rates(settings.rates) if settings.rates else None,
            "samples": [f"/samples/{path.name}" for path in samples],
            "events": settings.events,
        }

    @property
    def paths(self) -> list[str]:
        """Where its files are."""
        return [*INDEXES, *self._assets]

    async def settings(self, request: Request) -> Response:
        """Say what the page must know."""
        return json_reply(request, self._settings)

    async def get(self, request: Request) -> Response:
        """Answer with a file."""
        path = request.url.path
        found = self._assets[f"/{INDEXES[path]}" if path in INDEXES else path]
        headers = {"ETag": found.etag, "Cache-Control": CACHE_CONTROL, "Vary": "Accept-Encoding"}
        if found.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if len(found.packed) < len(found.content) and takes_gzip(request):
            headers["Content-Encoding"] = "gzip"
            return Response(found.packed, headers=headers, media_type=found.media_type)
        return Response(found.content, headers=headers, media_type=found.media_type)


def asset(path: Path) -> Asset:
    """Read one file."""
    content = path.read_bytes()
    etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return Asset(content, gzip.compress(content, mtime=0), MEDIA_TYPES[path.suffix.lower()], etag)


def sample_photos(folder: Path | None) -> list[Path]:
    """Choose photos to try from all over a folder; the first half of them, which a phone shows, too."""
    if folder is None:
        return []
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".webp", ".png"))
    step = max(1, len(photos) // SAMPLES_MAX)
    chosen = photos[::step][:SAMPLES_MAX]
    return chosen[::2] + chosen[1::2]


def read_rates(path: Path) -> Mapping[str, object]:
    """Read exchange rates, or raise BadRates."""
    try:
        told = json.loads(path.read_text())
        base, rates = told["base"], told["rates"]
        good = isinstance(base, str) and isinstance(rates, dict) and 0 < len(rates) <= RATES_MAX
        if not good or not all(is_code(code) and is_rate(rate) for code, rate in {base: 1, **rates}.items()):
            raise ValueError("it needs a base, and for each ISO 4217 code a rate greater than 0")
        return {"base": base, "as_of": str(told.get("as_of", "")), "rates": {**rates, base: 1}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRates(f"the exchange rates in {path} cannot be used: {error}") from error


def is_code(value: object) -> bool:
    """Say whether a value looks like an ISO 4217 code."""
    return isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha() and value.isupper()


def is_rate(value: object) -> bool:
    """Say whether a value may be an exchange rate."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
