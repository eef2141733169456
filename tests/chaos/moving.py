"""Kills whoever has to do with a rebalance at each of its steps, and says which promises the shop kept.

    python -m tests.chaos.moving --rounds 40 --seed 1

Every round moves slots between real shards through two routers, which callers write and search through all the while,
and strikes once, when a move reaches a step. Rounds walk through all victims and steps: forty meet each pair once.
Before a step that follows the copying a write is slipped in. Without the proof (`--without proof`) rows must get lost.
"""

import argparse
import asyncio
import json
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lookalike import LookalikeError
from lookalike_router.failpoints import NAMES
from lookalike_router.jobs import Job, JobState
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.sql_store import SqlStore
from tests.chaos.__main__ import PROMISES, SHOWN_MAX, say
from tests.chaos.backdoor import Backdoor
from tests.chaos.background import Background
from tests.chaos.cast import Cast, Plan
from tests.chaos.checker import Violation, check
from tests.chaos.faults import Faults
from tests.chaos.grpc_proxy import Odds
from tests.chaos.halting import Halt, Halts
from tests.chaos.history import Outcome, Recorder, Write, save
from tests.chaos.operating import Operator
from tests.chaos.owners import Owners, owners
from tests.chaos.runner import PRODUCTS, calls, shop_of
from tests.chaos.settling import look, settle
from tests.chaos.striking import VICTIMS, Striker, standing
from tests.chaos.surgery import Surgeon
from tests.chaos.workload import RETRY, WRITE_S, Order, Pace, Workload, sent, universe

SPARE = "d"
POLL_S = 0.02
# A move waits until nothing of the job before can arrive any more, and others are before it.
REACH_S = 90.0
# A router hears of a cancellation within a quarter of a second.
HEARD_S = 1.0
SLIPPED_BEFORE = ("pause", "prove", "flip", "seen", "clean")
Pair = tuple[str, str]
"""A victim and a step."""


@dataclass(frozen=True)
class Told:
    """What a run is told."""

    pairs: Sequence[Pair]
    """One round each."""
    seed: int
    postgres: bool = False
    without: str = ""
    hasty: bool = False
    """Whether calls and what waits for late ones end sooner than in production."""


@dataclass(frozen=True)
class Played:
    """What came of a run."""

    violations: list[Violation]
    counts: dict[str, int]
    strikes: Counter[Pair]
    home: Path
    """The history and the logs of all processes."""

    def forget(self) -> None:
        """Delete all that the run wrote."""
        shutil.rmtree(self.home)


def pairs(seed: int, victims: Sequence[str] = VICTIMS) -> Iterator[Pair]:
    """Yield victims and steps for ever: all of them in some order, and again in another one."""
    dice = random.Random(f"{seed} pairs")
    every = [(victim, step) for victim in victims for step in NAMES]
    while True:
        yield from dice.sample(every, len(every))


class Rounds:
    """Plays rounds on a shop that serves."""

    def __init__(self, cast: Cast, faults: Faults, store: SqlStore, recorder: Recorder, seed: int) -> None:
        """Take the shop, its store, and where to note the slipped writes."""
        self._cast = cast
        self._recorder = recorder
        self._dice = random.Random(f"{seed} rounds")
        self._striker = Striker(cast, faults, self._dice)
        self._halts = Halts(cast.home)
        self.operator = Operator(cast, store)
        self.operator.asked(lambda shop: shop.add_shard(SPARE, cast.addresses()[SPARE]))
        self.owners = Owners(self.operator.asked(lambda shop: shop.topology()))
        self.strikes: Counter[Pair] = Counter()
        self.counts: Counter[str] = Counter()
        self.slipped: list[str] = []

    def play(self, victim: str, step: str) -> Job:
        """Play one round; return its job, which has ended."""
        before = "copy" if step == "undo" else "catch_up" if step in SLIPPED_BEFORE else ""
        first = self._halts.arm(before or step)
        drained = self._dice.choice(sorted(self._cast.addresses()))
        job = self.operator.begin(drained)
        halt = first
        if before and self._halted(first, job):
            if step == "undo":
                self.operator.cancel(job.number)
                self._cast.stop.wait(HEARD_S)
            else:
                self._slip(job.number)
            halt = self._halts.arm(step)
            first.release()
        if self._halted(halt, job):
            now = self.operator.job()
            move = standing(now, step) if now is not None and now.number == job.number else None
            if move is not None:
                back = self._striker.strike(victim, halt.router, move)
                self.strikes[victim, step] += 1
                halt.release()
                back.result()
        halt.release()
        self._halts.disarm()
        return self._ended(job.number)

    def _halted(self, halt: Halt, job: Job) -> bool:
        """Say whether a router waits there, before the job ends."""
        until = time.monotonic() + REACH_S
        while not halt.router and time.monotonic() < until:
            now = self.operator.job()
            if now is None or now.number != job.number or not now.state.active:
                break
            time.sleep(POLL_S)
        return bool(halt.router)

    def _ended(self, number: int) -> Job:
        job = self.operator.follow(number)
        self.counts["jobs_done"] += job.state is JobState.DONE
        self.counts["jobs_cancelled"] += job.state is JobState.CANCELLED
        self.counts["batches_moved"] += self.owners.follow(job, time.time() - self._recorder.now_s())
        self.counts["pauses"] += sum(move.pauses for move in job.moves)
        self.counts["strays_left"] += self.operator.tidied()
        real = owners(self.operator.asked(lambda shop: shop.topology()))
        self.counts["maps_wrong"] += real != self.owners.now
        return job

    def _slip(self, number: int) -> None:
        """Write a product of a batch that was copied and is not proven yet; it is never written again."""
        now = self.operator.job()
        move = standing(now, "catch_up") if now is not None and now.number == number else None
        if move is None:
            return
        slots = {slot for run in move.batch.slots for slot in range(run.first, run.last + 1)}
        name = f"s{len(self.slipped)}"
        product = next(one for one in (f"{name}-{turn}" for turn in range(100 * SLOTS)) if slot_of(one) in slots)
        order = Order(f"request-{name}", product, f"slipped-{name}", 1)
        begun_s = self._recorder.now_s()
        outcome, answer, ended_s = Outcome.OK, "", begun_s
        try:
            answer = self.operator.asked(lambda shop: sent(shop, order))
            ended_s = self._recorder.now_s()
        except LookalikeError as unknown:
            outcome, answer, ended_s = Outcome.UNKNOWN, str(unknown), self._recorder.now_s() + WRITE_S
        self._recorder.add(Write(order.request, product, order.marker, begun_s, ended_s, outcome, answer))
        self.slipped.append(product)
        self.counts["slipped"] += outcome is Outcome.OK


def play(told: Told, say: Callable[[str], None]) -> Played:
    """Play one run; `say` hears how it goes."""
    home = Path(tempfile.mkdtemp(prefix="lookalike-strikes-"))
    recorder = Recorder(time.monotonic)
    products = universe(PRODUCTS)
    plan = Plan(3, 1, spares=1, postgres=told.postgres, without=told.without, halting=True, hasty=told.hasty)
    try:
        with Background() as background, Cast(home, background, plan, Odds(), told.seed) as cast:
            backdoor = Backdoor(asyncio.run(shop_of(cast.store_url)))
            faults = Faults(cast, recorder, threading.Event())
            surgeon = Surgeon(cast, faults, backdoor)
            with ExitStack() as opened:
                store = SqlStore(cast.store_url)
                opened.callback(lambda: background.run(store.close()))
                clients = [opened.enter_context(cast.client(router, RETRY)) for router in cast.routers]
                rounds = Rounds(cast, faults, store, recorder, told.seed)
                workload = Workload(clients, recorder, products, Pace(), told.seed)
                workload.start()
                opened.callback(workload.stop)
                for number, (victim, step) in enumerate(told.pairs, 1):
                    begun_s = time.monotonic()
                    job = rounds.play(victim, step)
                    struck = "struck" if rounds.strikes[victim, step] else "MISSED"
                    says = f"{struck}, job {job.number} ({job.kind.value}) {job.state.value}"
                    say(
                        f"{number} of {len(told.pairs)}: {victim} at {step}: {says}, {time.monotonic() - begun_s:.0f} s"
                    )
            settle(cast, surgeon, recorder)
            everything = (*products, *rounds.slipped)
            look(cast, surgeon, backdoor, everything, recorder)
            for shop in rounds.owners.shops(everything):
                recorder.add(shop)
            counts = {**rounds.counts, "kills": faults.counts["kills"], "outages": faults.counts["store_outages"]}
    finally:
        save(recorder.events(), home / "history.jsonl")
    events = recorder.events()
    return Played(check(events), counts | calls(events), rounds.strikes, home)


def line(played: Played, told: Told) -> dict[str, object]:
    """Return the last line's fields."""
    broken = Counter(violation.name for violation in played.violations)
    strikes = {victim: {step: played.strikes[victim, step] for step in NAMES} for victim in VICTIMS}
    return {
        "rounds": len(told.pairs),
        "strikes": strikes,
        "struck": played.strikes.total(),
        **played.counts,
        **{field: broken[name] for name, field in PROMISES.items()},
        "store": "PostgreSQL, killed" if told.postgres else "SQLite, locked",
        "without": told.without,
        "seed": told.seed,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Play one run; the exit code is 1 if a promise broke, or a strike did not happen."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started goes away
    parser = argparse.ArgumentParser("python -m tests.chaos.moving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="one strike each (default: 40)")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many rounds of the seed's order")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="decides who is struck when")
    parser.add_argument("--victim", choices=VICTIMS, help="strike this one alone, at each of the steps in turn")
    parser.add_argument("--postgres", action="store_true", help="the store is a PostgreSQL, which is killed too")
    parser.add_argument("--without", choices=["proof"], default="", help="move without: rows must get lost")
    parser.add_argument("--hasty", action="store_true", help="have routers wait less for calls that may be late")
    parser.add_argument("--keep", action="store_true", help="keep the history of a good run too")
    asked = parser.parse_args(argv)
    victims = [asked.victim] if asked.victim else VICTIMS
    order = list(islice(pairs(asked.seed, victims), asked.skip, asked.skip + asked.rounds))
    told = Told(order, asked.seed, asked.postgres, asked.without, asked.hasty)
    played = play(told, say)
    for violation in played.violations[:SHOWN_MAX]:
        say(f"{violation.name} {violation.product}: {violation.says}")
    if played.violations or asked.keep:
        say(f"the history and every log: {played.home}")
    else:
        played.forget()
    print(json.dumps(line(played, told)))
    return 1 if wrong(played, told) else 0


def wrong(played: Played, told: Told) -> bool:
    """Say whether a promise broke, or a strike did not happen."""
    left = played.counts["strays_left"] or played.counts["maps_wrong"]
    return bool(played.violations or left or played.strikes.total() < len(told.pairs))


if __name__ == "__main__":
    sys.exit(main())
