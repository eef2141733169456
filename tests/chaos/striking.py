"""Strikes one process of a move with kill -9, and starts it again after a while. Does not decide whom, or when.

A SQLite file cannot be killed: as the store it is locked for a while instead, as by another process that writes.
"""

import random
import time
from concurrent.futures import Future

from lookalike_router.jobs import Job, Move, Step
from tests.chaos.cast import Cast
from tests.chaos.faults import Faults

VICTIMS = ("coordinator", "source", "target", "store", "router")
# What the store says of a move that waits at a failpoint.
STANDS: dict[str, Step] = {
    "copy": Step.COPY,
    "catch_up": Step.CATCH_UP,
    "pause": Step.PAUSE,
    "prove": Step.PAUSE,
    "flip": Step.FLIP,
    "seen": Step.FLIP,
    "clean": Step.CLEAN,
    "undo": Step.UNDO,
}
DOWN_S = (0.2, 3.0)
# Longer than a router's lease, sometimes.
STORE_S = (1.0, 6.0)
POLL_S = 0.005
STRIKE_S = 20.0


class Striker:
    """What can be done to whoever has to do with a move."""

    def __init__(self, cast: Cast, faults: Faults, dice: random.Random) -> None:
        self._cast = cast
        self._faults = faults
        self._dice = dice

    def strike(self, victim: str, router: str, move: Move) -> Future[None]:
        """Return once the blow has fallen, with what ends when the victim is back; `router` runs the move."""
        until = time.monotonic() + STRIKE_S
        while True:
            kind = "store_outages" if victim == "store" else "kills"
            before = self._faults.counts[kind]
            back = self._blow(victim, router, move)
            while not back.done() and self._faults.counts[kind] == before:
                time.sleep(POLL_S)
            if self._faults.counts[kind] > before:
                return back
            back.result()
            assert time.monotonic() < until, f"{victim} could not be struck"

    def _blow(self, victim: str, router: str, move: Move) -> Future[None]:
        submit = self._cast.pool.submit
        if victim == "store":
            return submit(self._faults.hold_store, self._dice.uniform(*STORE_S), kill=True)
        others = [name for name in self._cast.routers if name != router]
        name = {
            "coordinator": router,
            "router": others[0],
            "source": f"{move.batch.source}1",
            "target": f"{move.batch.target}1",
        }[victim]
        return submit(self._faults.kill, [name], self._dice.uniform(*DOWN_S))


def standing(job: Job, step: str) -> Move | None:
    """Return a move that stands where a failpoint is; None if there is none."""
    return next((move for move in job.moves if move.step is STANDS[step]), None)
