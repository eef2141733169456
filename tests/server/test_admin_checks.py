import math
from typing import Any

import pytest

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ShardSpec
from lookalike_router.balance import Pin
from lookalike_router.rebalance import Goal
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_server.admin_checks import (
    checked_comparison,
    checked_drain,
    checked_plan,
    checked_rate,
    checked_removal,
    checked_replica,
    checked_replica_name,
    checked_shard,
    checked_start,
)
from lookalike_server.query import Comparison, Drain, Rebalance
from tests.server.wrong import wrong_fields

URI = "http://10.0.0.1:19530"


def shard(name: str = "d", uris: tuple[str, ...] = (URI,), weight: float | None = None) -> admin_pb2.AddShardRequest:
    return admin_pb2.AddShardRequest(name=name, uris=uris, weight=weight)


def test_a_shard_weighs_1_unless_told() -> None:
    assert checked_shard(shard()) == ShardSpec("d", (URI,), 1.0)
    assert checked_shard(shard(uris=(URI, "HTTP://X:1/"), weight=2)) == ShardSpec("d", (URI, "http://x:1"), 2.0)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (shard(name=""), "name"),
        (shard(name="a b"), "name"),
        (shard(name="a/1"), "name"),
        (shard(name="-a"), "name"),
        (shard(name="a" * 65), "name"),
        (shard(name="a\n"), "name"),
        (shard(uris=()), "uris"),
        (shard(uris=tuple(f"http://x:{n}" for n in range(1, 18))), "uris"),
        (shard(uris=(URI, "x:1")), "uris[1]"),
        (shard(uris=("http://user:pass@x:1",)), "uris[0]"),
        (shard(uris=(URI, URI + "/")), "uris[1]"),
        (shard(weight=-1), "weight"),
        (shard(weight=0), "weight"),
        (shard(weight=1001), "weight"),
        (shard(weight=math.nan), "weight"),
        (shard(weight=math.inf), "weight"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_shard_says_which_field_is_wrong(asked: admin_pb2.AddShardRequest, field: str) -> None:
    assert list(wrong_fields(lambda: checked_shard(asked))) == [field]


def test_everything_wrong_is_said_at_once() -> None:
    asked = shard(name="a b", uris=("x",), weight=-1)
    assert list(wrong_fields(lambda: checked_shard(asked))) == ["name", "uris[0]", "weight"]


def test_a_replica_names_its_shard_and_its_address() -> None:
    assert checked_replica(admin_pb2.AddReplicaRequest(shard="a", uri=URI)) == ("a", URI)
    wrong = admin_pb2.AddReplicaRequest(shard="a/1", uri="https://u:p@x")
    assert list(wrong_fields(lambda: checked_replica(wrong))) == ["shard", "uri"]


@pytest.mark.parametrize("wrong", ["", "a", "a/", "a/0", "a/01", "/1", "a/b", "a/1/2", "a/1\n"])
def test_what_is_no_replicas_name_is_refused(wrong: str) -> None:
    assert checked_replica_name("a/12") == "a/12"
    assert list(wrong_fields(lambda: checked_replica_name(wrong))) == ["replica"]


def test_no_shard_means_every_shard() -> None:
    assert checked_comparison(admin_pb2.VerifyRequest()) == Comparison(None, repair=False, from_slot=0)
    asked = admin_pb2.VerifyRequest(shard="a", repair=True, from_slot=16_383)
    assert checked_comparison(asked) == Comparison("a", repair=True, from_slot=16_383)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (admin_pb2.VerifyRequest(shard="a b"), "shard"),
        (admin_pb2.VerifyRequest(from_slot=-1), "from_slot"),
        (admin_pb2.VerifyRequest(from_slot=16_384), "from_slot"),
    ],
)
def test_a_wrong_comparison_says_which_field_is_wrong(asked: admin_pb2.VerifyRequest, field: str) -> None:
    assert list(wrong_fields(lambda: checked_comparison(asked))) == [field]


def pin(shard: str = "a", first: int = 0, last: int = 9) -> admin_pb2.RebalancePin:
    return admin_pb2.RebalancePin(shard=shard, slots=admin_pb2.SlotRange(first=first, last=last))


def test_a_rebalance_is_what_it_says() -> None:
    asked = admin_pb2.PlanRebalanceRequest(pins=[pin("b", 5, 5)], batch_slots=64, rows_per_s=0.5, drain="c")
    assert checked_plan(asked) == Rebalance(Goal("c", (Pin("b", SlotRange(5, 5)),), 64), 0.5)
    assert checked_plan(admin_pb2.PlanRebalanceRequest()) == Rebalance(Goal(), 0.0)
    started = admin_pb2.StartRebalanceRequest(pins=[pin("b", 5, 5)], batch_slots=64, rows_per_s=0.5)
    assert checked_start(started) == Rebalance(Goal("", (Pin("b", SlotRange(5, 5)),), 64), 0.5)


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"drain": "a b"}, ["drain"]),
        ({"batch_slots": -1}, ["batch_slots"]),
        ({"batch_slots": SLOTS + 1}, ["batch_slots"]),
        ({"rows_per_s": -1}, ["rows_per_s"]),
        ({"rows_per_s": math.nan}, ["rows_per_s"]),
        ({"rows_per_s": math.inf}, ["rows_per_s"]),
        ({"pins": [pin("")]}, ["pins[0].shard"]),
        ({"pins": [pin(), pin(first=-1)]}, ["pins[1].slots"]),
        ({"pins": [pin(first=9, last=8)]}, ["pins[0].slots"]),
        ({"pins": [pin(last=SLOTS)]}, ["pins[0].slots"]),
        ({"pins": [pin()] * 1025}, ["pins"]),
        ({"pins": [pin("a/1", last=SLOTS)], "batch_slots": -1, "rows_per_s": -1}, 4 * [None]),
    ],
    ids=str,
)
def test_a_wrong_rebalance_says_every_field_that_is_wrong(asked: dict[str, Any], fields: list[str | None]) -> None:
    found = list(wrong_fields(lambda: checked_plan(admin_pb2.PlanRebalanceRequest(**asked))))
    assert len(found) == len(fields)
    assert None in fields or found == fields


def test_a_drain_names_its_shard() -> None:
    asked = admin_pb2.DrainShardRequest(shard="a", batch_slots=8, rows_per_s=100)
    assert checked_drain(asked) == Drain("a", False, 8, 100.0)
    assert checked_drain(admin_pb2.DrainShardRequest(shard="a", undo=True)) == Drain("a", True, 0, 0.0)
    assert list(wrong_fields(lambda: checked_drain(admin_pb2.DrainShardRequest(rows_per_s=-1)))) == [
        "shard",
        "rows_per_s",
    ]
    undone = admin_pb2.DrainShardRequest(shard="a", undo=True, batch_slots=8, rows_per_s=1)
    assert list(wrong_fields(lambda: checked_drain(undone))) == ["batch_slots", "rows_per_s"]


def test_a_rate_and_a_removal_are_checked_too() -> None:
    assert (checked_rate(0), checked_rate(2.5), checked_removal("a")) == (0, 2.5, "a")
    assert list(wrong_fields(lambda: checked_rate(-0.5))) == ["rows_per_s"]
    assert list(wrong_fields(lambda: checked_removal("a/1"))) == ["shard"]
