import socket
from pathlib import Path

import pytest

from lookalike_server.gateway.listening import HttpPortTaken, Listening
from tests.server.gateway.http import open_http


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    async with open_http(tmp_path) as http:
        with pytest.raises(HttpPortTaken, match="--http-port"):
            await Listening(None, drain_s=1).start("127.0.0.1", http.port)  # type: ignore[arg-type]


async def test_after_a_stop_nobody_listens(tmp_path: Path) -> None:
    async with open_http(tmp_path) as http:
        pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", http.port)) != 0


async def test_a_listener_that_never_started_stops() -> None:
    await Listening(None, drain_s=1).stop()  # type: ignore[arg-type]
