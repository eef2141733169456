"""Remembers how the searches of the last hour went, minute by minute. Knows no search; keeps figures only."""

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MINUTES = 60
MINUTE_S = 60
# Times kept of one minute, the last ones: more would not move its quantiles. Half a megabyte an hour.
TIMES_MAX = 2048


@dataclass
class Minute:
    """What happened in one minute."""

    begun_s: int
    """Seconds since 1970, UTC."""
    answered: int = 0
    refused: int = 0
    times_ms: "array[float]" = field(default_factory=lambda: array("f"))
    coverage_sum: float = 0.0
    coverage_min: float = 1.0

    @property
    def coverage_mean(self) -> float:
        """The part of the shop that answered, on average; 1 where nobody asked."""
        return self.coverage_sum / self.answered if self.answered else 1.0

    def quantile_ms(self, part: float) -> float:
        """Return the time that `part` of the answers took at most; 0 where there were none."""
        if not self.times_ms:
            return 0.0
        return sorted(self.times_ms)[min(len(self.times_ms) - 1, int(part * len(self.times_ms)))]


class Activity:
    """The last hour of one server."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minutes: OrderedDict[int, Minute] = OrderedDict()

    @contextmanager
    def one(self) -> Iterator[Callable[[float, float], None]]:
        """Count one search: as answered where the block tells its milliseconds and coverage, else as refused."""
        told: list[tuple[float, float]] = []
        try:
            yield lambda total_ms, coverage: told.append((total_ms, coverage))
        finally:
            if told:
                self.answered(*told[0])
            else:
                self.refused()

    def answered(self, total_ms: float, coverage: float) -> None:
        """Count a search that was answered, and how much of the shop it covered, 0 to 1."""
        minute = self._now()
        if len(minute.times_ms) == TIMES_MAX:
            minute.times_ms[minute.answered % TIMES_MAX] = total_ms
        else:
            minute.times_ms.append(total_ms)
        minute.answered += 1
        minute.coverage_sum += coverage
        minute.coverage_min = min(minute.coverage_min, coverage)

    def refused(self) -> None:
        """Count a search that ended with an error."""
        self._now().refused += 1

    def minutes(self) -> list[Minute]:
        """Return the minutes in which something happened, the oldest first."""
        self._forget()
        return list(self._minutes.values())

    def _now(self) -> Minute:
        self._forget()
        begun_s = int(self._clock()) // MINUTE_S * MINUTE_S
        return self._minutes.setdefault(begun_s, Minute(begun_s))

    def _forget(self) -> None:
        oldest_s = self._clock() - MINUTES * MINUTE_S
        for begun_s in [one for one in self._minutes if one <= oldest_s - MINUTE_S]:
            del self._minutes[begun_s]
