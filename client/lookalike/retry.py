"""Decides whether and when to try again. Pure: no clock, no dice, no network."""

from dataclasses import dataclass

from lookalike.errors import LookalikeError, Overloaded, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call or an item is tried, and how long to wait in between.

    Sending twice is safe. Reads change nothing. A write has a `request_id`, the same in every try: where an earlier
    try was done and only its answer was lost, the server does nothing more and gives that answer again. Changes of the
    map have no such name, and are sent once.

    >>> RetryPolicy(attempts_max=1, reconnects_max=1)  # never again
    RetryPolicy(attempts_max=1, reconnects_max=1, backoff_first_s=0.1, backoff_max_s=3.0)
    """

    # Waits of up to 0.1, 0.2, 0.4, 0.8 and 1.6 s: over a moment of overload, and no long wait where nobody listens.
    attempts_max: int = 6
    # A stream that worked before outlasts a server's restart: some 20 s of waits.
    reconnects_max: int = 20
    backoff_first_s: float = 0.1
    backoff_max_s: float = 3.0

    def wait_s(self, error: LookalikeError, attempts: int, left_s: float, dice: float) -> float | None:
        """Return how long to wait before the next try, or None to give up.

        `attempts` counts the tries made, `left_s` is the time left to the caller, `dice` is uniform in [0, 1).
        """
        if attempts >= self.attempts_max:
            return None
        match error:
            case Overloaded(retry_after_s=float(floor_s)):
                pass  # without a time from the server, nobody knows that it would help
            case Unavailable():
                floor_s = 0.0
            case _:
                return None
        ceiling_s = min(self.backoff_max_s, self.backoff_first_s * 2 ** (attempts - 1))
        # Full jitter, above what the server asked for: callers that failed together must not come back together.
        wait_s = floor_s + ceiling_s * dice
        return wait_s if wait_s < left_s else None


# For calls that would mean something else the second time.
ONCE = RetryPolicy(attempts_max=1, reconnects_max=1)
