"""An operator's commands, as a person or a program types them, against a scripted server."""

import json
import signal
from collections import deque
from pathlib import Path

import pytest
from google.rpc import code_pb2

from lookalike.v1 import search_pb2
from tests.client.script import AWAY, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.scripted_map import SLOTS, STATES, SYNCS, report
from tests.client.typed import Cli, said, typed

ELSEWHERE = "http://127.0.0.1:19531"


@pytest.fixture
def pair(server: ScriptedShop, cli: Cli) -> ScriptedShop:
    """Return a shop whose shard has two replicas, a/1 and a/2."""
    assert cli("replicas", "add", "a", ELSEWHERE, "--wait").exit_code == 0
    return server


def lines(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_every_replica_is_a_line(cli: Cli, pair: ScriptedShop) -> None:
    result = cli("shards", COLUMNS="120")
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result.stdout, "a/1", "16,384", "in sync", "1.5/4.0", "2.3.5", "http://127.0.0.1:19530")
    assert lines(result.stdout, "a/2", "in sync", ELSEWHERE)
    assert not lines(result.stdout, "weight")
    assert [one["replica"]["name"] for one in said(cli("shards", "--json"))[0]["replicas"]] == ["a/1", "a/2"]


def test_a_replica_that_is_behind_says_how_far_and_since_when(cli: Cli, pair: ScriptedShop) -> None:
    second = pair.map.replica("a/2")
    second.replica.sync, second.hints_pending, second.oldest_hint_seconds = SYNCS.SYNC_BEHIND, 1200, 90
    assert lines(cli("shards", COLUMNS="120").stdout, "a/2", "behind by 1,200 for 1.5 min")
    told = said(cli("shards", "--json"))[0]["replicas"][1]
    assert (told["replica"]["sync"], told["hints_pending"], told["oldest_hint_s"]) == ("behind", 1200, 90)


def test_a_replica_that_is_being_filled_says_how_far_it_is(cli: Cli, server: ScriptedShop) -> None:
    cli("replicas", "add", "a", ELSEWHERE)
    server.map.fills = deque([0.42])
    assert lines(cli("shards", COLUMNS="120").stdout, "a/2", "filling, 42%")


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        (STATES.STATE_BEHIND, "a has no replica in sync: searches may miss its newest changes"),
        (STATES.STATE_UNREACHABLE, "a has no replica to read from: searches miss its products"),
    ],
)
def test_what_is_wrong_is_said_with_what_it_means(
    cli: Cli, server: ScriptedShop, state: STATES.State.ValueType, meaning: str
) -> None:
    replica = server.map.replica("a/1")
    replica.state, replica.message = STATES.STATE_UNREACHABLE, "does not answer: start it"
    server.map.shards["a"].state = state
    result = cli("shards")
    assert result.exit_code == 0
    assert "a/1: does not answer: start it" in result.stderr
    assert meaning in result.stderr
    assert said(cli("shards", "--json"))[0]["replicas"][0]["state"] == "unreachable"


def test_a_shard_is_added(cli: Cli, server: ScriptedShop) -> None:
    result = cli("shards", "add", "b", "http://b1", "--replica", "http://b2", "--replica", "http://b3", "--weight", "2")
    assert (result.exit_code, result.stdout) == (0, "added shard b with 3 replicas; it joins empty and owns 0 slots\n")
    assert "`lookalike rebalance plan` shows what would move to it" in result.stderr
    request = server.script.requests[-1]
    assert (request.name, list(request.uris), request.weight) == ("b", ["http://b1", "http://b2", "http://b3"], 2.0)
    shown = cli("shards", COLUMNS="120").stdout
    assert lines(shown, "weight")
    assert lines(shown, "b/3", "http://b3")
    assert said(cli("shards", "add", "c", "http://c1", "--json"))["replicas"][0]["name"] == "c/1"


def test_a_replica_is_added_and_filled_later(cli: Cli, server: ScriptedShop) -> None:
    result = cli("replicas", "add", "a", ELSEWHERE)
    assert result.exit_code == 0
    assert result.stdout == "added a/2, which is being filled; `lookalike shards` shows how far it is\n"
    assert said(cli("replicas", "add", "a", ELSEWHERE, "--json")) == {"replica": "a/3"}


def test_a_replica_is_waited_for_until_it_is_in_sync(cli: Cli, server: ScriptedShop) -> None:
    server.map.fills = deque([0.5])
    result = cli("replicas", "add", "a", ELSEWHERE, "--wait")
    assert (result.exit_code, result.stdout) == (0, "a/2 is in sync, with 7 pictures\n")
    assert not server.map.fills
    told = said(cli("replicas", "add", "a", "http://127.0.0.1:19532", "--wait", "--json"))
    assert (told["replica"]["name"], told["replica"]["sync"]) == ("a/3", "in_sync")


def test_a_replica_that_is_refused_while_it_is_filled_is_not_waited_for(server: ScriptedShop, cli: Cli) -> None:
    server.map.refuses_fills = "its rows are not those of its siblings: empty it"
    result = cli("replicas", "add", "a", ELSEWHERE, "--wait")
    assert result.exit_code == 1
    assert "a/2 is not filled: its rows are not those of its siblings: empty it" in result.stderr


def test_a_bar_shows_how_a_replica_is_filled_and_ctrl_c_ends_only_the_waiting(server: ScriptedShop) -> None:
    server.map.fills = deque([0.42] * 1000)
    with typed("replicas", "add", "a", ELSEWHERE, "--wait", "--server", server.address) as command:
        command.wait_for("42%")
        assert "filling a/2" in command.shown
        command.process.send_signal(signal.SIGINT)
        command.wait_for("a/2 is still being filled")
        assert command.process.wait(timeout=30) == 130
    assert server.map.replica("a/2").replica.sync == SYNCS.SYNC_FILLING


def test_a_replica_is_removed(cli: Cli, pair: ScriptedShop) -> None:
    result = cli("replicas", "remove", "a/1")
    assert (result.exit_code, result.stdout) == (
        0,
        "removed a/1; stop its server, or empty it before you add it again\n",
    )
    last = cli("replicas", "remove", "a/2", "--json")
    assert (last.exit_code, last.stdout) == (1, "")
    assert json.loads(last.stderr)["error"]["reason"] == "MAP_CONFLICT"


@pytest.mark.parametrize(
    "wrong",
    [
        ["shards", "add"],
        ["shards", "add", "b"],
        ["shards", "add", "b", "http://b1", "--weight", "heavy"],
        ["shards", "--json", "add", "b", "http://b1"],
        ["replicas", "add", "a"],
        ["replicas", "remove"],
        ["replicas", "list"],
        ["verify", "--from", "-1"],
        ["verify", "--from", "first"],
        ["verify", "a"],
    ],
    ids=" ".join,
)
def test_a_command_that_makes_no_sense_is_2_and_asks_no_server(
    cli: Cli, server: ScriptedShop, wrong: list[str]
) -> None:
    result = cli(*wrong)
    assert (result.exit_code, server.script.requests) == (2, [])
    assert result.stderr


def test_an_option_at_the_wrong_place_is_not_dropped_without_a_word(cli: Cli) -> None:
    result = cli("shards", "--server", "127.0.0.1:1", "add", "b", "http://b1")
    assert (result.exit_code, result.stderr) == (2, "error: write --server behind `add`, not before it\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["shards", "add", "a", "http://b1"], "there is a shard 'a' already: choose another name"),
        (["replicas", "add", "z", "http://b1"], "there is no shard 'z'"),
        (["replicas", "remove", "a/1"], "a/1 is the shard's last replica in sync: add another first"),
    ],
)
def test_a_change_that_cannot_be_says_why(cli: Cli, command: list[str], reason: str) -> None:
    result = cli(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr


def test_an_endpoint_that_is_away_is_no_shard_that_is_away(cli: Cli, server: ScriptedShop) -> None:
    for command in (["shards", "add", "b", ELSEWHERE], ["replicas", "add", "a", ELSEWHERE]):
        server.script.calls.append(AWAY)
        result = cli(*command)
        assert result.exit_code == 1
        assert "nothing was added: start the Milvus there, or correct the address" in result.stderr


@pytest.mark.parametrize(
    "command",
    [["shards", "add", "b", "http://b1"], ["replicas", "add", "a", "http://a3"], ["replicas", "remove", "a/2"]],
)
def test_a_change_whose_answer_was_lost_says_how_to_find_out(cli: Cli, pair: ScriptedShop, command: list[str]) -> None:
    pair.script.lost = 1
    result = cli(*command)
    assert (result.exit_code, pair.script.lost) == (3, 0)
    assert "`lookalike shards` tells whether it was done" in result.stderr


def test_replicas_that_are_alike_are_said_to_be(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(100), report(SLOTS)]
    result = cli("verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "16,384 slots, 32,768 rows compared: 0 products differ, 0 repaired\n"
    told = said(cli("verify", "--json"))
    assert (told["slots"], told["rows"], told["differing"], told["finished"]) == (SLOTS, 32768, 0, True)


def test_products_that_differ_are_named_and_fail_the_command(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(100, "mug-1"), report(SLOTS, differing_before=1)]
    result = cli("verify")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "differs: mug-1"
    assert "1 product differs, 0 repaired" in result.stdout
    assert "`lookalike verify --repair`" in result.stderr
    told = said(cli("verify", "--json"))
    assert (told["product_ids"], told["differing"], told["repaired"]) == (["mug-1"], 1, 0)


def test_products_that_were_repaired_fail_nothing(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(100, "mug-1"), report(SLOTS, differing_before=1, repaired=1)]
    result = cli("verify", "--repair", "--shard", "a", "--from", "7")
    assert (result.exit_code, result.stderr) == (0, "")
    asked = pair.script.requests[-1]
    assert (asked.shard, asked.repair, asked.from_slot) == ("a", True, 7)


def test_what_could_not_be_repaired_fails_the_command(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(SLOTS, "mug-1", "mug-2", repaired=1)]
    result = cli("verify", "--repair")
    assert (result.exit_code, "--repair" in result.stderr) == (1, False)


def test_at_most_a_hundred_products_are_named(cli: Cli, pair: ScriptedShop) -> None:
    first, second = ([f"p{number}" for number in range(begin, begin + 80)] for begin in (0, 80))
    pair.map.reports = [report(100, *first), report(SLOTS, *second, differing_before=80)]
    result = cli("verify")
    assert len(lines(result.stdout, "differs: ")) == 100
    assert "and 60 more" in result.stdout
    assert len(said(cli("verify", "--json"))["product_ids"]) == 100


def test_a_replica_that_could_not_be_compared_is_no_success(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(100, skipped_replicas=["a/2"]), report(SLOTS, skipped_replicas=["a/2"])]
    result = cli("verify")
    assert result.exit_code == 4
    assert result.stderr.count("a/2 could not be compared") == 1


def test_ctrl_c_says_how_to_go_on(pair: ScriptedShop) -> None:
    pair.map.reports, pair.map.verify_waits = [report(100, "mug-1")], True
    with typed("verify", "--shard", "a", "--repair", "--server", pair.address) as command:
        command.wait_for("100/16384")
        assert "comparing a" in command.shown
        command.process.send_signal(signal.SIGINT)
        command.wait_for("stopped; `lookalike verify --shard a --repair --from 100` goes on")
        assert command.process.stdout is not None
        assert "100 slots, 200 rows compared: 1 product differs" in command.process.stdout.read()
        assert command.process.wait(timeout=30) == 130
    assert pair.map.left.wait(timeout=30)


def test_a_comparison_that_breaks_says_how_to_go_on(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports, pair.map.verify_ends = [report(100)], AWAY
    result = cli("verify")
    assert result.exit_code == 1
    assert "100 slots" in result.stdout
    assert "`lookalike verify --from 100` goes on" in result.stderr
    broken = cli("verify", "--json")
    assert (said(broken)["finished"], said(broken)["next_slot"]) == (False, 100)


def test_a_comparison_that_ends_too_early_is_no_success(cli: Cli, pair: ScriptedShop) -> None:
    pair.map.reports = [report(100)]
    result = cli("verify")
    assert result.exit_code == 1
    assert "ended the comparison before it was done" in result.stderr
    assert "`lookalike verify --from 100` goes on" in result.stderr


def test_a_comparison_without_a_server_is_3(cli: Cli) -> None:
    result = cli("verify", "--server", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (3, "")


@pytest.mark.parametrize("reason", ["STORE_UNAVAILABLE", "LEASE_LOST"])
def test_a_store_that_is_away_is_no_shard_that_is_away(cli: Cli, server: ScriptedShop, reason: str) -> None:
    server.script.calls.append(Refusal(code_pb2.UNAVAILABLE, "the store does not answer", reason))
    result = cli("replicas", "add", "a", ELSEWHERE)
    assert result.exit_code == 1
    assert "waits for the server's store" in result.stderr


def test_a_search_is_explained_shard_by_shard(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    drops = search_pb2.ShardExplanation.Drops(not_owner=3, same_product=1)
    shards = filled.explanation.shards
    shards.add(shard="a", replica="a/2", ms=4, rows=30, drops=drops, hedge="a/2", rounds=2)
    shards.add(shard="b", ms=800, retry="b/2", rounds=1, message="no answer in 0.8 s")
    result = cli("search", photo, "--explain", COLUMNS="200")
    assert result.exit_code == 0
    slow = "asked a/2 too, as it was slow: it came first; asked 2 times, as too few rows were left"
    assert lines(result.stdout, "a/2", "4.0", "30", "3 another shard's, 1 same product", slow)
    assert lines(result.stdout, "b", "800.0", "━" * 12, "asked b/2 after a failure; no answer in 0.8 s")
    told = said(cli("search", photo, "--explain", "--json"))["explanation"]["shards"]
    assert (told[0]["drops"]["not_owner"], told[1]["retry"]) == (3, "b/2")


def test_a_search_explains_nothing_unless_asked(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    assert "what happened" not in cli("search", photo).stdout
    assert said(cli("search", photo, "--json"))["explanation"] is None


def test_an_answer_that_may_lack_the_newest_says_so(cli: Cli, filled: ScriptedShop, photo: Path) -> None:
    assert cli("search", photo).stderr == ""
    filled.coverage.behind.append("b")
    filled.coverage.map_may_be_stale = True
    result = cli("search", photo)
    assert result.exit_code == 0
    assert "the newest changes may be missing from b" in result.stderr
    assert "lost touch with its store" in result.stderr
    assert "of the shop answered" not in result.stderr
