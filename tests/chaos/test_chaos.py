"""Breaks a real shop for a short while; `make chaos` does it for as long as wanted."""

import sys

from tests.chaos.cast import Plan
from tests.chaos.disk import can_mount
from tests.chaos.grpc_proxy import Odds
from tests.chaos.nemesis import Tempo
from tests.chaos.runner import Played, Told, play
from tests.chaos.workload import Pace

SEED = 20260
FAULTS_S = 50.0
# A busy machine takes longer for them.
FAULTS_LEAST = {"kills": 10, "pauses": 2, "partitions": 2}
HARSH_S = 10.0
HARSH = Odds(double=0.3, lose=0.3)
LOST_LEAST = DOUBLED_LEAST = WRITES_LEAST = 20


def say(text: str) -> None:
    print(text, file=sys.stderr)


def verdict(played: Played) -> list[str]:
    """Return the broken promises; a run without any is forgotten."""
    broken = [f"{one.name} {one.product}: {one.says}" for one in played.violations]
    if broken:
        say(f"the history and every log: {played.history.parent}")
    else:
        played.forget()
    return broken


def test_a_shop_whose_processes_die_stop_and_lose_each_other_keeps_every_promise() -> None:
    plan = Plan(small_disk=can_mount())
    tempo = Tempo(pause_s=1.0, wipe_every_s=30)
    played = play(Told(FAULTS_S, SEED, plan, tempo=tempo, at_least=FAULTS_LEAST), say)
    assert verdict(played) == []
    assert {kind for kind, least in FAULTS_LEAST.items() if played.counts.get(kind, 0) < least} == set()


def test_with_a_third_of_replies_lost_and_of_requests_doubled_each_write_takes_effect_once() -> None:
    played = play(Told(HARSH_S, SEED, odds=HARSH, pace=Pace(write_pause_s=0.03), tempo=None), say)
    assert verdict(played) == []
    assert played.counts["writes"] >= WRITES_LEAST
    assert played.counts["lost_replies"] >= LOST_LEAST
    assert played.counts["doubled_requests"] >= DOUBLED_LEAST
