"""Holds the checker against a shop that is right by construction, and against the same with one thing broken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.checker import check
from tests.chaos.history import Claim, Event, Outcome, Read, ReplicaRead, Shop, Shown, Write

SHOP = Shop({"a": 3, "b": 1}, {"p": "a", "q": "b"})
WHOLE = Claim(2, 2, 1.0)
END_S = 1000.0


@dataclass(frozen=True)
class Plan:
    """A call and the moment at which it takes effect; None: never."""

    write: Write
    effect_s: float | None


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    """Draw overlapping writes of two products, each with its one effect while it is under way."""
    count = draw(st.integers(0, 12))
    return [draw(plan(number)) for number in range(count)]


@st.composite
def plan(draw: st.DrawFn, number: int) -> Plan:
    """Draw one write; its number makes its times its own."""
    product = draw(st.sampled_from(["p", "q"]))
    begun_s, lead_s, lag_s = (draw(st.integers(low, 20)) for low in (1, 0, 0))
    effect_s = begun_s + lead_s + number / 100
    outcome = draw(st.sampled_from(Outcome))
    marker = "" if draw(st.booleans()) else f"v{number}"
    write = Write(f"r{number}", product, marker, begun_s, effect_s + lag_s, outcome, "done")
    happens = outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and draw(st.booleans()))
    return Plan(write, effect_s if happens else None)


def state(plans: Sequence[Plan], at_s: float) -> dict[str, Shown]:
    """Return what the shop holds at a moment; a version is the effect's moment."""
    held: dict[str, Shown] = {}
    done = [(plan.effect_s, plan.write) for plan in plans if plan.effect_s is not None and plan.effect_s <= at_s]
    for effect_s, write in sorted(done, key=lambda one: one[0]):
        held.pop(write.product, None)
        if write.marker:
            held[write.product] = Shown(write.product, write.marker, round(effect_s * 100))
    return held


def read_at(plans: Sequence[Plan], at_s: float, around_s: tuple[int, int] = (0, 0)) -> Read:
    """Return a read that looks at one moment of the time that it takes."""
    return Read(at_s - around_s[0], at_s + around_s[1], tuple(state(plans, at_s).values()), WHOLE)


def replicas(plans: Sequence[Plan]) -> list[Event]:
    """Return what two replicas of the first shard hold in the end."""
    shown = tuple(state(plans, END_S).values())
    return [ReplicaRead(name, "a", END_S, END_S, shown) for name in ("a/1", "a/2")]


def broken(events: Sequence[Event]) -> set[str]:
    return {violation.name for violation in check([SHOP, *events])}


moments = st.lists(st.tuples(st.integers(0, 60), st.tuples(st.integers(0, 9), st.integers(0, 9))), max_size=12)


@given(plans(), moments)
def test_a_shop_where_each_write_takes_effect_once_breaks_nothing(
    plans: list[Plan], moments: list[tuple[int, tuple[int, int]]]
) -> None:
    reads = [read_at(plans, at_s, around_s) for at_s, around_s in moments]
    assert broken([*(plan.write for plan in plans), *reads, *replicas(plans)]) == set()


@given(plans(), st.integers(0, 60))
def test_a_request_sent_again_with_the_same_answer_breaks_nothing(plans: list[Plan], later_s: int) -> None:
    again = [
        replace(plan.write, invoked_s=plan.write.ended_s + later_s, ended_s=plan.write.ended_s + later_s + 1)
        for plan in plans
        if plan.write.outcome is Outcome.OK
    ]
    assert broken([*(plan.write for plan in plans), *again, read_at(plans, END_S), *replicas(plans)]) == set()


def with_last(plans: Sequence[Plan], marker: str) -> list[Plan]:
    """Return the plans and a last, acknowledged write of "p"."""
    return [*plans, Plan(Write("last", "p", marker, 500, 502, Outcome.OK, "done"), 501)]


@given(plans())
def test_whatever_was_overwritten_and_is_shown_again_is_called_stale(plans: list[Plan]) -> None:
    all_plans = with_last(plans, "last")
    writes = [plan.write for plan in all_plans]
    for old in (w for w in writes[:-1] if w.product == "p" and w.marker and w.outcome is not Outcome.REFUSED):
        assert broken([*writes, Read(600, 601, (Shown("p", old.marker),), WHOLE, ("p",))]) == {"StaleAnswer"}


@given(plans())
def test_whatever_was_deleted_and_is_shown_again_is_called_revived(plans: list[Plan]) -> None:
    all_plans = with_last(plans, "")
    writes = [plan.write for plan in all_plans]
    for old in (w for w in writes[:-1] if w.product == "p" and w.marker and w.outcome is not Outcome.REFUSED):
        assert broken([*writes, Read(600, 601, (Shown("p", old.marker),), WHOLE, ("p",))]) == {"RevivedProduct"}


@given(plans())
def test_a_last_write_that_one_replica_lacks_is_called_lost_and_the_replicas_diverged(plans: list[Plan]) -> None:
    all_plans = with_last(plans, "last")
    whole, other = replicas(all_plans)
    assert isinstance(other, ReplicaRead)
    lacking = replace(other, shown=tuple(one for one in other.shown if one.product != "p"))
    writes = [plan.write for plan in all_plans]
    assert broken([*writes, whole, lacking]) == {"LostWrite", "DivergedReplicas"}


@given(plans())
def test_a_product_left_out_of_an_answer_is_called_wrong_coverage_unless_its_shard_is_said_to_be_missing(
    plans: list[Plan],
) -> None:
    all_plans = with_last(plans, "last")
    whole = read_at(all_plans, END_S)
    short = replace(whole, shown=tuple(one for one in whole.shown if one.product != "p"))
    writes = [plan.write for plan in all_plans]
    assert broken([*writes, short]) == {"WrongCoverage"}
    assert broken([*writes, replace(short, claim=Claim(2, 1, 0.25, missing=("a",)))]) == set()
