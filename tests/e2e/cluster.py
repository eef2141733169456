"""Runs a shop as an operator does: Milvus Lite processes and `lookalike-server serve`; and breaks it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lookalike import Client, Image, Product, RetryPolicy
from lookalike_router.slots import slot_of
from lookalike_server.lite import LiteProcess
from tests.parts.bound import bound
from tests.server.photos import jpeg, plain
from tests.server.tiny import detector_network, embedder_network, manifest_of, write_archive

# Each shard's processes, one a replica.
THREE_SHARDS = {"a": ("a",), "b": ("b",), "c": ("c",)}
LEFT_HALF = (0, 0, 16, 32, 3.0, 0)
READY_S = 60.0
STOP_S = 30.0
ONCE = RetryPolicy(attempts_max=1)


class Server:
    """One `lookalike-server serve` process, with tiny models unless the bundled ones are wanted.

    Without `shards` it takes those that the store knows; untold, the store is a file in `home`.
    """

    def __init__(self, home: Path, shards: str = "", *, store: str = "", bundled: bool = False) -> None:
        self.home = home
        self.store = store or str(home / "store.db")
        self.bundled = bundled
        self.shards = shards
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *flags: str) -> None:
        """Start the process and wait for its line; it keeps the port that it got first."""
        self._log = (self.home / "server.log").open("a")
        command = bound(self.command("--port", str(self.port), *flags))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith("ready\n"), f"{line}{self.logged()}"
        self.port = int(re.split("[:,]", line.split(" on 127.0.0.1:")[1])[0])

    def logged(self) -> str:
        """Return what it wrote to stderr so far."""
        return (self.home / "server.log").read_text()

    def command(self, *flags: str) -> list[str]:
        """Return the command line."""
        return [
            *(sys.executable, "-m", "lookalike_server", "serve", "--drain-s", "5"),
            *("--store", self.store, *(("--shards", self.shards) if self.shards else ())),
            *(() if self.bundled else self.tiny_models()),
            *flags,
        ]

    def tiny_models(self) -> tuple[str, ...]:
        """Return the flags that name the tiny models."""
        return "--detector", str(self.home / "detector.zip"), "--embedder", str(self.home / "embedder.zip")

    def kill(self) -> None:
        """End the process by SIGKILL; `stop` clears it away."""
        assert self.process is not None
        self.process.kill()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process and return its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            assert self.process.stdout is not None
            assert self._log is not None
            self.process.stdout.close()
            self._log.close()
            self.process = None
        return code


class Cluster:
    """Shards and a server over one folder."""

    def __init__(self, home: Path, layout: Mapping[str, Sequence[str]] = THREE_SHARDS) -> None:
        self.home = home
        self.shards: dict[str, LiteProcess] = {}
        """The processes by their own names, as `layout` says them."""
        self.run(*(name for names in layout.values() for name in names))
        write_models(home)
        self.server = Server(home, ",".join(f"{name}={self.uris(*names)}" for name, names in layout.items()))

    def run(self, *names: str) -> None:
        """Start processes; a new one is empty and no replica of anything yet."""
        for name in names:
            self.shards[name] = LiteProcess(name, self.home / name)
            self.shards[name].start()
        for name in names:
            self.shards[name].wait_ready(READY_S)

    def uris(self, *names: str) -> str:
        """Return where processes answer, as --shards takes the replicas of one shard."""
        return "|".join(self.shards[name].uri for name in names)

    def client(self, retry: RetryPolicy = ONCE) -> Client:
        """Return a client that, unless told, hears of every failure at once."""
        return Client(self.server.address, retry=retry)

    def kill(self, name: str) -> None:
        """End a shard by SIGKILL."""
        os.kill(self.shards[name].pid, signal.SIGKILL)
        self.shards[name].stop()

    def revive(self, name: str) -> None:
        """Start a shard that was ended."""
        self.shards[name].start()
        self.shards[name].wait_ready(READY_S)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Hold a shard by SIGSTOP."""
        os.kill(self.shards[name].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.shards[name].pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop everything."""
        if self.server.process is not None:
            self.server.stop(signal.SIGKILL)
        for shard in self.shards.values():
            shard.stop()


def write_models(home: Path) -> None:
    """Write an embedder that knows mean colours, and a detector that sees the left half of every bright photo."""
    for kind, content in (("detector", detector_network([LEFT_HALF])), ("embedder", embedder_network())):
        write_archive(home / f"{kind}.zip", content, manifest_of(content, kind))


def shade(n: int) -> tuple[int, int, int]:
    """Return a colour of its own direction for each of 0 to 255."""
    return (255, n, (n * 37) % 256)


def photo(n: int) -> bytes:
    """Return a picture of a colour."""
    return jpeg(plain(shade(n)))


def product(n: int, title: str = "") -> Product:
    """Return a product with one picture."""
    return Product(f"p{n}", title=title or f"Product {n}", category="shade", images=(Image(photo(n)),))


def owner(client: Client, product_id: str) -> str:
    """Return the shard that owns a product."""
    slot = slot_of(product_id)
    for shard in client.topology().shards:
        if any(run.first <= slot <= run.last for run in shard.slot_ranges):
            return shard.name
    raise AssertionError("every slot has an owner")


def eventually(holds: Callable[[], bool], within_s: float) -> float:
    """Ask again and again until it holds; return how long it took, or fail."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s, f"not within {within_s:g} s"
    return time.monotonic() - begun
