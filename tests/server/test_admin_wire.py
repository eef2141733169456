import pytest

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ReplicaReport, ShardPlace, ShardReport, State, Verified
from lookalike_router.slots import SlotRange
from lookalike_router.store import ReplicaPlace, Sync
from lookalike_server import admin_wire

S = admin_pb2.ShardStatus
UP, DOWN, REFUSED = State.HEALTHY, State.UNREACHABLE, State.REFUSED
IN_SYNC, BEHIND, FILLING = Sync.IN_SYNC, Sync.BEHIND, Sync.FILLING


def report(number: int, sync: Sync, state: State, message: str = "") -> ReplicaReport:
    return ReplicaReport(
        name=f"a/{number}",
        uri=f"http://x:{number}",
        sync=sync,
        state=state,
        message=message,
        hints=number,
        oldest_hint_s=1.5,
        filled=0.25,
        rows=100 + number,
        p50_ms=number,
        p95_ms=2 * number,
        server_version=f"2.{number}",
    )


def status(*replicas: ReplicaReport) -> admin_pb2.ShardStatus:
    return admin_wire.shard_status(ShardReport("a", 2.0, (SlotRange(0, 9),), replicas))


def test_every_word_of_the_domain_has_a_word_on_the_wire() -> None:
    assert set(admin_wire.STATES) == set(State)
    assert set(admin_wire.SYNCS) == set(Sync)


@pytest.mark.parametrize(
    ("replicas", "state"),
    [
        ([(IN_SYNC, UP)], S.STATE_HEALTHY),
        ([(IN_SYNC, DOWN), (IN_SYNC, UP)], S.STATE_HEALTHY),
        ([(BEHIND, UP), (IN_SYNC, UP)], S.STATE_HEALTHY),
        ([(IN_SYNC, DOWN), (BEHIND, UP)], S.STATE_BEHIND),
        ([(IN_SYNC, DOWN), (BEHIND, DOWN)], S.STATE_UNREACHABLE),
        ([(IN_SYNC, DOWN), (IN_SYNC, REFUSED)], S.STATE_UNREACHABLE),
        ([(IN_SYNC, REFUSED), (BEHIND, REFUSED)], S.STATE_REFUSED),
        ([(IN_SYNC, REFUSED), (FILLING, UP)], S.STATE_REFUSED),
        ([(IN_SYNC, DOWN), (FILLING, UP)], S.STATE_UNREACHABLE),
    ],
)
def test_a_shard_is_as_well_as_the_replicas_that_may_be_read_from(
    replicas: list[tuple[Sync, State]], state: S.State.ValueType
) -> None:
    assert status(*(report(i, *one) for i, one in enumerate(replicas, 1))).state == state


def test_the_replica_that_is_asked_first_speaks_for_its_shard() -> None:
    told = status(
        report(1, IN_SYNC, DOWN, "gone"), report(2, BEHIND, UP), report(3, IN_SYNC, UP), report(4, FILLING, UP)
    )
    assert (told.rows, told.latency_ms, told.server_version) == (103, 3, "2.3")
    assert told.message == "a/1: gone"
    assert (told.shard.uri, told.shard.slots, told.shard.weight) == ("http://x:1", 10, 2)


def test_a_shard_of_which_nothing_answers_tells_no_figures() -> None:
    told = status(report(1, IN_SYNC, DOWN, "gone"), report(2, FILLING, UP))
    assert (told.rows, told.latency_ms, told.server_version) == (0, 0, "")


def test_every_fact_of_a_replica_has_its_place() -> None:
    assert status(report(2, BEHIND, REFUSED, "another shop")).replicas[0] == admin_pb2.ReplicaStatus(
        replica=admin_pb2.Replica(name="a/2", uri="http://x:2", sync=admin_pb2.Replica.SYNC_BEHIND),
        state=S.STATE_REFUSED,
        message="another shop",
        hints_pending=2,
        oldest_hint_seconds=1.5,
        filled=0.25,
        rows=102,
        p50_ms=2,
        p95_ms=4,
        server_version="2.2",
    )


def test_a_place_in_the_map_names_its_replicas() -> None:
    places = (ReplicaPlace("a/1", "http://x:1", IN_SYNC), ReplicaPlace("a/3", "http://x:3", FILLING))
    told = admin_wire.shard(ShardPlace("a", 1.0, places, (SlotRange(5, 9), SlotRange(0, 0))))
    assert [(one.name, one.sync) for one in told.replicas] == [
        ("a/1", admin_pb2.Replica.SYNC_IN_SYNC),
        ("a/3", admin_pb2.Replica.SYNC_FILLING),
    ]
    assert [(one.first, one.last) for one in told.slot_ranges] == [(0, 0), (5, 9)]


def test_every_fact_of_a_comparison_has_its_place() -> None:
    told = admin_wire.verify_progress(Verified("a", 1, 2, 3, 4, ("p", "q"), 5, 6, ("a/2",), done=True))
    assert told == admin_pb2.VerifyProgress(
        shard="a",
        slots_done=1,
        slots=2,
        next_slot=3,
        rows=4,
        differing_product_ids=["p", "q"],
        differing_total=5,
        repaired_total=6,
        skipped_replicas=["a/2"],
        done=True,
    )
