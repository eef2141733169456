"""Keeps how a replica has answered of late. Knows no clock: the time is passed in, as seconds that only move on."""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

# Searches that percentiles are taken of: enough for a p95, and few enough to follow a change within seconds.
SAMPLES_MAX = 128
# With fewer a p95 would be a guess.
SAMPLES_LEAST = 8
# How much one search moves the mean latency, where searches follow each other closely ...
EWMA_SHARE = 0.2
# ... and after how long without one the next counts for most of it.
EWMA_AGE_S = 5.0
# One failure may be the query's own fault or chance; this many in a row are the replica's.
FAILURES_OPEN = 3
# How long a replica that fails is left in peace before one real search tries it.
OPEN_S = 2.0
# A replica that was not searched for so long may have changed; one search looks.
SAMPLE_OLD_S = 10.0


@dataclass(eq=False, slots=True)
class Flight:
    """One call under way since `at`; those that are not `measured` say nothing of how fast searches are."""

    at: float
    measured: bool


class Window:
    """The last SAMPLES_MAX values, and their percentiles, without sorting them anew."""

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._by_size: list[float] = []

    def add(self, value: float) -> None:
        """Take one more value; the oldest goes where there is no room."""
        if len(self._by_age) == SAMPLES_MAX:
            del self._by_size[bisect_left(self._by_size, self._by_age.popleft())]
        self._by_age.append(value)
        insort(self._by_size, value)

    def quantile(self, share: float) -> float:
        """Return the smallest value that at least `share` of all do not exceed; 0 where there is none."""
        if not self._by_size:
            return 0.0
        return self._by_size[max(math.ceil(share * len(self._by_size)) - 1, 0)]

    def __len__(self) -> int:
        return len(self._by_size)


class Health:
    """How fast a replica answers, what it is busy with, and whether it fails."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._searches: dict[Flight, None] = {}  # in the order in which they began
        self._others = 0
        self._window = Window()
        self._ewma_s: float | None = None
        self._sampled_at = -math.inf
        self._searched_at = -math.inf
        self._heard_at = -math.inf
        self._failures = 0
        self._failed_at = -math.inf

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._searches) + self._others

    @property
    def ewma_s(self) -> float | None:
        """The mean latency of recent searches; None before the first."""
        return self._ewma_s

    def lately_s(self, now: float) -> float | None:
        """Return the mean latency of searches; None where none was answered in the last EWMA_AGE_S."""
        return self._ewma_s if now - self._sampled_at <= EWMA_AGE_S else None

    @property
    def p50_ms(self) -> float:
        """Of recent searches; 0 before the first."""
        return self._window.quantile(0.5) * 1000

    @property
    def p95_ms(self) -> float:
        """Of recent searches; 0 before the first."""
        return self._window.quantile(0.95) * 1000

    @property
    def p95_s(self) -> float | None:
        """The p95 of recent searches; None while they are too few."""
        return self._window.quantile(0.95) if len(self._window) >= SAMPLES_LEAST else None

    @property
    def open(self) -> bool:
        """Whether the circuit breaker is open: searches fail one after the other."""
        return self._failures >= FAILURES_OPEN

    def cost_s(self, now: float, unknown_s: float) -> float:
        """Return the latency to expect times the load; `unknown_s` stands for the latency of one never searched.

        A search that is still under way is known to take at least as long as it has taken: one that hangs is noticed
        before it fails.
        """
        expected_s = unknown_s if self._ewma_s is None else self._ewma_s
        for oldest in self._searches:
            expected_s = max(expected_s, now - oldest.at)
            break
        return expected_s * (self.in_flight + 1)

    def wants_search(self, now: float) -> bool:
        """Say whether one real search should look how it is: its breaker is half-open, or what is known is old."""
        if self._searches:
            return False
        return now - self._failed_at >= OPEN_S if self.open else now - self._searched_at >= SAMPLE_OLD_S

    def silent_since(self, at: float) -> bool:
        """Say whether nothing at all was heard of it since `at`."""
        return self._heard_at < at

    def begin(self, now: float, measured: bool) -> Flight:
        """Take note of a call; it ends by `answered` or `failed`."""
        flight = Flight(now, measured)
        if measured:
            self._searches[flight] = None
            self._searched_at = now
        else:
            self._others += 1
        return flight

    def answered(self, flight: Flight, now: float) -> None:
        """Take note that a call was answered."""
        self._land(flight)
        self._heard_at = now
        if flight.measured:
            self._sample(now - flight.at, now)
            self._failures = 0

    def failed(self, flight: Flight, now: float, *, heard: bool, blamed: bool) -> None:
        """Take note that a call failed: whether the replica said so itself, and whether it is to blame."""
        self._land(flight)
        if heard:
            self._heard_at = now
        if not flight.measured:
            return
        took_s = now - flight.at
        if not heard and (self._ewma_s is None or took_s > self._ewma_s):
            self._sample(took_s, now)  # it would have taken longer still
        if blamed:
            self._failures += 1
            self._failed_at = now

    def _land(self, flight: Flight) -> None:
        if flight.measured:
            del self._searches[flight]
        else:
            self._others -= 1

    def _sample(self, took_s: float, now: float) -> None:
        self._window.add(took_s)
        if self._ewma_s is None:
            self._ewma_s = took_s
        else:
            share = max(EWMA_SHARE, -math.expm1((self._sampled_at - now) / EWMA_AGE_S))
            self._ewma_s += share * (took_s - self._ewma_s)
        self._sampled_at = now
