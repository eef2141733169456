"""`lookalike rebalance` and the shards' comings and goings, as a person or a program types them."""

import json
import signal
from collections.abc import Sequence

import pytest
from google.rpc import code_pb2

from lookalike.v1 import admin_pb2
from tests.client.script import AWAY, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.scripted_map import STATES
from tests.client.scripted_rebalance import JOBS, STEPS, job, plan
from tests.client.test_operating import lines
from tests.client.typed import Cli, said, typed

STOPPING = Refusal(code_pb2.UNAVAILABLE, "the server is stopping", "STOPPING")


def test_a_plan_is_a_table_and_says_that_nothing_has_changed(cli: Cli, server: ScriptedShop) -> None:
    server.map.plan = plan()
    result = cli("rebalance", "plan", "--pin", "b=0-9", "--pin", "b=12", "--batch-slots", 64, COLUMNS="120")
    assert result.exit_code == 0
    assert lines(result.stdout, "a", "3", "16,384", "12,288", "-4,096")
    assert lines(result.stdout, "b", "1", "0", "4,096", "+4,096")
    assert lines(result.stdout, "a", "b", "4,096", "400", "500.0 KB", "1.5 min")
    assert "4,096 slots (25.0%), about 400 rows and 500.0 KB, in 4 batches; about 1.5 min" in result.stdout
    assert "nothing has changed; `lookalike rebalance start --watch` with the same --pin does it" in result.stderr
    asked = server.script.requests[-1]
    assert [(one.shard, one.slots.first, one.slots.last) for one in asked.pins] == [("b", 0, 9), ("b", 12, 12)]
    assert asked.batch_slots == 64
    told = said(cli("rebalance", "plan", "--json"))
    assert (told["moved_fraction"], told["routes"][0]["target"], told["shares"][1]["slots_after"]) == (0.25, "b", 4096)


def test_a_plan_of_a_drain_says_how_to_do_it(cli: Cli, server: ScriptedShop) -> None:
    server.map.plan = plan()
    result = cli("rebalance", "plan", "--drain", "a")
    assert "`lookalike shards drain a --watch` does it" in result.stderr
    assert server.script.requests[-1].drain == "a"


@pytest.mark.parametrize("command", [["rebalance", "plan"], ["rebalance", "start"], ["rebalance", "start", "--watch"]])
def test_where_nothing_has_to_move_all_is_well(cli: Cli, command: list[str]) -> None:
    result = cli(*command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "nothing has to move: every shard has its share\n"


def test_a_rebalance_is_started_and_left_alone(cli: Cli, server: ScriptedShop) -> None:
    server.map.begins = job(rows_per_s_limit=500)
    result = cli("rebalance", "start", "--rows-per-s", 500, "--batch-slots", 8, "--pin", "b=7")
    assert result.exit_code == 0
    assert "job 3, balance: running, for 12.5 s" in result.stdout
    assert lines(result.stdout, "rows", "0 of 400, at most 500/s")
    assert "`lookalike rebalance status --watch` shows how far it is" in result.stderr
    asked = server.script.requests[-1]
    assert (asked.rows_per_s, asked.batch_slots, asked.pins[0].slots.first) == (500, 8, 7)


def test_a_job_is_shown_with_all_that_is_known(cli: Cli, server: ScriptedShop) -> None:
    server.map.job = job(1024, rows_per_s=50, eta_seconds=6, pauses=2, longest_pause_ms=250)
    server.map.job.moves.add(number=1, step=STEPS.STEP_PAUSE, source="a", target="b", slots=1024, rows=100)
    result = cli("rebalance", "status", COLUMNS="120")
    assert result.exit_code == 0
    assert "job 3, balance: running, for 12.5 s, 6.0 s left" in result.stdout
    assert lines(result.stdout, "slots", "━", "1,024 of 4,096")
    assert lines(result.stdout, "rows", "━", "100 of 400, 50/s")
    assert "1 batch of 4; writes to a batch paused 2 times, for 250 ms at most" in result.stdout
    assert lines(result.stdout, "1", "a", "b", "1,024", "100", "pause writes, prove equal")
    told = said(cli("rebalance", "status", "--json"))
    assert (told["state"], told["eta_s"], told["moves"][0]["step"]) == ("running", 6, "pause")
    assert (told["started_at"], told["ended_at"]) == ("1970-01-01T00:00:00+00:00", None)


def test_before_the_first_job_there_is_none(cli: Cli) -> None:
    for more in ([], ["--watch"]):
        result = cli("rebalance", "status", *more)
        assert result.exit_code == 0
        assert result.stdout.startswith("there was no rebalance yet; `lookalike rebalance plan`")
    assert said(cli("rebalance", "status", "--json")) is None


@pytest.mark.parametrize(
    ("state", "facts", "next_step"),
    [
        (JOBS.STATE_PAUSED, {}, "`lookalike rebalance resume` has it go on"),
        (JOBS.STATE_STOPPED, {"message": "a is away; bring it back"}, "warning: a is away; bring it back"),
        (JOBS.STATE_CANCELLED, {}, "nothing has moved"),
        (JOBS.STATE_CANCELLED, {"slots_moved": 7}, "`lookalike rebalance reverse` takes that back"),
        (JOBS.STATE_CANCELLED, {"message": "a/1 may hold rows"}, "a/1 may hold rows"),
        (JOBS.STATE_DONE, {"kind": JOBS.KIND_DRAIN, "shard": "a"}, "`lookalike shards remove a`"),
        (JOBS.STATE_DONE, {}, ""),
    ],
)
def test_a_job_says_what_to_do_next(
    cli: Cli, server: ScriptedShop, state: JOBS.State.ValueType, facts: dict[str, object], next_step: str
) -> None:
    server.map.job = job(**{"slots_moved": 0, "state": state, **facts})  # type: ignore[arg-type]
    result = cli("rebalance", "status")
    assert result.exit_code == 0
    assert next_step in result.stderr
    assert bool(result.stderr) == bool(next_step)


@pytest.mark.parametrize(
    "command", [["rebalance", "start"], ["shards", "drain", "a"], ["rebalance", "reverse"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("end", "code"),
    [(job(4096), 0), (job(state=JOBS.STATE_CANCELLED), 1), (job(state=JOBS.STATE_STOPPED, message="a is away"), 1)],
    ids=["done", "cancelled", "stopped"],
)
def test_whoever_watches_learns_how_it_ended(
    cli: Cli, server: ScriptedShop, command: Sequence[str], end: admin_pb2.RebalanceJob, code: int
) -> None:
    server.map.begins, server.map.watched = job(), [job(), job(1024), end]
    result = cli(*command, "--watch")
    assert result.exit_code == code
    assert result.stdout.count("job 3") == 1
    server.map.job = None
    told = cli(*command, "--watch", "--json")
    assert (told.exit_code, said(told)["slots_moved"], told.stderr) == (code, end.slots_moved, "")


def test_a_job_that_stops_is_not_waited_for(cli: Cli, server: ScriptedShop) -> None:
    server.map.watched, server.map.watch_waits = [job(state=JOBS.STATE_STOPPED, message="bring a back")], True
    result = cli("rebalance", "status", "--watch")
    assert result.exit_code == 1
    assert "warning: bring a back" in result.stderr
    assert server.map.unwatched.wait(timeout=30)


def test_a_cancelled_job_is_what_whoever_cancels_wants(cli: Cli, server: ScriptedShop) -> None:
    server.map.job, server.map.watched = job(), [job(state=JOBS.STATE_CANCELLED)]
    assert cli("rebalance", "cancel", "--watch").exit_code == 0
    result = cli("rebalance", "cancel")
    assert (result.exit_code, "job 3, balance: cancelling" in result.stdout) == (0, True)


def test_bars_show_how_far_it_is_and_ctrl_c_ends_only_the_watching(server: ScriptedShop) -> None:
    server.map.begins, server.map.watch_waits = job(), True
    server.map.watched = [job(2048, rows_per_s=50, eta_seconds=6)]
    with typed("rebalance", "start", "--watch", "--server", server.address) as command:
        command.wait_for("2,048 of 4,096")
        command.wait_for("50/s")
        command.process.send_signal(signal.SIGINT)
        command.wait_for("stopped watching; the job goes on")
        command.wait_for("`lookalike rebalance cancel` ends it")
        assert command.process.wait(timeout=30) == 130
    assert server.map.unwatched.wait(timeout=30)
    assert server.map.job is not None
    assert server.map.job.state == JOBS.STATE_RUNNING


@pytest.mark.parametrize("end", [STOPPING, None])
def test_watching_that_breaks_says_that_the_job_goes_on(cli: Cli, server: ScriptedShop, end: Refusal | None) -> None:
    server.map.watched, server.map.watch_ends = [job(1024)], end
    result = cli("rebalance", "status", "--watch")
    assert result.exit_code == 1
    assert "a job goes on by itself: `lookalike rebalance status --watch` shows it again" in result.stderr


def test_a_job_is_steered(cli: Cli, server: ScriptedShop) -> None:
    server.map.job = job()
    assert "job 3, balance: paused" in cli("rebalance", "pause").stdout
    assert "at most 1,500/s" in cli("rebalance", "throttle", "1500").stdout
    assert said(cli("rebalance", "throttle", "0.5", "--json"))["rows_per_s_limit"] == 0.5
    assert "job 3, balance: running" in cli("rebalance", "resume").stdout
    server.map.watched = [job(4096)]
    assert cli("rebalance", "resume", "--watch").exit_code == 0


def test_a_second_job_says_who_runs_the_first_and_how_to_see_it(cli: Cli, server: ScriptedShop) -> None:
    server.map.job = job()
    for command in (["rebalance", "start", "--watch"], ["shards", "drain", "a"], ["rebalance", "reverse"]):
        result = cli(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "job 3 (balance) is running, run by r1; `lookalike rebalance status --watch` shows it" in result.stderr
    assert json.loads(cli("rebalance", "start", "--json").stderr)["error"]["reason"] == "REBALANCE_ACTIVE"


def test_a_start_whose_answer_was_lost_says_how_to_find_out(cli: Cli, server: ScriptedShop) -> None:
    server.map.begins = job()
    server.script.lost = 1
    result = cli("rebalance", "start")
    assert result.exit_code == 3
    assert "`lookalike rebalance status` tells whether it was done" in result.stderr


def test_a_shard_that_is_away_is_named(cli: Cli, server: ScriptedShop) -> None:
    server.script.calls.append(AWAY)
    result = cli("rebalance", "start")
    assert (result.exit_code, "`lookalike shards` shows which shard is away" in result.stderr) == (1, True)


def test_a_shard_is_drained_and_removed(cli: Cli, server: ScriptedShop) -> None:
    server.map.begins = job(kind=JOBS.KIND_DRAIN, shard="a")
    result = cli("shards", "drain", "a", "--rows-per-s", 5, "--batch-slots", 8)
    assert (result.exit_code, "job 3, drain of a: running" in result.stdout) == (0, True)
    asked = server.script.requests[-1]
    assert (asked.shard, asked.rows_per_s, asked.batch_slots, asked.undo) == ("a", 5, 8, False)
    refused = cli("shards", "remove", "a")
    assert (refused.exit_code, "`lookalike shards drain a`" in refused.stderr) == (1, True)
    server.map.shards["a"].shard.slots = 0
    removed = cli("shards", "remove", "a", "--force")
    assert (removed.exit_code, removed.stdout) == (0, "removed shard a; its servers may be stopped\n")
    assert server.script.requests[-1].force


def test_a_shard_that_owns_nothing_is_drained_at_once(cli: Cli) -> None:
    result = cli("shards", "drain", "a", "--watch")
    assert (result.exit_code, result.stdout) == (0, "a owns no slots, and gets none from now on\n")
    assert "`lookalike shards remove a`" in result.stderr
    assert said(cli("shards", "drain", "a", "--json")) is None


def test_a_drain_is_undone(cli: Cli, server: ScriptedShop) -> None:
    result = cli("shards", "drain", "a", "--undo")
    assert (result.exit_code, result.stdout) == (0, "a may own slots again\n")
    assert server.script.requests[-1].undo
    assert said(cli("shards", "drain", "a", "--undo", "--json")) == {"shard": "a", "draining": False}


def test_a_shard_that_is_drained_is_shown_so(cli: Cli, server: ScriptedShop) -> None:
    server.map.shards["a"].shard.draining = True
    assert lines(cli("shards", COLUMNS="120").stdout, "a", "16,384, draining", "a/1")
    assert said(cli("shards", "--json"))[0]["shard"]["draining"]


def test_rows_in_wrong_places_fail_the_command_unless_deleted(cli: Cli, server: ScriptedShop) -> None:
    stray = admin_pb2.StrayRows(replica="a/1", rows=1200)
    server.map.strays = [[], [stray], [admin_pb2.StrayRows(replica="b/1")]]
    result = cli("rebalance", "verify")
    assert result.exit_code == 1
    assert lines(result.stdout, "a/1", "1,200", "0")
    assert "1,200 rows are in wrong places; `lookalike rebalance verify --repair` deletes them" in result.stderr
    stray.deleted = 1200
    server.map.strays = [[stray]]
    result = cli("rebalance", "verify", "--repair", "--json")
    assert (result.exit_code, said(result)) == (
        0,
        [{"replica": "a/1", "rows": 1200, "deleted": 1200, "message": ""}],
    )
    assert server.script.requests[-1].repair


def test_a_replica_that_could_not_be_asked_is_no_success(cli: Cli, server: ScriptedShop) -> None:
    server.map.strays = [[admin_pb2.StrayRows(replica="a/1", message="connection refused")]]
    result = cli("rebalance", "verify")
    assert result.exit_code == 4
    assert lines(result.stdout, "a/1", "?")
    assert "a/1 could not be asked: connection refused; bring it back" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["rebalance", "start", "--rows-per-s", "-1"],
        ["rebalance", "start", "--batch-slots", "16385"],
        ["rebalance", "start", "--pin", "a"],
        ["rebalance", "plan", "--pin", "a=first-last"],
        ["rebalance", "throttle"],
        ["rebalance", "throttle", "fast"],
        ["rebalance", "stop"],
        ["shards", "drain"],
        ["shards", "remove"],
    ],
    ids=" ".join,
)
def test_a_command_that_makes_no_sense_is_2_and_asks_no_server(
    cli: Cli, server: ScriptedShop, wrong: list[str]
) -> None:
    result = cli(*wrong)
    assert (result.exit_code, server.script.requests) == (2, [])
    assert result.stderr


def test_doctor_tells_of_a_job_that_needs_somebody(cli: Cli, filled: ScriptedShop) -> None:
    def check() -> tuple[str, str, str]:
        checks = said(cli("doctor", "--json"))["checks"]
        one = next(one for one in checks if one["name"] == "rebalance")
        return one["state"], one["seen"], one["advice"]

    assert filled.map.shards["a"].state == STATES.STATE_HEALTHY
    assert check() == ("ok", "none is active", "")
    filled.map.job = job(1024)
    assert check() == ("ok", "job 3 is running, 1,024 of 4,096 slots have moved", "")
    filled.map.job = job(state=JOBS.STATE_PAUSED)
    assert check()[0::2] == ("warning", "`lookalike rebalance resume` has it go on")
    filled.map.job = job(state=JOBS.STATE_STOPPED, message="bring a back")
    assert check()[0::2] == ("failed", "bring a back")
