"""Searches at a steady rate, whatever the answers take, and notes how each one went. Knows no faults."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from lookalike import Client, Failed, Image, LookalikeError, Product, Vector
from tests.chaos.workload import DIM, picture, universe

# Calls under way at the same time: 20 a second, each late by a second, and some more.
THREADS = 48
SEARCH_S = 5.0
LIMIT = 10


@dataclass(frozen=True)
class Search:
    """How one search went."""

    at_s: float
    ms: float
    """From the moment at which it was due, so that a shop that stalls is not asked less and measured better."""
    error: str
    """Empty: it was answered."""
    whole: bool
    """Whether the answer says that it covers everything."""
    hedged: bool
    """Whether a second replica of a shard was asked because the first was slow."""


class Shopper:
    """Searches by vectors from `start` to `stop`."""

    def __init__(self, client: Client, per_s: float, seed: int) -> None:
        self.searches: list[Search] = []
        self._client = client
        self._pause_s = 1 / per_s
        self._dice = random.Random(f"{seed} shopper")
        self._pool = ThreadPoolExecutor(THREADS, "shopper")
        self._asked: list[tuple[float, Future[None]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shopper")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for every answer; a search that nobody had time for counts as failed."""
        self._stop.set()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        late_s = time.monotonic()
        for due_s, search in self._asked:
            if search.cancelled():
                self.searches.append(Search(due_s, 1000 * (late_s - due_s), "there was no time for it", False, False))

    def between(self, begin_s: float, end_s: float) -> list[Search]:
        """Return the searches that were due in a span of time.monotonic."""
        return [search for search in self.searches if begin_s <= search.at_s < end_s]

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            vector = Vector((*(self._dice.uniform(0, 1) for _ in range(3)), *[0.0] * (DIM - 3)))
            self._asked.append((due_s, self._pool.submit(self._search, due_s, vector)))
            due_s += self._pause_s

    def _search(self, due_s: float, vector: Vector) -> None:
        error, whole, hedged = "", False, False
        try:
            found = self._client.search(vector=vector, limit=LIMIT, explain=True, timeout_s=SEARCH_S)
            assert found.explanation is not None
            whole, hedged = found.coverage.complete, any(shard.hedge for shard in found.explanation.shards)
        except LookalikeError as failed:
            error = str(failed)
        self.searches.append(Search(due_s, 1000 * (time.monotonic() - due_s), error, whole, hedged))


def stock(client: Client, count: int) -> None:
    """Put products into an empty shop; the client calls its router directly, as the proxy carries no streams."""
    products = [
        Product(product, title=product, images=(Image(picture(number)),))
        for number, product in enumerate(universe(count))
    ]
    for outcome in client.import_products(products):
        if isinstance(outcome, Failed):
            raise outcome.error


def wait(until_s: float, each_s: float, do: Callable[[], None] = lambda: None) -> None:
    """Do something again and again until a moment of time.monotonic."""
    while (left_s := until_s - time.monotonic()) > 0:
        do()
        time.sleep(min(each_s, left_s))
