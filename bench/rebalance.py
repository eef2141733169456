"""Shows what plans move: shards added, drained or given other weights, on paper, over all 16,384 slots.

Starts no server. Against two baselines: the least that any plan could move, and what the ring alone would move, were
the map planned anew. `largest` is the fullest shard's slots over its weighted share, before and after, among those that
are to own slots. `flip` is the transaction that gives a batch to its new owner, each in a pause of writes; `map` is
what every router reads after it; both in SQLite. `--json` prints one object a line, after the table.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from lookalike_router.balance import Batch, balanced, batches
from lookalike_router.jobs import DUTY, JobKind, Proof, Step
from lookalike_router.placement import Placement, plan, ranges_of
from lookalike_router.rebalance import BATCH_SLOTS_MAX
from lookalike_router.slots import SLOTS
from lookalike_router.sql_store import SqlStore

# Longer than a case takes.
DUTY_S = 600.0


@dataclass(frozen=True)
class Case:
    """A shop that changes: the weights its map was planned for, and those it is to have."""

    name: str
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a plan comes to; fractions are of all slots."""

    case: str
    moved_fraction: float
    ideal_fraction: float
    """The least that leaves no shard a whole slot off its weighted share."""
    anew_fraction: float
    """What would move if the ring planned the map anew."""
    largest_before: float
    largest_after: float
    ranges_before: int
    ranges_after: int
    batches: int
    plan_ms: float
    flip_ms: float
    map_ms: float


def shop(shards: int, **weights: float) -> dict[str, float]:
    """Return the weights of so many shards, 1 where none is given."""
    return {f"s{i:04}": 1.0 for i in range(shards)} | weights


def cases() -> list[Case]:
    """Return what is planned."""
    growth = [(4, 5), (10, 11), (100, 110), (1_000, 1_001)]
    grown = [Case(f"{few:,} → {many:,}", shop(few), shop(many)) for few, many in growth]
    heavy = Case("4, one more of weight 2", shop(4), shop(4, new=2.0))
    mixed = Case("weights 1 1 2 4 → 2 1 2 4", shop(2, c=2.0, d=4.0), shop(2, c=2.0, d=4.0, s0000=2.0))
    return [*grown, heavy, mixed, Case("drain 1 of 5", shop(5), shop(4)), Case("drain 1 of 100", shop(100), shop(99))]


def outcome(case: Case, rounds: int) -> Outcome:
    """Plan a case, several times for its time."""
    owners = plan(case.before).owners
    taken_ms = []
    for _ in range(rounds):
        begun_s = time.perf_counter()
        wanted = balanced(owners, case.after)
        moves = batches(owners, wanted, BATCH_SLOTS_MAX)
        taken_ms.append((time.perf_counter() - begun_s) * 1000)
    total = sum(case.after.values())
    flip_ms, map_ms = asyncio.run(flipped(case, owners, moves, rounds))
    exact = {shard: SLOTS * weight / total for shard, weight in case.after.items()}
    return Outcome(
        case=case.name,
        moved_fraction=_differing(owners, wanted),
        ideal_fraction=_ideal(owners, exact),
        anew_fraction=_differing(owners, plan(case.after).owners),
        largest_before=_largest(owners, exact),
        largest_after=_largest(wanted, exact),
        ranges_before=len(ranges_of(owners)),
        ranges_after=len(ranges_of(wanted)),
        batches=len(moves),
        plan_ms=min(taken_ms),
        flip_ms=flip_ms,
        map_ms=map_ms,
    )


async def flipped(case: Case, owners: Sequence[str], moves: Sequence[Batch], rounds: int) -> tuple[float, float]:
    """Flip some batches in a store; return the shortest times of a flip and of reading the map, in ms."""
    flips_ms, maps_ms = [], []
    shards = sorted({*case.before, *case.after})
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/store.db")
        weights = {**case.before, **case.after}
        await store.found(Placement(1, weights, tuple(owners)), {shard: [f"http://{shard}"] for shard in shards})
        await store.take_duty(DUTY, "bench", DUTY_S)
        await store.start_job(JobKind.BALANCE, [(batch, 0) for batch in moves])
        for number, batch in enumerate(moves[:rounds]):
            await store.step_move("bench", number, Step.COPY)
            pause = await store.pause_move("bench", number, DUTY_S)
            proof = Proof(0, "", frozenset({f"{batch.target}/1"}))
            begun_s = time.perf_counter()
            await store.flip("bench", number, pause, proof, DUTY_S)
            flips_ms.append((time.perf_counter() - begun_s) * 1000)
            begun_s = time.perf_counter()
            await store.load()
            maps_ms.append((time.perf_counter() - begun_s) * 1000)
        await store.close()
    return min(flips_ms), min(maps_ms)


def growing(first: int, last: int) -> Outcome:
    """Add shards one by one, each with a rebalance, and sum up."""
    began = time.perf_counter()
    start = owners = plan(shop(first)).owners
    moved = ideal = anew = 0.0
    count = 0
    for shards in range(first + 1, last + 1):
        wanted = balanced(owners, shop(shards))
        moved += _differing(owners, wanted)
        ideal += _ideal(owners, dict.fromkeys(shop(shards), SLOTS / shards))
        anew += _differing(plan(shop(shards - 1)).owners, plan(shop(shards)).owners)
        count += len(batches(owners, wanted, BATCH_SLOTS_MAX))
        owners = wanted
    taken_ms = (time.perf_counter() - began) * 1000
    share = dict.fromkeys(shop(last), SLOTS / last)
    return Outcome(
        case=f"{first} → {last}, one by one",
        moved_fraction=moved,
        ideal_fraction=ideal,
        anew_fraction=anew,
        largest_before=_largest(start, share),
        largest_after=_largest(owners, share),
        ranges_before=len(ranges_of(start)),
        ranges_after=len(ranges_of(owners)),
        batches=count,
        plan_ms=taken_ms,
        flip_ms=math.nan,
        map_ms=math.nan,
    )


def table(found: Sequence[Outcome]) -> str:
    """Return the outcomes for eyes."""
    head = f"{'':<27}{'moved':>9}{'ideal':>9}{'anew':>9}{'largest':>16}{'ranges':>15}{'batches':>9}"
    head += f"{'plan ms':>9}{'flip ms':>9}{'map ms':>8}"
    lines = [head]
    for one in found:
        largest = f"{one.largest_before:.3f} → {one.largest_after:.3f}"
        ranges = f"{one.ranges_before} → {one.ranges_after}"
        lines.append(
            f"{one.case:<27}{one.moved_fraction:>9.3%}{one.ideal_fraction:>9.3%}{one.anew_fraction:>9.3%}"
            f"{largest:>16}{ranges:>15}{one.batches:>9}{one.plan_ms:>9.0f}{one.flip_ms:>9.1f}{one.map_ms:>8.1f}"
        )
    return "\n".join(lines)


def _differing(owners: Sequence[str], wanted: Sequence[str]) -> float:
    return sum(one != other for one, other in zip(owners, wanted, strict=True)) / SLOTS


def _ideal(owners: Sequence[str], exact: Mapping[str, float]) -> float:
    owned = Counter(owners)
    lacking = sum(max(math.floor(share) - owned[shard], 0) for shard, share in exact.items())
    too_many = sum(max(slots - math.ceil(exact.get(shard, 0.0)), 0) for shard, slots in owned.items())
    return max(lacking, too_many) / SLOTS


def _largest(owners: Sequence[str], exact: Mapping[str, float]) -> float:
    owned = Counter(owners)
    return max(owned[shard] / share for shard, share in exact.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="plans per case, of whose times the shortest is shown")
    parser.add_argument("--json", action="store_true", help="print JSON objects after the table, one a line")
    told = parser.parse_args()
    found = [*(outcome(case, told.rounds) for case in cases()), growing(3, 16)]
    print(table(found))
    if told.json:
        for one in found:
            print(json.dumps(asdict(one)))


if __name__ == "__main__":
    main()
