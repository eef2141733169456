"""An operator's calls: how shards and replicas are, changes of the map, and comparisons."""

from collections import deque

import pytest
from google.rpc import code_pb2

import lookalike
from lookalike import ShardState, Sync
from tests.client.both import Shop
from tests.client.script import AWAY, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.scripted_map import SLOTS, STATES, SYNCS, report

ELSEWHERE = "http://127.0.0.1:19531"


def test_every_replica_says_how_it_is(shop: Shop, server: ScriptedShop) -> None:
    shop.add_replica("a", ELSEWHERE)
    server.map.fills = deque([0.25])
    second = server.map.replica("a/2")
    second.state, second.message = STATES.STATE_UNREACHABLE, "start it"
    second.hints_pending, second.oldest_hint_seconds = 12, 3.5
    (status,) = shop.shards()
    first, second = status.replicas
    assert (first.replica.sync, first.state, first.rows) == (Sync.IN_SYNC, ShardState.HEALTHY, 7)
    assert (first.p50_ms, first.p95_ms, first.server_version) == (1.5, 4.0, "2.3.5")
    assert second.replica == lookalike.Replica("a/2", ELSEWHERE, Sync.FILLING)
    assert (second.state, second.message, second.filled) == (ShardState.UNREACHABLE, "start it", 0.25)
    assert (second.hints_pending, second.oldest_hint_s) == (12, 3.5)


def test_a_shard_of_which_all_replicas_are_behind_says_so(shop: Shop, server: ScriptedShop) -> None:
    server.map.shards["a"].state = STATES.STATE_BEHIND
    server.map.replica("a/1").replica.sync = SYNCS.SYNC_BEHIND
    (status,) = shop.shards()
    assert (status.state, status.replicas[0].replica.sync) == (ShardState.BEHIND, Sync.BEHIND)


def test_what_a_newer_server_says_is_unknown_and_no_error(shop: Shop, server: ScriptedShop) -> None:
    replica = server.map.replica("a/1")
    replica.MergeFromString(b"\x10\x4d\x0a\x02\x18\x4d")  # state 77, replica.sync 77
    (status,) = shop.shards()
    assert (status.replicas[0].state, status.replicas[0].replica.sync) == (ShardState.UNKNOWN, Sync.UNKNOWN)


def test_the_map_names_the_replicas(shop: Shop) -> None:
    (shard,) = shop.topology().shards
    assert shard.replicas == (lookalike.Replica("a/1", "http://127.0.0.1:19530", Sync.IN_SYNC),)


def test_a_shard_is_added_with_its_replicas(shop: Shop, server: ScriptedShop) -> None:
    shard = shop.add_shard("b", iter(["http://b1:19530", "http://b2:19530"]), weight=2.5)
    assert (shard.name, shard.weight, shard.slots, shard.uri) == ("b", 2.5, 0, "http://b1:19530")
    assert [replica.name for replica in shard.replicas] == ["b/1", "b/2"]
    assert [status.shard.name for status in shop.shards()] == ["a", "b"]


def test_a_shard_of_one_weight_says_it(shop: Shop, server: ScriptedShop) -> None:
    assert shop.add_shard("b", ["http://b1:19530"]).weight == 1.0
    assert server.script.requests[-1].HasField("weight")


def test_an_address_is_not_taken_for_a_list_of_letters(shop: Shop, server: ScriptedShop) -> None:
    with pytest.raises(lookalike.InvalidArgument, match="list of addresses"):
        shop.add_shard("b", "http://b1:19530")
    assert server.script.requests == []


def test_a_replica_is_added_and_removed(shop: Shop) -> None:
    assert shop.add_replica("a", ELSEWHERE) == "a/2"
    assert [one.replica.name for one in shop.shards()[0].replicas] == ["a/1", "a/2"]
    assert shop.remove_replica("a/1") is None
    assert [one.replica.name for one in shop.shards()[0].replicas] == ["a/2"]


def test_a_change_that_cannot_be_says_why(shop: Shop) -> None:
    for call, arguments in ((shop.remove_replica, ("a/1",)), (shop.add_replica, ("z", ELSEWHERE))):
        with pytest.raises(lookalike.FailedPrecondition) as conflict:
            call(*arguments)
        assert conflict.value.reason == "MAP_CONFLICT"


def test_a_change_is_sent_once(shop: Shop, server: ScriptedShop) -> None:
    shop.add_replica("a", "http://127.0.0.1:19532")
    server.script.requests.clear()
    changes = [
        (shop.add_shard, ("b", [ELSEWHERE])),
        (shop.add_replica, ("a", ELSEWHERE)),
        (shop.remove_replica, ("a/2",)),
    ]
    for call, arguments in changes:
        server.script.lost = 1
        with pytest.raises(lookalike.Unavailable):
            call(*arguments)
        assert server.script.lost == 0  # it was done, and its answer was lost
    assert len(server.script.requests) == 3


def test_a_comparison_reports_until_it_is_done(shop: Shop, server: ScriptedShop) -> None:
    server.map.reports = [report(100, "mug-1", skipped_replicas=["a/3"]), report(SLOTS, repaired=1)]
    first, last = shop.verify("a", repair=True, from_slot=50)
    assert (first.shard, first.slots_done, first.slots, first.next_slot, first.rows) == ("a", 100, SLOTS, 100, 200)
    assert (first.differing_product_ids, first.differing_total, first.skipped_replicas) == (("mug-1",), 1, ("a/3",))
    assert (first.done, last.done, last.repaired_total) == (False, True, 1)
    asked = server.script.requests[-1]
    assert (asked.shard, asked.repair, asked.from_slot) == ("a", True, 50)


def test_a_comparison_of_everything_names_no_shard(shop: Shop, server: ScriptedShop) -> None:
    assert list(shop.verify()) == []
    assert server.script.requests[-1].ListFields() == []


def test_a_comparison_that_is_left_ends_on_the_server_too(shop: Shop, server: ScriptedShop) -> None:
    server.map.reports, server.map.verify_waits = [report(100)], True
    reports = shop.verify()
    assert next(reports).slots_done == 100
    assert not server.map.left.is_set()
    reports.close()
    assert server.map.left.wait(timeout=30)


def test_a_comparison_that_breaks_gives_what_it_has_first(shop: Shop, server: ScriptedShop) -> None:
    server.map.reports, server.map.verify_ends = [report(100)], AWAY
    reports = shop.verify()
    assert next(reports).next_slot == 100
    with pytest.raises(lookalike.Unavailable, match="the shard is away"):
        next(reports)
    assert len(server.script.requests) == 1


def test_a_comparison_of_no_shard_is_refused(shop: Shop, server: ScriptedShop) -> None:
    server.script.calls.append(Refusal(code_pb2.FAILED_PRECONDITION, "there is no shard 'z'", "MAP_CONFLICT"))
    with pytest.raises(lookalike.FailedPrecondition, match="no shard 'z'"):
        list(shop.verify("z"))


def test_a_comparison_of_which_nothing_is_heard_ends(shop: Shop, server: ScriptedShop) -> None:
    server.map.verify_waits = True
    with pytest.raises(lookalike.DeadlineExceeded, match=r"said nothing for 0\.05 s"):
        list(shop.verify(silence_s=0.05))
    assert server.map.left.wait(timeout=30)


def test_a_closed_client_compares_nothing(server: ScriptedShop) -> None:
    shop = lookalike.Client(server.address)
    shop.close()
    with pytest.raises(lookalike.ClientClosed):
        next(shop.verify())
