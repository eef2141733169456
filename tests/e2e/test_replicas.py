"""Shards of two replicas: one goes away and nobody notices; others come, are filled, and go."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike import Client, Done, FailedPrecondition, ReplicaStatus, SearchResult, Sync
from tests.e2e.cluster import Cluster, eventually, owner, photo, product

LAYOUT = {"a": ("a1", "a2"), "b": ("b1", "b2")}
PRODUCTS = 60
SEARCH_S = 4.0
# A replica that comes back is looked for every second, and then brought what it lacks; the machine may be busy.
SETTLES_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("replicas"), LAYOUT)
    try:
        running.server.start("--shard-deadline-s", "2")
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
    return client.search(photo(n), timeout_s=SEARCH_S, explain=True)


def replicas(client: Client) -> dict[str, ReplicaStatus]:
    return {one.replica.name: one for shard in client.shards() for one in shard.replicas}


def settled(client: Client) -> bool:
    """Say whether every replica answers and has everything."""
    return all(
        (one.replica.sync, one.state.value, one.hints_pending) == (Sync.IN_SYNC, "healthy", 0)
        for one in replicas(client).values()
    )


def differing(client: Client) -> tuple[int, tuple[str, ...]]:
    """Compare all replicas; return how many products differ, and who could not be asked."""
    last = list(client.verify())[-1]
    assert last.done
    return last.differing_total, last.skipped_replicas


def assert_whole(found: SearchResult, n: int) -> None:
    assert found.coverage.complete
    assert found.coverage.slots_fraction == 1
    assert found.hits[0].product.product_id == f"p{n}"


def of(client: Client, shard: str) -> list[int]:
    """Return the products that a shard owns."""
    return [n for n in range(PRODUCTS) if owner(client, f"p{n}") == shard]


def test_a_killed_replica_costs_nobody_an_answer_and_catches_up(cluster: Cluster, client: Client) -> None:
    mine = of(client, "a")
    assert settled(client)
    cluster.kill("a1")
    try:
        for n in range(20):
            assert_whole(search(client, n), n)
        for n in mine[:5]:
            assert client.upsert(product(n, "while it was away")).images_embedded == 0
        assert client.delete(f"p{mine[5]}") == 1
        eventually(lambda: replicas(client)["a/1"].state.value == "unreachable", SETTLES_S)
        behind = replicas(client)["a/1"]
        assert (behind.replica.sync, behind.hints_pending) == (Sync.BEHIND, 6)
        assert_whole(search(client, mine[0]), mine[0])
    finally:
        cluster.revive("a1")
    eventually(lambda: settled(client), SETTLES_S)
    assert differing(client) == (0, ())
    assert replicas(client)["a/1"].rows == replicas(client)["a/2"].rows == len(mine) - 1

    cluster.kill("a2")
    try:
        for n in mine[:5]:
            found = search(client, n)
            assert_whole(found, n)
            assert found.hits[0].product.title == "while it was away"
        assert f"p{mine[5]}" not in [hit.product.product_id for hit in search(client, mine[5]).hits]
    finally:
        cluster.revive("a2")
    eventually(lambda: settled(client), SETTLES_S)
    client.upsert(product(mine[5]))


def test_a_paused_replica_costs_nobody_an_answer(cluster: Cluster, client: Client) -> None:
    assert settled(client)
    with cluster.stopped("b2"):
        for n in range(20):
            assert_whole(search(client, n), n)
        client.upsert(product(of(client, "b")[0], "while it was paused"))
    eventually(lambda: settled(client), SETTLES_S)
    assert differing(client) == (0, ())


def test_a_replica_is_added_while_the_shop_serves_and_another_one_goes(cluster: Cluster, client: Client) -> None:
    cluster.run("a3")
    assert client.add_replica("a", cluster.shards["a3"].uri) == "a/3"
    assert replicas(client)["a/3"].replica.sync in (Sync.FILLING, Sync.IN_SYNC)
    client.upsert(product(200))
    eventually(lambda: replicas(client)["a/3"].replica.sync is Sync.IN_SYNC, SETTLES_S)
    shown = replicas(client)
    assert shown["a/3"].rows == shown["a/2"].rows > 0
    assert differing(client) == (0, ())

    client.remove_replica("a/1")
    cluster.kill("a1")
    cluster.kill("a2")
    try:
        for n in of(client, "a")[:10]:
            found = search(client, n)
            assert_whole(found, n)
            assert found.explanation is not None
            assert {one.shard: one.replica for one in found.explanation.shards}["a"] == "a/3"
        with pytest.raises(FailedPrecondition, match="in sync"):
            client.remove_replica("a/3")
    finally:
        cluster.revive("a2")
    eventually(lambda: settled(client), SETTLES_S)
    assert sorted(replicas(client)) == ["a/2", "a/3", "b/1", "b/2"]


def test_the_map_outlives_the_server(cluster: Cluster, client: Client) -> None:
    before = client.topology()
    cluster.server.stop(signal.SIGKILL)
    cluster.server.shards = ""
    cluster.server.start("--shard-deadline-s", "2")
    with cluster.client() as again:
        assert [shard.replicas for shard in again.topology().shards] == [shard.replicas for shard in before.shards]
        eventually(lambda: search(again, 0).coverage.complete, SETTLES_S)


def test_a_server_of_another_shop_cannot_become_a_replica(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    other = Cluster(tmp_path, {"z": ("z1",)})
    try:
        other.server.start()
        before = client.topology()
        with pytest.raises(FailedPrecondition):
            client.add_replica("a", other.shards["z1"].uri)
        with pytest.raises(FailedPrecondition):
            client.add_replica("a", cluster.shards["b1"].uri)
        assert client.topology() == before
    finally:
        other.close()
