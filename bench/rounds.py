"""Runs calls from several callers at once, here or in a process of its own. Knows not what is called.

A process of its own because onnxruntime and torch in one process take the cores from each other.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median, quantiles
from typing import Any


@dataclass(frozen=True)
class Round:
    """What one round of calls took."""

    latencies_ms: list[float]
    wall_s: float
    parts: list[int]
    """Parts of the photo that each call embedded."""

    @property
    def p50_ms(self) -> float:
        """Half of the calls were faster."""
        return median(self.latencies_ms)

    @property
    def p95_ms(self) -> float:
        """One of twenty calls was slower."""
        return quantiles(self.latencies_ms, n=20, method="inclusive")[-1]

    @property
    def per_s(self) -> float:
        """Calls done in a second."""
        return len(self.latencies_ms) / self.wall_s

    @property
    def parts_mean(self) -> float:
        """Parts embedded by a call."""
        return mean(self.parts)


def run(call: Callable[[int], int], calls: int, callers: int) -> Round:
    """Make `calls` calls from `callers` threads; `call` takes the number of the call and returns the parts embedded."""
    numbers = iter(range(calls))
    taking = threading.Lock()
    latencies_ms, parts = [0.0] * calls, [0] * calls

    def caller() -> None:
        while True:
            with taking:
                at = next(numbers, None)
            if at is None:
                return
            begun = time.perf_counter()
            parts[at] = call(at)
            latencies_ms[at] = (time.perf_counter() - begun) * 1000

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Round(latencies_ms, time.perf_counter() - begun, parts)


def obey(call: Callable[[int], int]) -> None:
    """In a process of its own: say ready, then run a round for each line of standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; only answers may go where the starter reads
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(run(call, **json.loads(line)))), file=answers, flush=True)


class Rival:
    """A process that obeys."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(env or os.environ)
        )
        self._ask("", "ready")

    def run(self, calls: int, callers: int) -> Round:
        """Let it run one round."""
        return Round(**self._ask(json.dumps({"calls": calls, "callers": callers}) + "\n"))

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self, line: str, answer: str = "") -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            raise SystemExit(f"{' '.join(map(str, self._process.args[:3]))} ended: what it said stands above")  # type: ignore[index]
        return said if answer else json.loads(said)
