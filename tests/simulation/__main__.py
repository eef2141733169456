"""`python -m tests.simulation --schedules N --seed S`: plays schedules and prints what came of them as one JSON line.

Exit code 1 says that a promise was broken; `--show` plays one schedule and prints everything that happened.
"""

import argparse
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from tests.simulation.play import Played, play
from tests.simulation.schedules import schedule

# Few enough that progress shows every few seconds, many enough that a process is not kept waiting.
CHUNK = 100
FAILED_SEEDS_MAX = 10


@dataclass
class Total:
    """What came of many schedules."""

    schedules: int = 0
    operations: int = 0
    writes_acknowledged: int = 0
    virtual_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    """By name, in how many schedules."""
    failed_seeds: list[int] = field(default_factory=list)

    def take(self, played: Played) -> None:
        """Add one schedule."""
        self.schedules += 1
        self.operations += played.writes + played.reads
        self.writes_acknowledged += played.acknowledged
        self.virtual_s += played.virtual_s
        self.faults.update({str(kind): count for kind, count in played.tally.items()})
        self.violations.update({violation.name for violation in played.violations})
        if played.violations:
            self.failed_seeds.append(played.seed)

    def add(self, other: "Total") -> None:
        """Add what came of other schedules."""
        self.schedules += other.schedules
        self.operations += other.operations
        self.writes_acknowledged += other.writes_acknowledged
        self.virtual_s += other.virtual_s
        self.faults.update(other.faults)
        self.violations.update(other.violations)
        self.failed_seeds += other.failed_seeds


def played(seeds: Sequence[int], moving: bool = False) -> Total:
    """Play the schedules of some seeds."""
    total = Total()
    for seed in seeds:
        total.take(play(schedule(seed, moving=moving)))
    gc.collect()
    return total


def chunks(first: int, count: int) -> list[range]:
    """Cut the seeds into runs."""
    return [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]


def totals(todo: list[range], processes: int, moving: bool) -> Iterator[Total]:
    """Play runs of seeds in several processes, or in this one."""
    if processes == 1:
        yield from (played(seeds, moving) for seeds in todo)
        return
    with ProcessPoolExecutor(processes) as pool:
        for done in as_completed([pool.submit(played, seeds, moving) for seeds in todo]):
            yield done.result()


def show(seed: int, moving: bool) -> int:
    """Play one schedule and print it."""
    drawn = schedule(seed, moving=moving)
    print(f"seed {seed}: {drawn.shards} shards x {drawn.replicas} replicas, {drawn.routers} routers")
    print(*drawn.troubles, sep="\n")
    one = play(drawn, trace=True)
    print(*one.trace, sep="\n")
    print(*one.violations, sep="\n")
    print(f"{len(one.violations)} promises were broken")
    return 1 if one.violations else 0


def run(first: int, count: int, processes: int, moving: bool) -> int:
    """Play many schedules; print the progress and the outcome."""
    total, begun_s = Total(), time.monotonic()
    for part in totals(chunks(first, count), processes, moving):
        total.add(part)
        rate = total.schedules / (time.monotonic() - begun_s) * 60
        failed = ", ".join(f"{name} {n}" for name, n in total.violations.items()) or "nothing broken"
        seeds = f" by seeds {', '.join(map(str, part.failed_seeds))}" if part.failed_seeds else ""
        print(f"{total.schedules} of {count}, {rate:.0f} a minute: {failed}{seeds}", file=sys.stderr, flush=True)
    seconds = time.monotonic() - begun_s
    total.failed_seeds = sorted(total.failed_seeds)[:FAILED_SEEDS_MAX]
    per_minute = round(total.schedules / seconds * 60)
    told = vars(total) | {"virtual_s": round(total.virtual_s), "seconds": round(seconds, 1), "per_minute": per_minute}
    print(json.dumps(told | {"seed": first, "processes": processes}))
    return 1 if total.violations else 0


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first schedule's; the others follow it")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="play the one schedule of --seed and print every call")
    parser.add_argument("--moving", action="store_true", help="move slots too, and strike at a step of a move")
    told = parser.parse_args()
    if told.show:
        return show(told.seed, told.moving)
    return run(told.seed, told.schedules, told.processes, told.moving)


if __name__ == "__main__":
    sys.exit(main())
