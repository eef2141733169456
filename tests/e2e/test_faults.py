"""One of three shards goes away while shoppers search: answers keep coming, say what they lack, and are whole again."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike import Client, Done, NotFound, SearchResult, Unavailable
from tests.e2e.cluster import Cluster, eventually, owner, photo, product

PRODUCTS = 60
# A shopper's patience; the machine may be busy with much else.
SEARCH_S = 4.0
# "Whole again within 5 s of its return."
WHOLE_AGAIN_S = 5.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("faults"))
    try:
        running.server.start("--shard-deadline-s", "1")
        with running.client() as client:
            assert all(isinstance(one, Done) for one in client.import_products(product(n) for n in range(PRODUCTS)))
        yield running
    finally:
        running.close()


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        yield client


def search(client: Client, n: int) -> SearchResult:
    """Search within the shopper's patience, or fail."""
    return client.search(photo(n), timeout_s=SEARCH_S)


def whole(client: Client) -> bool:
    return search(client, 0).coverage.complete


def lost(client: Client, name: str) -> list[int]:
    """Return the products that a shard owns."""
    return [n for n in range(PRODUCTS) if owner(client, f"p{n}") == name]


def assert_partial(found: SearchResult, name: str, n: int, gone: list[int]) -> None:
    """Check that an answer lacks one shard, says so, and has everything else."""
    coverage = found.coverage
    assert (coverage.shards_asked, coverage.shards_answered) == (3, 2)
    assert coverage.slots_fraction == pytest.approx(2 / 3, abs=0.001)
    assert [missing.shard for missing in coverage.missing] == [name]
    assert (found.hits[0].product.product_id == f"p{n}") == (n not in gone)


def test_answers_keep_coming_when_a_shard_is_killed(cluster: Cluster, client: Client) -> None:
    gone = lost(client, "b")
    assert whole(client)
    cluster.kill("b")
    try:
        eventually(lambda: not whole(client), SEARCH_S)
        for n in range(12):
            assert_partial(search(client, n), "b", n, gone)
    finally:
        cluster.revive("b")
    eventually(lambda: whole(client), WHOLE_AGAIN_S)
    assert all(search(client, n).hits[0].product.product_id == f"p{n}" for n in gone)


def test_answers_keep_coming_when_a_shard_is_stopped(cluster: Cluster, client: Client) -> None:
    gone = lost(client, "c")
    assert whole(client)
    with cluster.stopped("c"):
        for n in range(12):
            assert_partial(search(client, n), "c", n, gone)
    eventually(lambda: whole(client), WHOLE_AGAIN_S)


def test_a_search_that_began_before_the_shard_stopped_still_answers(cluster: Cluster, client: Client) -> None:
    outcomes = client.search_many(photo(n) for n in range(40))
    first = next(outcomes)
    with cluster.stopped("a"):
        begun = time.monotonic()
        rest = list(outcomes)
        took_s = time.monotonic() - begun
    assert all(isinstance(one, Done) for one in [first, *rest])
    assert any(isinstance(one, Done) and not one.result.coverage.complete for one in rest)
    assert took_s < 40 * SEARCH_S
    eventually(lambda: whole(client), WHOLE_AGAIN_S)


def test_writes_and_reads_of_a_lost_shards_products_are_unavailable_and_the_others_go_on(
    cluster: Cluster, client: Client
) -> None:
    here, there = lost(client, "a")[0], lost(client, "b")[0]
    cluster.kill("a")
    try:
        eventually(lambda: not whole(client), SEARCH_S)
        for call in (
            lambda: client.upsert(product(here)),
            lambda: client.get(f"p{here}"),
            lambda: client.delete(f"p{here}"),
            lambda: client.search(product_id=f"p{here}"),
        ):
            with pytest.raises(Unavailable):
                call()
        with pytest.raises(Unavailable):
            client.search(photo(there), coverage_min=1.0)
        assert client.delete(f"p{there}") == 1
        assert client.upsert(product(there)).images_embedded == 1
        states = {one.shard.name: one.state.value for one in client.shards()}
        assert states == {"a": "unreachable", "b": "healthy", "c": "healthy"}
    finally:
        cluster.revive("a")
    eventually(lambda: whole(client), WHOLE_AGAIN_S)
    assert client.get(f"p{here}").title == f"Product {here}"


def test_what_was_acknowledged_survives_the_death_of_every_process(cluster: Cluster, client: Client) -> None:
    stored = [n for n in range(100, 140) if client.upsert(product(n))]
    assert client.delete("p100") == 1
    cluster.server.stop(signal.SIGKILL)
    for name in cluster.shards:
        cluster.kill(name)
    for name in cluster.shards:
        cluster.revive(name)
    cluster.server.start("--shard-deadline-s", "1")
    with cluster.client() as again:
        assert whole(again)
        for n in stored[1:]:
            assert again.get(f"p{n}").title == f"Product {n}"
            assert search(again, n).hits[0].product.product_id == f"p{n}"
        with pytest.raises(NotFound):
            again.get("p100")


def test_a_server_starts_while_a_shard_is_away_and_takes_it_back(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.server.stop() == 0
    cluster.kill("c")
    try:
        cluster.server.start("--shard-deadline-s", "1")
        with cluster.client() as client:
            found = search(client, 0)
            assert [one.shard for one in found.coverage.missing] == ["c"]
    finally:
        cluster.revive("c")
    with cluster.client() as client:
        eventually(lambda: whole(client), WHOLE_AGAIN_S)
