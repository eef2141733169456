"""Runs a shop with the page as an operator does: shards, a server with HTTP, and the sample shop in it."""

import socket
from dataclasses import replace
from pathlib import Path

from lookalike import Client, Failed
from lookalike.cli.feed import open_feed
from lookalike.cli.rows import Entry
from lookalike_server.demo import SAMPLE
from lookalike_server.lite import LiteProcess
from tests.e2e.cluster import READY_S, Server

SHARDS = ("a", "b", "c")
TITLES = {"title_de": "Gepunktete Teekanne, violett", "title_ja": "水玉のティーポット、すみれ色"}
TITLED = "teapot-0001"


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shopfront:
    """Shards, a server and its page over one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.http_port = free_port()
        self.events = home / "events.jsonl"
        self.shards = {name: LiteProcess(name, home / name) for name in SHARDS}
        for shard in self.shards.values():
            shard.start()
        for shard in self.shards.values():
            shard.wait_ready(READY_S)
        named = ",".join(f"{name}={shard.uri}" for name, shard in self.shards.items())
        self.server = Server(home, named, bundled=True)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self, *flags: str) -> None:
        """Start the server, at the same addresses as before."""
        self.server.start(*self.flags(self.http_port), "--events", str(self.events), *flags)

    def flags(self, http_port: int) -> tuple[str, ...]:
        """Return what the demo tells its server."""
        rates = ("--rates", str(SAMPLE / "rates.json"))
        shown = ("--images", str(SAMPLE), "--samples", str(SAMPLE / "photos"), *rates)
        # Every test searches on two busy cores; none of them is about deadlines.
        return ("--http-port", str(http_port), *shown, "--log-level", "debug", "--deadline-s", "60")

    def close(self) -> None:
        """Stop everything."""
        if self.server.process is not None:
            self.server.stop()
        for shard in self.shards.values():
            shard.stop()


def stock(client: Client) -> None:
    """Import the sample, one product with titles in two more languages."""
    with open_feed(SAMPLE / "catalog.csv") as feed:
        products = [entry.product for entry in feed if isinstance(entry, Entry)]
    titled = (replace(one, attributes=TITLES) if one.product_id == TITLED else one for one in products)
    failed = [outcome for outcome in client.import_products(titled) if isinstance(outcome, Failed)]
    assert failed == []
