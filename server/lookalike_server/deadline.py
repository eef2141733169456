"""Says how much time a request has left. Knows nothing of what the time is for."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from lookalike_server.errors import TooLate

Clock = Callable[[], float]
"""Returns seconds that only ever grow."""


@dataclass(frozen=True)
class Deadline:
    """A point in time on `clock`, in seconds; after it an answer is of no use."""

    at: float
    clock: Clock = field(default=time.monotonic, compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Self:
        """Return the deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    @classmethod
    def never(cls) -> Self:
        """Return a deadline that never passes."""
        return cls(math.inf)

    @property
    def passed(self) -> bool:
        """Whether it is too late."""
        return self.clock() >= self.at

    def remaining_s(self) -> float:
        """Return the seconds left, 0 when it has passed, infinite when it never will."""
        return max(0.0, self.at - self.clock())

    def check(self, stage: str) -> None:
        """Raise TooLate if it has passed; `stage` completes "before the server could"."""
        if self.passed:
            raise TooLate(stage)
