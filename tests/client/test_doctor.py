"""`lookalike doctor` against a scripted shop that ails in one way after the other."""

from collections.abc import Callable

import pytest
from grpc_health.v1 import health_pb2
from typer.testing import Result

from tests.client.scripted import ScriptedShop
from tests.client.scripted_map import STATES, SYNCS
from tests.client.typed import Cli, said


def states(result: Result) -> dict[str, str]:
    return {check["name"]: check["state"] for check in said(result)["checks"]}


def test_a_doctor_finds_a_well_shop_well(cli: Cli, filled: ScriptedShop) -> None:
    result = cli("doctor", "--json")
    assert (result.exit_code, said(result)["ok"]) == (0, True)
    names = ["server", "health", "models", "shard a", "replica a/1", "rebalance", "stored vectors", "search"]
    assert states(result) == dict.fromkeys(names, "ok")
    text = cli("doctor")
    assert text.exit_code == 0
    assert len(text.stdout.splitlines()) == 8


def ail_health(server: ScriptedShop) -> None:
    server.serve(health_pb2.HealthCheckResponse.NOT_SERVING)


def ail_shard(server: ScriptedShop) -> None:
    server.map.shards["a"].state = STATES.STATE_UNREACHABLE


def ail_refused(server: ScriptedShop) -> None:
    server.map.replica("a/1").state = STATES.STATE_REFUSED


def ail_away(server: ScriptedShop) -> None:
    server.map.replica("a/1").state = STATES.STATE_UNREACHABLE


def ail_dim(server: ScriptedShop) -> None:
    server.map.dim = 128


def ail_models(server: ScriptedShop) -> None:
    server.map.dim = 0


def ail_search(server: ScriptedShop) -> None:
    server.scores = 0.7


@pytest.mark.parametrize(
    ("ail", "check"),
    [
        (ail_health, "health"),
        (ail_shard, "shard a"),
        (ail_refused, "replica a/1"),
        (ail_away, "replica a/1"),
        (ail_dim, "stored vectors"),
        (ail_models, "models"),
        (ail_search, "search"),
    ],
)
def test_a_doctor_says_what_ails(
    cli: Cli, filled: ScriptedShop, ail: Callable[[ScriptedShop], None], check: str
) -> None:
    ail(filled)
    result = cli("doctor", "--json")
    assert result.exit_code == 1
    assert states(result)[check] == "failed"
    advice = {check["name"]: check["advice"] for check in said(result)["checks"]}
    assert advice[check]


def test_a_doctor_of_an_empty_shop_has_no_picture_to_look_at(cli: Cli, server: ScriptedShop) -> None:
    result = cli("doctor", "--json")
    assert (result.exit_code, states(result)["a stored picture"]) == (0, "skipped")


def test_a_doctor_without_a_server_says_how_to_start_one(cli: Cli) -> None:
    result = cli("doctor", "--server", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "lookalike-server serve" in result.stdout.replace("\n", " ")


def warn_shard(server: ScriptedShop) -> None:
    server.map.shards["a"].state = STATES.STATE_BEHIND


def warn_behind(server: ScriptedShop) -> None:
    replica = server.map.replica("a/1")
    replica.replica.sync, replica.hints_pending, replica.oldest_hint_seconds = SYNCS.SYNC_BEHIND, 12, 3.4


def warn_alone(server: ScriptedShop) -> None:
    warn_shard(server)
    warn_behind(server)


def warn_unverified(server: ScriptedShop) -> None:
    server.map.replica("a/1").replica.sync = SYNCS.SYNC_BEHIND


def warn_filling(server: ScriptedShop) -> None:
    replica = server.map.replica("a/1")
    replica.replica.sync, replica.filled = SYNCS.SYNC_FILLING, 0.25
    server.map.fills.extend([0.25] * 9)


@pytest.mark.parametrize(
    ("ail", "check", "seen", "advice"),
    [
        (warn_shard, "shard a", "no replica is in sync", "bring back one that is in sync"),
        (warn_alone, "replica a/1", "behind by 12 for 3.4 s", "it takes what it lacks from a replica in sync"),
        (warn_behind, "replica a/1", "behind by 12 for 3.4 s", "it is catching up"),
        (warn_unverified, "replica a/1", "behind", "`lookalike verify --shard a --repair`"),
        (warn_filling, "replica a/1", "filling, 25%", "read from once it is in sync"),
    ],
)
def test_a_doctor_warns_of_what_costs_no_answer_yet(
    cli: Cli, filled: ScriptedShop, ail: Callable[[ScriptedShop], None], check: str, seen: str, advice: str
) -> None:
    ail(filled)
    result = cli("doctor", "--json")
    assert (result.exit_code, said(result)["ok"], states(result)[check]) == (0, True, "warning")
    (told,) = [one for one in said(result)["checks"] if one["name"] == check]
    assert seen in told["seen"]
    assert advice in told["advice"]
    assert "warning " in cli("doctor").stdout
