"""Processes die in the middle of an import: whatever was acknowledged is there afterwards."""

from collections.abc import Callable, Iterator

import pytest

from lookalike import Client, Done, LookalikeError
from tests.e2e.cluster import Cluster, eventually, photo, product

PRODUCTS = 240
KILL_AFTER = 40


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("durability"))
    try:
        running.server.start()
        yield running
    finally:
        running.close()


def acknowledged(client: Client, first: int, kill: Callable[[], None]) -> tuple[list[str], int]:
    """Import products, kill something on the way, and return those acknowledged and the number of all outcomes."""
    stored: list[str] = []
    outcomes = 0
    try:
        for outcome in client.import_products(product(n) for n in range(first, first + PRODUCTS)):
            outcomes += 1
            if isinstance(outcome, Done):
                stored.append(outcome.item.product_id)
                if len(stored) == KILL_AFTER:
                    kill()
    except LookalikeError:
        pass  # the server is lost for good: what it said before counts
    return stored, outcomes


def missing(client: Client, product_ids: list[str]) -> set[str]:
    return set(product_ids) - {one.product_id for one in client.list()}


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(cluster: Cluster) -> None:
    with cluster.client() as client:
        stored, _ = acknowledged(client, 1000, cluster.server.kill)
    cluster.server.stop()
    cluster.server.start()
    with cluster.client() as client:
        assert KILL_AFTER <= len(stored) < PRODUCTS
        assert missing(client, stored) == set()


def test_nothing_acknowledged_is_lost_when_a_shard_is_killed_and_the_others_go_on(cluster: Cluster) -> None:
    with cluster.client() as client:
        try:
            stored, outcomes = acknowledged(client, 2000, lambda: cluster.kill("b"))
        finally:
            cluster.revive("b")
        assert outcomes == PRODUCTS
        assert KILL_AFTER < len(stored) < PRODUCTS
        eventually(lambda: client.search(photo(0)).coverage.complete, 30.0)
        assert missing(client, stored) == set()


def test_the_same_import_again_completes_what_was_cut_short(cluster: Cluster) -> None:
    with cluster.client() as client:
        again = list(client.import_products(product(n) for n in range(2000, 2000 + PRODUCTS)))
        assert all(isinstance(one, Done) for one in again)
        assert missing(client, [f"p{n}" for n in range(2000, 2000 + PRODUCTS)]) == set()
