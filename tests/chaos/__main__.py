"""Breaks a real shop for a while and says which promises it kept: python -m tests.chaos --seconds 120 --seed 1."""

import argparse
import json
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields

from lookalike_router.safeguards import Safeguards
from tests.chaos.cast import Plan
from tests.chaos.disk import can_mount
from tests.chaos.nemesis import Tempo
from tests.chaos.runner import Played, Told, play

# The fields of the last line that count broken promises.
PROMISES = {
    "LostWrite": "lost",
    "RevivedProduct": "revived",
    "DoubledProduct": "doubled",
    "PhantomProduct": "phantom",
    "WrongCoverage": "coverage_wrong",
    "StaleAnswer": "stale",
    "RepeatedEffect": "repeated",
    "DivergedReplicas": "diverged",
    "HintsLeft": "hints_left",
    "WrongServer": "wrong_server",
}
FAULTS = ("kills", "pauses", "partitions")
SHOWN_MAX = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Play one run; the exit code is 1 if a promise broke."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was mounted and started goes away
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long things break (default: 120)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="decides what breaks when")
    for kind in FAULTS:
        parser.add_argument(f"--{kind}-at-least", type=int, default=0, help="go on, up to twice as long, until so many")
    parser.add_argument("--pause", type=float, default=Tempo.pause_s, help="seconds between faults, on average")
    parser.add_argument("--postgres", action="store_true", help="the store is a PostgreSQL, and is broken too")
    parser.add_argument("--standalone", action="store_true", help="one replica is a Milvus standalone")
    lacking = [field.name for field in fields(Safeguards)]
    parser.add_argument("--without", choices=lacking, default="", help="a safeguard to do without: promises must break")
    parser.add_argument("--keep", action="store_true", help="keep the history of a good run too")
    told = parser.parse_args(argv)
    plan = Plan(postgres=told.postgres, standalone=told.standalone, small_disk=can_mount(), without=told.without)
    tempo = Tempo(pause_s=told.pause)
    at_least = {kind: getattr(told, f"{kind}_at_least") for kind in FAULTS}
    played = play(Told(told.seconds, told.seed, plan, tempo=tempo, at_least=at_least), say)
    for violation in played.violations[:SHOWN_MAX]:
        say(f"{violation.name} {violation.product}: {violation.says}")
    if played.violations or told.keep:
        say(f"the history and every log: {played.history.parent}")
    else:
        played.forget()
    print(json.dumps(line(played, told.seed, told.seconds)))
    return 1 if played.violations else 0


def line(played: Played, seed: int, seconds: float) -> dict[str, int | float]:
    """Return the last line's fields."""
    broken = Counter(violation.name for violation in played.violations)
    return {
        **dict.fromkeys(FAULTS, 0),
        **played.counts,
        **{field: broken[name] for name, field in PROMISES.items()},
        "settled_s": round(played.settled_s, 1),
        "seed": seed,
        "seconds": seconds,
    }


def say(text: str) -> None:
    """Tell whoever watches."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
