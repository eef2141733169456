"""Shoppers and feeds that go on whatever an operator does, and a model of what was acknowledged."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike import Client, NotFound
from tests.e2e.cluster import Cluster, photo, product

SEARCH_S = 10.0


class Traffic:
    """Searches, upserts and deletes, one after the other; whatever is not as acknowledged is a complaint."""

    def __init__(self, products: int) -> None:
        self.titles: dict[int, str] = {n: f"Product {n}" for n in range(products)}
        """What was acknowledged, by product."""
        self.complaints: list[str] = []
        self.searches = 0
        self.writes = 0
        self._products = products
        self._stop = threading.Event()

    @contextmanager
    def beside(self, cluster: Cluster) -> Iterator[None]:
        """Go on until the block ends."""
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=(cluster,))
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def check(self, client: Client) -> None:
        """Look for every product, and for those that are gone."""
        for n in range(self._products):
            self._search(client, n)
            try:
                title: str | None = client.get(f"p{n}").title
            except NotFound:
                title = None
            if title != self.titles.get(n):
                self.complaints.append(f"p{n} has the title {title}, not {self.titles.get(n)}")
        listed = [one.product_id for one in client.list()]
        if sorted(listed) != sorted(f"p{n}" for n in self.titles):
            self.complaints.append(f"{len(listed)} products are listed, not {len(self.titles)}")

    def _run(self, cluster: Cluster) -> None:
        with cluster.client() as client:
            turn = 0
            while not self._stop.is_set():
                try:
                    self._turn(client, turn)
                except Exception as error:
                    self.complaints.append(f"turn {turn}: {error!r}")
                turn += 1

    def _turn(self, client: Client, turn: int) -> None:
        n = turn * 7 % self._products
        self._search(client, n)
        if turn % 10 == 9 and n in self.titles:
            client.delete(f"p{n}")
            del self.titles[n]
        else:
            title = f"Product {n}, turn {turn}"
            client.upsert(product(n, title))
            self.titles[n] = title
        self.writes += 1
        self._search(client, n)

    def _search(self, client: Client, n: int) -> None:
        """Complain unless a product's own picture finds it first, as it is, and all of the shop answered."""
        found = client.search(photo(n), limit=3, timeout_s=SEARCH_S)
        self.searches += 1
        if not found.coverage.complete or found.coverage.map_may_be_stale:
            self.complaints.append(f"a search for p{n} covered {found.coverage}")
        first = {hit.product.product_id: hit.product.title for hit in found.hits[:1]}
        ids = [hit.product.product_id for hit in found.hits]
        if len(ids) != len(set(ids)):
            self.complaints.append(f"a search for p{n} found {ids}")
        if n in self.titles and first != {f"p{n}": self.titles[n]}:
            self.complaints.append(f"a search for p{n} found {first} first, not {self.titles[n]}")
        if n not in self.titles and f"p{n}" in ids:
            self.complaints.append(f"a search found p{n}, which is deleted")
