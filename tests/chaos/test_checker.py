"""Tests what the checker calls broken, and that it calls nothing else so."""

from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.history import (
    Claim,
    Event,
    Fault,
    Outcome,
    Read,
    Recorder,
    ReplicaRead,
    Settled,
    Shop,
    Shown,
    Trespass,
    Write,
    load,
    save,
)

OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN
SHOP = Shop({"a": 3, "b": 1}, {"p": "a", "q": "b"})
WHOLE = Claim(2, 2, 1.0)


def put(
    marker: str, begun_s: float, ended_s: float, outcome: Outcome = OK, *, request: str = "", answer: str = "created"
) -> Write:
    return Write(request or f"put {marker}", "p", marker, begun_s, ended_s, outcome, answer)


def cut(begun_s: float, ended_s: float, outcome: Outcome = OK) -> Write:
    return Write(f"cut {begun_s}", "p", "", begun_s, ended_s, outcome, "1")


def seen(*markers: str, at_s: float, claim: Claim | None = WHOLE, until_s: float | None = None) -> Read:
    return Read(at_s, at_s + 0.5 if until_s is None else until_s, tuple(Shown("p", m) for m in markers), claim)


def held(*rows: tuple[str, int], replica: str = "a/1", at_s: float = 100) -> ReplicaRead:
    return ReplicaRead(replica, "a", at_s, at_s + 1, tuple(Shown("p", marker, version) for marker, version in rows))


def broken(*events: Event) -> list[str]:
    return [violation.name for violation in check([SHOP, *events])]


def test_a_quiet_shop_breaks_nothing() -> None:
    story: list[Event] = [seen(at_s=0), put("v1", 1, 2), seen("v1", at_s=3), cut(4, 5), seen(at_s=6), put("v2", 7, 8)]
    assert broken(*story, seen("v2", at_s=9), held(("v2", 3)), Settled(200, 0, ())) == []


def test_a_read_during_a_write_may_show_either() -> None:
    assert broken(put("v1", 1, 2), put("v2", 4, 6), seen("v1", at_s=5), seen("v2", at_s=5), seen("v1", at_s=5)) == []


def test_writes_at_the_same_time_may_end_in_any_order() -> None:
    assert broken(put("v1", 1, 5), put("v2", 2, 4), seen("v1", at_s=6)) == []
    assert broken(put("v1", 1, 5), put("v2", 2, 4), seen("v2", at_s=6)) == []


def test_equal_times_say_nothing_about_the_order() -> None:
    assert broken(put("v1", 1, 2), put("v2", 2, 3), seen("v1", at_s=4)) == []
    assert broken(put("v1", 1, 2), put("v2", 3, 4), seen("v1", at_s=4)) == []


def test_a_write_of_unknown_outcome_may_show_late_or_never() -> None:
    assert broken(put("v1", 1, 2), put("v2", 3, 4, UNKNOWN), seen("v1", at_s=5), seen("v2", at_s=50)) == []
    assert broken(put("v1", 1, 2), put("v2", 3, 4, UNKNOWN), seen("v1", at_s=50), held(("v1", 1))) == []


def test_a_delete_of_unknown_outcome_may_show_late_or_never() -> None:
    assert broken(put("v1", 1, 2), cut(3, 4, UNKNOWN), seen("v1", at_s=5), seen(at_s=50)) == []


def test_a_write_of_unknown_outcome_never_shows_after_a_later_acknowledged_one() -> None:
    assert broken(put("v1", 1, 2, UNKNOWN), put("v2", 3, 4), seen("v1", at_s=5)) == ["StaleAnswer"]
    assert broken(put("v1", 1, 2, UNKNOWN), cut(3, 4), seen("v1", at_s=5)) == ["RevivedProduct"]
    assert broken(cut(1, 2, UNKNOWN), put("v1", 3, 4), seen(at_s=5)) == ["WrongCoverage"]


def test_a_write_of_unknown_outcome_that_could_still_begin_may_show() -> None:
    assert broken(put("v1", 1, 10, UNKNOWN), put("v2", 3, 4), seen("v1", at_s=11)) == []


def test_an_older_write_shown_is_stale() -> None:
    assert broken(put("v1", 1, 2), put("v2", 3, 4), seen("v1", at_s=5)) == ["StaleAnswer"]


def test_the_same_break_is_said_once() -> None:
    story = [put("v1", 1, 2), put("v2", 3, 4)]
    assert broken(*story, *(seen("v1", at_s=at_s) for at_s in range(5, 50))) == ["StaleAnswer"]


def test_a_deleted_product_shown_is_revived() -> None:
    assert broken(put("v1", 1, 2), cut(3, 4), seen("v1", at_s=5)) == ["RevivedProduct"]


def test_a_deleted_product_shown_is_revived_even_by_a_shard_that_is_said_to_be_behind() -> None:
    behind = Claim(2, 2, 1.0, behind=("a",))
    assert broken(put("v1", 1, 2), cut(3, 4), seen("v1", at_s=5, claim=behind)) == ["RevivedProduct"]


def test_a_shard_that_is_said_to_be_behind_may_lack_writes() -> None:
    behind = Claim(2, 2, 1.0, behind=("a",))
    story = [put("v1", 1, 2), put("v2", 3, 4)]
    assert broken(*story, seen("v1", at_s=5, claim=behind), seen(at_s=5, claim=behind)) == []
    other = Claim(2, 2, 1.0, behind=("b",))
    assert broken(*story, seen("v1", at_s=5, claim=other)) == ["StaleAnswer"]


def test_a_stale_answer_that_says_so_may_be_old_but_not_invented() -> None:
    stale = Claim(2, 2, 1.0, stale=True)
    assert broken(put("v1", 1, 2), cut(3, 4), seen("v1", at_s=5, claim=stale)) == []
    assert broken(put("v1", 1, 2), seen("v9", at_s=5, claim=stale)) == ["PhantomProduct"]


def test_a_stale_answer_goes_by_owners_of_any_earlier_moment_and_another_by_those_of_now() -> None:
    moved = Shop({"a": 2, "b": 1, "c": 1}, {"p": "a", "q": "b"}, at_s=50)
    told = [Claim(asked, asked, 1.0, stale=stale) for stale in (True, False) for asked in (2, 3, 4)]
    late = [broken(moved, seen(at_s=100, claim=claim)) for claim in told]
    assert late == [[], [], ["WrongCoverage"], ["WrongCoverage"], [], ["WrongCoverage"]]
    assert broken(moved, seen(at_s=10, claim=Claim(3, 3, 1.0, stale=True))) == ["WrongCoverage"]


def test_a_product_missing_from_an_answer_that_claims_to_cover_it_is_wrong_coverage() -> None:
    assert broken(put("v1", 1, 2), seen(at_s=3)) == ["WrongCoverage"]


def test_a_product_that_a_look_up_does_not_find_is_lost() -> None:
    assert broken(put("v1", 1, 2), seen(at_s=3, claim=None)) == ["LostWrite"]


def test_an_answer_is_judged_only_on_what_was_asked_of_it() -> None:
    assert broken(put("v1", 1, 2), Read(3, 4, (), WHOLE, scope=("q",))) == []


def test_a_product_twice_in_an_answer_is_doubled() -> None:
    assert broken(put("v1", 1, 2), seen("v1", "v1", at_s=3)) == ["DoubledProduct"]


@pytest.mark.parametrize(
    "story",
    [
        [seen("v1", at_s=1)],
        [put("v1", 1, 2, REFUSED), seen("v1", at_s=3)],
        [seen("v1", at_s=1), put("v1", 3, 4)],
        [held(("v1", 1))],
        [Read(1, 2, (Shown("stranger", "v1"),), WHOLE)],
    ],
    ids=["nobody wrote it", "it was refused", "it came later", "on a replica", "of an unknown product"],
)
def test_what_nobody_wrote_is_a_phantom(story: list[Event]) -> None:
    assert "PhantomProduct" in broken(*story)


def test_a_refused_write_has_no_effect() -> None:
    assert broken(put("v1", 1, 2), put("v2", 3, 4, REFUSED), seen("v1", at_s=5)) == []


@pytest.mark.parametrize(
    "claim",
    [
        Claim(2, 1, 1.0),
        Claim(1, 1, 1.0),
        Claim(2, 2, 0.75),
        Claim(2, 1, 0.75, missing=("a",)),
        Claim(2, 2, 1.0, behind=("c",)),
    ],
)
def test_coverage_that_contradicts_itself_or_the_map_is_wrong(claim: Claim) -> None:
    assert "WrongCoverage" in broken(Read(1, 2, (), claim))


def test_a_shard_that_is_said_to_be_missing_shows_nothing_and_owes_nothing() -> None:
    without = Claim(2, 1, 0.25, missing=("a",))
    assert broken(put("v1", 1, 2), seen(at_s=3, claim=without)) == []
    assert broken(put("v1", 1, 2), seen("v1", at_s=3, claim=without)) == ["WrongCoverage"]


def test_a_request_answered_in_two_ways_took_effect_twice() -> None:
    again = put("v1", 3, 4, answer="unchanged")
    assert broken(put("v1", 1, 2), again) == ["RepeatedEffect"]
    assert broken(put("v1", 1, 2), put("v1", 3, 4, REFUSED, answer="not found")) == ["RepeatedEffect"]


def test_a_request_answered_once_and_lost_once_is_one_write() -> None:
    assert broken(put("v1", 1, 2, UNKNOWN, answer="timed out"), put("v1", 3, 4), seen("v1", at_s=5)) == []
    assert broken(put("v1", 1, 2), put("v1", 3, 9, UNKNOWN, answer=""), put("v2", 4, 5), seen("v2", at_s=6)) == []


def test_a_request_sent_again_that_replaces_a_later_write_took_effect_twice() -> None:
    story = [put("v1", 1, 2), put("v2", 3, 4), put("v1", 5, 6)]
    assert broken(*story, seen("v2", at_s=7)) == []
    assert broken(*story, seen("v1", at_s=7)) == ["RepeatedEffect"]


def test_one_write_under_two_versions_took_effect_twice() -> None:
    assert broken(put("v1", 1, 2), held(("v1", 5), ("v1", 6))) == ["RepeatedEffect"]


def test_a_write_on_a_replica_again_after_it_was_seen_to_be_replaced_took_effect_twice() -> None:
    story = [put("v1", 1, 2), put("v2", 3, 4)]
    assert broken(*story, seen("v2", at_s=5), held(("v1", 9))) == ["RepeatedEffect"]


def test_an_acknowledged_write_that_a_replica_lacks_is_lost() -> None:
    assert broken(put("v1", 1, 2), held()) == ["LostWrite"]
    assert broken(put("v1", 1, 2), put("v2", 3, 4), held(("v1", 1))) == ["LostWrite"]


def test_an_older_version_beside_the_newest_on_a_replica_is_no_loss() -> None:
    assert broken(put("v1", 1, 2), put("v2", 3, 4), held(("v2", 2), ("v1", 1))) == []


def test_a_deleted_product_on_a_replica_is_revived() -> None:
    assert broken(put("v1", 1, 2), cut(3, 4), held(("v1", 1))) == ["RevivedProduct"]


def test_replicas_that_hold_different_rows_have_diverged() -> None:
    story = [put("v1", 1, 2), put("v2", 3, 4)]
    pair = [held(("v2", 2)), held(("v2", 2), ("v1", 1), replica="a/2")]
    assert broken(*story, *pair) == ["DivergedReplicas"]
    assert broken(*story, held(("v2", 2)), held(("v2", 2), replica="a/2")) == []


def test_a_replica_that_lacks_one_of_two_pictures_has_diverged() -> None:
    assert broken(put("v1", 1, 2), held(("v1", 1), ("v1", 1)), held(("v1", 1), replica="a/2")) == ["DivergedReplicas"]


def test_what_lies_on_a_shard_that_does_not_own_it_is_not_compared() -> None:
    stray = ReplicaRead("a/1", "a", 5, 6, (Shown("q", "old", 1),))
    assert broken(stray) == []


def test_what_the_shop_says_of_itself_in_the_end_counts() -> None:
    assert broken(Settled(9, 2, ())) == ["HintsLeft"]
    assert broken(Settled(9, 0, ("p",))) == ["DivergedReplicas"]


def test_a_server_of_somebody_else_that_was_written_to_counts() -> None:
    assert broken(Trespass(9, "a stranger at a/1 has a collection")) == ["WrongServer"]


def test_a_read_that_failed_promises_nothing() -> None:
    assert broken(put("v1", 1, 2), Read(3, 4, (), outcome=UNKNOWN)) == []


def test_a_history_reads_back_as_it_was_written(tmp_path: Path) -> None:
    told: list[Event] = [
        SHOP,
        put("v1 ü", 1, 2.5, UNKNOWN),
        seen("v1", at_s=3, claim=Claim(2, 1, 0.25, ("a",), ("b",), True)),
        Read(1, 2, (), None, ("p",), UNKNOWN, "router 1: deadline"),
        held(("v1", 7)),
        Settled(9, 1, ("p",)),
        Trespass(4, "a stranger"),
        Fault(2, "kill", "a/1"),
    ]
    save(told, tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == told


def test_a_recorder_keeps_events_in_order() -> None:
    recorder = Recorder(lambda: 1.0)
    recorder.add(SHOP)
    recorder.add(cut(1, 2))
    assert recorder.events() == [SHOP, cut(1, 2)]
