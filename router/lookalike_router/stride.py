"""Learns how many rows a server takes at a time: it differs a hundredfold between kinds of servers. Knows no server."""

from dataclasses import dataclass

ROWS_FIRST = 256
ROWS_MIN = 64
# What is done in less goes with more rows the next time; what takes longer, with fewer, well before a call's deadline
# of 10 s. A server that is short of CPU takes over a second for a few rows, and only suffers from more calls.
FAST_S = 1.0
SLOW_S = 4.0


@dataclass
class Stride:
    """How many rows go at a time."""

    rows_max: int
    rows: int = ROWS_FIRST

    def learn(self, rows: int, took_s: float) -> None:
        """Take note of how long so many rows took."""
        if took_s < FAST_S and rows >= self.rows:
            self.rows = min(2 * self.rows, self.rows_max)
        elif took_s > SLOW_S:
            self.rows = max(min(rows, self.rows) // 2, ROWS_MIN)
