"""Measures what a shopper feels while replicas die: python -m tests.chaos.steady --seconds 600.

Two replicas a shard, 20 searches a second. First nothing happens; then one replica is killed or paused every 20 s; then
one replica is 300 ms late. Prints one JSON line; the exit code is 1 if a promise broke.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lookalike import RetryPolicy
from tests.chaos.background import Background
from tests.chaos.cast import Cast, Plan
from tests.chaos.faults import Faults
from tests.chaos.figures import percentile
from tests.chaos.grpc_proxy import Odds
from tests.chaos.history import Recorder
from tests.chaos.shopper import Search, Shopper, stock, wait
from tests.chaos.tcp_proxy import Link

PRODUCTS = 200
PER_S = 20.0
FAULT_EVERY_S = 20.0
DOWN_S = 5.0
WARM_S = 15.0
# The quiet part and the slow part each last this share of the part with faults.
SHARE = 0.3
LATE_S = 0.15  # each way
NOTICED_S = 2.0
P99_FAULTS_MAX, P99_LATE_MAX = 2.0, 1.5
# What the promise says: without the SDK's retries each search is one call.
ONCE = RetryPolicy(attempts_max=1)


@dataclass(frozen=True)
class Spans:
    """The searches of each part of a run."""

    quiet: list[Search]
    faults: list[Search]
    late: list[Search]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser("python -m tests.chaos.steady", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="the part with faults (default: 600)")
    parser.add_argument("--seed", type=int, default=1, help="decides who is hit, and how")
    told = parser.parse_args(argv)
    home = Path(tempfile.mkdtemp(prefix="lookalike-steady-"))
    with Background() as background, Cast(home, background, Plan(routers=1), Odds(), told.seed) as cast:
        faults = Faults(cast, Recorder(time.monotonic), threading.Event())
        spans = measured(cast, faults, told.seconds, told.seed)
        counts = dict(faults.counts)
    figures = judged(spans, counts)
    print(json.dumps({**figures, "seed": told.seed, "seconds": told.seconds}))
    for search in [one for one in (*spans.quiet, *spans.faults, *spans.late) if one.error][:10]:
        print(f"at {search.at_s:.1f}: {search.error}", file=sys.stderr)
    if figures["kept"]:
        shutil.rmtree(home)
    else:
        print(f"every log: {home}", file=sys.stderr)
    return 0 if figures["kept"] else 1


def measured(cast: Cast, faults: Faults, seconds: float, seed: int) -> Spans:
    """Play the three parts."""
    dice = random.Random(seed)
    with ExitStack() as opened:
        client = opened.enter_context(cast.client("router 1", ONCE))
        with cast.operator("router 1") as operator:
            stock(operator, PRODUCTS)
        shopper = Shopper(client, PER_S, seed)
        shopper.start()
        opened.callback(shopper.stop)
        wait(time.monotonic() + WARM_S, WARM_S)
        quiet_s = time.monotonic()
        wait(quiet_s + SHARE * seconds, 1.0)
        faults_s = time.monotonic()
        wait(faults_s + seconds, FAULT_EVERY_S, lambda: hit(cast, faults, dice))
        calm_s = time.monotonic()
        wait(calm_s + WARM_S, WARM_S)
        links = [cast.link("router 1", "a1")]
        late_s = time.monotonic()
        each(cast, links)
        wait(late_s + SHARE * seconds, 1.0)
        end_s = time.monotonic()
        assert links[0].counts.bytes_delayed, "nothing was late"
    return Spans(
        shopper.between(quiet_s, faults_s),
        shopper.between(faults_s, calm_s),
        shopper.between(late_s + NOTICED_S, end_s),
    )


def hit(cast: Cast, faults: Faults, dice: random.Random) -> None:
    """Kill or pause one replica; it is back before the next one is hit."""
    name = dice.choice(list(cast.replicas))
    if dice.random() < 0.5:
        cast.pool.submit(faults.kill, [name], DOWN_S)
    else:
        cast.pool.submit(faults.pause, [name], DOWN_S)


def each(cast: Cast, links: Sequence[Link]) -> None:
    """Make links late."""

    async def done() -> None:
        for link in links:
            link.slow(LATE_S)

    cast.background.run(done())


def judged(spans: Spans, counts: dict[str, int]) -> dict[str, float | bool]:
    """Return the figures, and whether they keep what is promised."""
    quiet, faults, late = (
        percentile([search.ms for search in span], 0.99) for span in (spans.quiet, spans.faults, spans.late)
    )
    everything = (*spans.quiet, *spans.faults, *spans.late)
    failed = sum(bool(search.error) for search in everything)
    partial = sum(not search.error and not search.whole for search in everything)
    kept = not failed and not partial and faults <= P99_FAULTS_MAX * quiet and late <= P99_LATE_MAX * quiet
    return {
        "searches": len(everything),
        "failed": failed,
        "partial": partial,
        "hedged": sum(search.hedged for search in everything),
        "kills": counts.get("kills", 0),
        "pauses": counts.get("pauses", 0),
        "p50_quiet_ms": round(percentile([search.ms for search in spans.quiet], 0.5), 1),
        "p99_quiet_ms": round(quiet, 1),
        "p99_faults_ms": round(faults, 1),
        "p99_late_ms": round(late, 1),
        "p99_faults_ratio": round(faults / quiet, 2),
        "p99_late_ratio": round(late / quiet, 2),
        "kept": kept,
    }


if __name__ == "__main__":
    sys.exit(main())
