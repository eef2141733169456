import math

import pytest

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ShardSpec
from lookalike_server.admin_checks import checked_comparison, checked_replica, checked_replica_name, checked_shard
from lookalike_server.query import Comparison
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
