"""Stamps writes with a hybrid logical clock: wall time where it moves on, counting where it does not."""

from collections.abc import Callable

# 16 bits count writes within a millisecond; 47 bits of milliseconds last until the year 6429.
COUNTER_BITS = 16


class HybridClock:
    """Makes versions that only grow."""

    def __init__(self, wall_s: Callable[[], float]) -> None:
        """Take the wall clock, for example time.time."""
        self._wall_s = wall_s
        self._last = 0

    def next(self, after: int = 0) -> int:
        """Return a version greater than every one before and than `after`, which another clock may have made."""
        self._last = max(int(self._wall_s() * 1000) << COUNTER_BITS, self._last + 1, after + 1)
        return self._last
