"""Counts what is under way under each map, so that a router can say when it is done with the old ones."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Underway:
    """What is under way, by the epoch under which it began."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._begun: Counter[int] = Counter()

    def begin(self, epoch: int) -> None:
        """Take note that something begins; `end` takes it back."""
        self._begun[epoch] += 1

    def end(self, epoch: int) -> None:
        """Take note that something which began under `epoch` has ended."""
        self._begun[epoch] -= 1
        if self._begun[epoch] <= 0:
            del self._begun[epoch]

    @contextmanager
    def under(self, epoch: int) -> Iterator[None]:
        """Count what happens in the block."""
        self.begin(epoch)
        try:
            yield
        finally:
            self.end(epoch)

    def reached(self, now: int) -> int:
        """Return the epoch up to which everything that began under older ones has ended; `now` is the newest."""
        return min(self._begun, default=now)
