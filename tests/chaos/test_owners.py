"""Holds the owners of slots against jobs made up for it."""

from lookalike import Topology
from lookalike.shards import Shard, SlotRange
from lookalike_router import slots
from lookalike_router.balance import Batch
from lookalike_router.jobs import Job, JobKind, JobState, Move, Step
from lookalike_router.slots import SLOTS, slot_of
from tests.chaos.owners import Owners

LAST = SLOTS - 1
TOPOLOGY = Topology(1, SLOTS, (Shard("a", 1.0, "", SLOTS, (SlotRange(0, LAST),)),), "", "", 256, "")


def move(number: int, first: int, last: int, step: Step, flipped_at: float) -> Move:
    return Move(number, Batch("a", "b", (slots.SlotRange(first, last),)), step, 0, flipped_at=flipped_at)


def job(*moves: Move) -> Job:
    return Job(1, JobKind.BALANCE, "", JobState.CANCELLED, 0.0, 0.0, 0.0, "", 0.0, "", moves, 0.0)


def test_every_batch_that_has_flipped_is_a_change_at_its_own_time_by_the_historys_clock() -> None:
    owners = Owners(TOPOLOGY)
    flipped = [move(1, 100, LAST, Step.DONE, 1_007.0), move(2, 0, 49, Step.DONE, 1_005.0)]
    assert owners.follow(job(*flipped, move(3, 50, 99, Step.UNDONE, 0.0)), 1_000.0) == 2
    first, second, third = owners.shops(("p1",))
    assert [shop.at_s for shop in (first, second, third)] == [0.0, 5.0, 7.0]
    assert first.slots == {"a": SLOTS}
    assert second.slots == {"b": 50, "a": SLOTS - 50}
    assert third.slots == {"b": SLOTS - 50, "a": 50}
    assert third.owners == {"p1": owners.now[slot_of("p1")]}
