"""Whom to ask, as a pure function of what is known; and that extra calls never go beyond their share."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.choice import (
    EXTRA_AT_FIRST,
    EXTRA_MAX,
    EXTRA_SHARE,
    HEDGE_LEAST_S,
    HEDGE_UNKNOWN_S,
    Budget,
    choose,
    hedge_after_s,
)
from lookalike_router.errors import ShardUnreachable
from lookalike_router.health import FAILURES_OPEN, OPEN_S, SAMPLE_OLD_S, SAMPLES_LEAST
from lookalike_router.memory import MemoryShard
from lookalike_router.replica import Away, InUse, Replica
from lookalike_router.shard import Probe
from lookalike_router.store import Sync

NOW = 100.0


def replica(
    number: int = 1,
    sync: Sync = Sync.IN_SYNC,
    *,
    away: bool = False,
    took_s: float | None = 0.004,
    in_flight: int = 0,
    failures: int = 0,
    searched_at: float = NOW - 1.0,
) -> Replica:
    """Return a replica of which this much is known."""
    made = Replica(MemoryShard(f"a/{number}"), sync, "shop")
    made.state = Away(ShardUnreachable(made.name, "is down")) if away else InUse(Probe("memory", groups=False))
    if took_s is not None:
        made.health.answered(made.health.begin(searched_at - took_s, measured=True), searched_at)
    for _ in range(failures):
        flight = made.health.begin(searched_at, measured=True)
        made.health.failed(flight, searched_at, heard=True, blamed=True)
    for _ in range(in_flight):
        made.health.begin(NOW, measured=True)
    return made


REPLICAS = st.builds(
    replica,
    number=st.integers(1, 9),
    sync=st.sampled_from(Sync),
    away=st.booleans(),
    took_s=st.none() | st.sampled_from([0.001, 0.004, 0.3]),
    in_flight=st.integers(0, 3),
    failures=st.sampled_from([0, 1, FAILURES_OPEN]),
    searched_at=st.sampled_from([NOW - 0.5, NOW - OPEN_S - 1, NOW - SAMPLE_OLD_S - 1]),
)
GROUPS = st.lists(REPLICAS, min_size=1, max_size=4)


@given(GROUPS, st.booleans())
def test_everyone_who_can_answer_is_asked_and_nobody_else(group: list[Replica], exact: bool) -> None:
    able = [
        one
        for one in group
        if isinstance(one.state, InUse) and (one.sync is Sync.IN_SYNC or (one.sync is Sync.BEHIND and not exact))
    ]
    order = choose(group, NOW, exact=exact).order
    assert len(order) == len(able)
    assert {id(one) for one in order} == {id(one) for one in able}


@given(GROUPS)
def test_who_lacks_writes_comes_last_and_whose_breaker_is_open_before_them(group: list[Replica]) -> None:
    ranks = [(one.sync is Sync.BEHIND, one.health.open) for one in choose(group, NOW, exact=False).order]
    assert ranks == sorted(ranks)


@given(GROUPS)
def test_among_equals_latency_times_load_decides(group: list[Replica]) -> None:
    for one, other in itertools.pairwise(choose(group, NOW, exact=False).order):
        alike = (one.sync, one.health.open) == (other.sync, other.health.open)
        if alike and one.health.ewma_s is not None and other.health.ewma_s is not None:
            assert one.health.cost_s(NOW, 0) <= other.health.cost_s(NOW, 0)


@given(GROUPS)
def test_a_shadow_goes_to_one_that_holds_everything_is_not_asked_anyway_and_wants_a_search(
    group: list[Replica],
) -> None:
    choice = choose(group, NOW, exact=False)
    if choice.shadow is not None:
        assert choice.shadow in choice.order[1:]
        assert choice.shadow.sync is Sync.IN_SYNC
        assert choice.shadow.health.wants_search(NOW)
    else:
        others = [one for one in choice.order[1:] if one.sync is Sync.IN_SYNC]
        assert not any(one.health.wants_search(NOW) for one in others)


def test_the_busy_one_gives_way_once_its_load_outweighs_its_speed() -> None:
    slow = replica(2, took_s=0.010)
    assert choose([replica(1, in_flight=1), slow], NOW, exact=False).order[0].name == "a/1"
    assert choose([replica(1, in_flight=2), slow], NOW, exact=False).order[0].name == "a/2"


def test_one_never_searched_is_taken_for_as_fast_as_the_fastest_and_draws_no_crowd() -> None:
    new = replica(1, took_s=None, in_flight=1)
    assert choose([new, replica(2)], NOW, exact=False).order[0].name == "a/2"


def test_the_breaker_of_the_last_one_left_is_not_heeded() -> None:
    broken, away = replica(1, failures=FAILURES_OPEN), replica(2, away=True)
    assert broken.health.open
    assert choose([broken, away], NOW, exact=False).order == [broken]
    behind = replica(3, Sync.BEHIND)
    assert choose([behind, broken], NOW, exact=False).order == [broken, behind]


def test_a_half_open_breaker_and_an_old_sample_get_a_shadow() -> None:
    good = replica(1)
    half_open = replica(2, failures=FAILURES_OPEN, searched_at=NOW - OPEN_S)
    assert choose([good, half_open], NOW, exact=False).shadow is half_open
    just_opened = replica(2, failures=FAILURES_OPEN, searched_at=NOW - OPEN_S / 2)
    assert choose([good, just_opened], NOW, exact=False).shadow is None
    forgotten = replica(2, took_s=0.3, searched_at=NOW - SAMPLE_OLD_S)
    assert choose([good, forgotten], NOW, exact=False).shadow is forgotten


def test_a_hedge_waits_for_the_p95_of_the_fastest_and_never_less_than_the_loop_can_tell() -> None:
    def of(took_s: float) -> Replica:
        one = replica(took_s=None)
        for i in range(SAMPLES_LEAST):
            one.health.answered(one.health.begin(i, measured=True), i + took_s)
        return one

    assert hedge_after_s([replica(), replica()]) == HEDGE_UNKNOWN_S
    assert hedge_after_s([of(0.25), of(0.5)]) == 0.25
    assert hedge_after_s([of(0.25), replica()]) == 0.25
    assert hedge_after_s([of(0.001)]) == HEDGE_LEAST_S


@given(st.lists(st.sampled_from(["earn", "spend"]), max_size=2000), st.integers(0, 500))
def test_extra_calls_never_go_beyond_their_share_and_one_burst(steps: list[str], quiet: int) -> None:
    budget = Budget()
    for _ in range(quiet):
        budget.earn()
    extra: list[int] = []
    earned: list[int] = []
    for step in steps:
        if step == "earn":
            budget.earn()
        earned.append(step == "earn")
        extra.append(step == "spend" and budget.spend())
    # Over every stretch of time, however it was saved up before.
    for start in range(0, len(steps), 97):
        assert sum(extra[start:]) <= EXTRA_MAX + EXTRA_SHARE * sum(earned[start:]) + 1e-6


def test_a_new_router_may_hedge_and_one_that_hedges_always_is_held_to_the_share() -> None:
    budget = Budget()
    assert sum(budget.spend() for _ in range(100)) == EXTRA_AT_FIRST
    made = 0
    for _ in range(1000):
        budget.earn()
        made += budget.spend()
    assert made == 1000 * EXTRA_SHARE
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == EXTRA_MAX
