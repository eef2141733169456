"""Cuts the slots that shards own into windows of few rows. Pure: counts nothing and asks no one.

Slots are walked in one order over all shards, 0 to 16,383, so that one number says how far a walk has come.
"""

from collections.abc import Iterable

from lookalike_router.group import Group
from lookalike_router.slots import SLOTS, SlotRange

# Listing a row costs this process some microseconds, and nothing else runs meanwhile: 1,000 of them cost a search in
# flight a few milliseconds. Windows of few rows make more calls, and of those each costs a shard some milliseconds.
WINDOW_ROWS_MAX = 1_000
# Slots hold more or fewer rows by chance; a window that aims at the limit would miss it every second time.
AIM = 0.75
# Counted by a walk that knows nothing: enough to tell how many rows there are, and few enough for a slow server.
SAMPLE_SLOTS = 256


class Width:
    """How many slots hold few enough rows.

    Slots are hashes, so that rows are spread evenly over them: what was met so far says what comes. Only a walk that
    knows nothing yet must count first, a sample (counting costs a server as much as listing). Whoever is wrong by
    more than a shard allows forgets.
    """

    def __init__(self, rows_max: int = WINDOW_ROWS_MAX) -> None:
        """Know nothing."""
        self._rows_max = rows_max
        self._slots = 0
        self._rows = 0

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return self._slots > 0

    def learn(self, slots: SlotRange, rows: int) -> None:
        """Take note of how many rows some slots hold."""
        self._slots += len(slots)
        self._rows += rows
        if self._slots > 2 * SLOTS:  # so that a shop that grows is seen to grow
            self._slots, self._rows = self._slots // 2, self._rows // 2

    def forget(self) -> None:
        """Know nothing again."""
        self._slots = self._rows = 0

    def cut(self, run: SlotRange) -> SlotRange:
        """Return the beginning of a run, as wide as seems right."""
        width = max(1, int(AIM * self._rows_max * self._slots / (self._rows + 1)))
        return SlotRange(run.first, min(run.last, run.first + width - 1))


def sample(run: SlotRange) -> SlotRange:
    """Return the beginning of a run, few enough slots to be counted."""
    return SlotRange(run.first, min(run.last, run.first + SAMPLE_SLOTS - 1))


def following(groups: Iterable[Group], slot: int) -> tuple[Group, SlotRange] | None:
    """Return the first run of owned slots from `slot` on, and whose it is; None if there is none left."""
    runs = ((max(run.first, slot), run.last, group) for group in groups for run in group.ranges if run.last >= slot)
    found = min(runs, key=lambda run: run[:2], default=None)
    return None if found is None else (found[2], SlotRange(found[0], found[1]))


def owned_before(groups: Iterable[Group], slot: int) -> int:
    """Return how many slots below `slot` these shards own."""
    return sum(max(0, min(run.last + 1, slot) - run.first) for group in groups for run in group.ranges)
