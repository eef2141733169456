"""Measures whether a router leaks while it hedges: python -m tests.chaos.leak --seconds 1200.

One replica of each shard is slow on and off, so that searches are hedged and losers are left to end. Prints one JSON
line; the exit code is 1 if its own memory or its file descriptors grow.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.chaos.background import Background
from tests.chaos.cast import Cast, Plan
from tests.chaos.figures import slope_per_hour
from tests.chaos.grpc_proxy import Odds
from tests.chaos.shopper import Shopper, stock, wait

PRODUCTS = 200
PER_S = 25.0
# Allocators, caches and the latency windows have filled by then.
WARM_SHARE = 0.25
SAMPLE_EVERY_S = 2.0
# Slow long enough that the choice moves away, then quick again, so that the next time is a surprise again: a replica
# that is always slow is asked less and less.
SLOW_EVERY_S, SLOW_FOR_S, LATE_S = 10.0, 4.0, 0.15
MIB_PER_HOUR_MAX = 5.0
# Connections come and go by a few.
DESCRIPTORS_MORE_MAX = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser("python -m tests.chaos.leak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200, help="how long (default: 1200)")
    told = parser.parse_args(argv)
    home = Path(tempfile.mkdtemp(prefix="lookalike-leak-"))
    with Background() as background, Cast(home, background, Plan(routers=1), Odds(), 1) as cast:
        figures = measured(cast, told.seconds)
    shutil.rmtree(home)
    print(json.dumps({**figures, "seconds": told.seconds}))
    return 0 if figures["kept"] else 1


def measured(cast: Cast, seconds: float) -> dict[str, float | bool]:
    """Search, sample the router, and return the figures."""
    router = psutil.Process(cast.routers["router 1"].pid)
    resident: list[tuple[float, float]] = []
    private: list[tuple[float, float]] = []
    descriptors: list[int] = []
    with ExitStack() as opened:
        client = opened.enter_context(cast.client("router 1"))
        with cast.operator("router 1") as operator:
            stock(operator, PRODUCTS)
        shopper = Shopper(client, PER_S, 1)
        shopper.start()
        opened.callback(shopper.stop)
        begun_s = time.monotonic()

        def sample() -> None:
            at_s = time.monotonic() - begun_s
            slow(cast, LATE_S if at_s % SLOW_EVERY_S < SLOW_FOR_S else 0.0)
            if at_s > WARM_SHARE * seconds:
                memory = router.memory_info()
                resident.append((at_s, memory.rss / 2**20))
                private.append((at_s, (memory.rss - memory.shared) / 2**20))
                descriptors.append(router.num_fds())

        wait(begun_s + seconds, SAMPLE_EVERY_S, sample)
    failed = sum(bool(search.error) for search in shopper.searches)
    hedged = sum(search.hedged for search in shopper.searches)
    # What it maps of files comes and goes with what else the machine does, also whether anybody else maps it.
    slope = slope_per_hour(private)
    third = max(1, len(descriptors) // 3)
    more = max(descriptors[-third:]) - max(descriptors[:third])
    return {
        "searches": len(shopper.searches),
        "failed": failed,
        "hedged": hedged,
        "rss_mib": round(resident[-1][1], 1),
        "rss_mib_per_hour": round(slope_per_hour(resident), 2),
        "private_mib": round(private[-1][1], 1),
        "private_mib_per_hour": round(slope, 2),
        "descriptors": descriptors[-1],
        "descriptors_more": more,
        "kept": not failed and hedged > 0 and slope < MIB_PER_HOUR_MAX and more <= DESCRIPTORS_MORE_MAX,
    }


def slow(cast: Cast, late_s: float) -> None:
    """Make the first replica of each shard late, or no more."""

    async def done() -> None:
        for name in cast.replicas:
            if name.endswith("1"):
                cast.link("router 1", name).slow(late_s)

    cast.background.run(done())


if __name__ == "__main__":
    sys.exit(main())
