"""A gateway over a small shop in the test's own loop, and a client that can be as rude as it likes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike_server.gateway.app import GatewaySettings, gateway
from lookalike_server.gateway.listening import Listening
from lookalike_server.gateway.page import PageSettings
from lookalike_server.image import Limits
from tests.parts.service import Shop, open_shop

BOUNDARY = "----lookalike"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Http:
    """A gateway, the shop behind it, and a client."""

    shop: Shop
    port: int

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, b"", headers)

    async def post(self, path: str, value: Any, **headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.ask("POST", path, body, {"Content-Type": "application/json", **headers})

    async def form(self, path: str, **parts: bytes | str) -> Answer:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return await self.ask("POST", path, form_body(**parts), headers)

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request, the path as it is, and read the answer."""
        told = {"Host": "shop.test", "Connection": "close", **headers}
        if body:
            told.setdefault("Content-Length", str(len(body)))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {text}" for name, text in told.items())]
        return await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def raw(self, sent: bytes) -> Answer:
        """Send bytes and read until the gateway hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            received = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in rest)}
        return Answer(int(first.split()[1]), headers, body)


def form_body(**parts: bytes | str) -> bytes:
    """Write form data; bytes are files."""
    body = b""
    for name, value in parts.items():
        file = '; filename="photo.jpg"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content
        body += b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


@asynccontextmanager
async def open_http(
    folder: Path, *, images: Path | None = None, photo: Limits | None = None, page: PageSettings | None = None
) -> AsyncIterator[Http]:
    """Run a shop and its gateway."""
    async with open_shop(folder) as shop:
        settings = GatewaySettings(page or PageSettings(), images, photo or Limits())
        listening = Listening(gateway(shop.serving.services, settings), drain_s=1)
        await listening.start("127.0.0.1", 0)
        try:
            yield Http(shop, listening.port)
        finally:
            await listening.stop()
