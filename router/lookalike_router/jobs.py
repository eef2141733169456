"""Says what a rebalance is, as frozen values, and what the store does for it. Knows no vectors and no shard.

A job moves batches of slots, each a move of its own: copy, catch up, pause, flip, clean. Every step is written down
before it is taken and may be taken again; a proof needs no record, as whoever comes after a crash proves anew.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lookalike_router.balance import Batch, moved
from lookalike_router.errors import JobActive, MapConflict, StaleMap
from lookalike_router.slots import ranges, slots_in

# The duty in the store of the one router that runs the job.
DUTY = "rebalance"
# After a job nothing that it sent may still arrive when the next one proves; longer than a call can take.
LATE_S = 15.0
# What an operator may still want to look up.
JOBS_KEPT = 10
# Over how long a job's pace is taken.
PACE_S = 30.0


class JobKind(enum.Enum):
    """Why slots move."""

    BALANCE = "balance"
    """So that every shard has its share."""
    DRAIN = "drain"
    """So that a shard owns none."""
    REVERSE = "reverse"
    """Back to where they were before the last job."""


class JobState(enum.Enum):
    """How a job is."""

    RUNNING = "running"
    PAUSED = "paused"
    """An operator halted it; the batches under way stand still."""
    STOPPED = "stopped"
    """It cannot go on by itself; its message says why and what to do."""
    CANCELLING = "cancelling"
    """It brings what it has begun to an end, and begins nothing more."""
    CANCELLED = "cancelled"
    DONE = "done"

    @property
    def active(self) -> bool:
        """Whether it still has, or may have, something to do; there is at most one such job."""
        return self not in (JobState.CANCELLED, JobState.DONE)


class Step(enum.Enum):
    """How far a move has come."""

    WAITING = "waiting"
    """Nothing was done yet."""
    COPY = "copy"
    """Rows may be on the target. The source owns the slots."""
    CATCH_UP = "catch_up"
    """The target has nearly all rows; what was written meanwhile is copied."""
    PAUSE = "pause"
    """Writes to the slots wait, until the pause ends by itself; the two sides are compared."""
    FLIP = "flip"
    """The target owns the slots. Writes wait until every router knows."""
    CLEAN = "clean"
    """The source's rows are deleted."""
    DONE = "done"
    UNDO = "undo"
    """The source owns the slots, and the target's copies are deleted."""
    UNDONE = "undone"

    @property
    def flipped(self) -> bool:
        """Whether the target owns the slots."""
        return self in (Step.FLIP, Step.CLEAN, Step.DONE)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self in (Step.DONE, Step.UNDONE)


# Which steps may be written down after which. A call that comes late must not undo what has happened since.
NEXT: Mapping[Step, frozenset[Step]] = {
    Step.WAITING: frozenset({Step.COPY}),
    Step.COPY: frozenset({Step.COPY, Step.CATCH_UP, Step.PAUSE, Step.UNDO}),
    Step.CATCH_UP: frozenset({Step.COPY, Step.CATCH_UP, Step.PAUSE, Step.UNDO}),
    Step.PAUSE: frozenset({Step.COPY, Step.CATCH_UP, Step.PAUSE, Step.FLIP, Step.UNDO}),
    Step.FLIP: frozenset({Step.CLEAN}),
    Step.CLEAN: frozenset({Step.DONE}),
    Step.UNDO: frozenset({Step.UNDO, Step.UNDONE}),
    Step.DONE: frozenset(),
    Step.UNDONE: frozenset(),
}


def stepped(move: "Move", step: Step) -> None:
    """Raise StaleMap if a move cannot take a step from where it stands."""
    if step not in NEXT[move.step]:
        raise StaleMap(f"move {move.number} stands at {move.step.value}, from where it cannot go to {step.value}")


@dataclass(frozen=True)
class Proof:
    """That source and target hold the same rows of some slots."""

    rows: int
    hash: str
    """Order-free, 32 hex digits."""
    replicas: frozenset[str]
    """Of the target: those that were looked at."""


@dataclass(frozen=True)
class Move:
    """One batch of a job."""

    number: int
    batch: Batch
    step: Step
    rows: int
    """Expected, and once it has flipped those that were proven."""
    proof: str = ""
    """Hash of the rows that both sides were proven to hold, 32 hex digits; empty before."""
    pauses: int = 0
    """How often writes to its slots were paused."""
    paused_s: float = 0.0
    """The longest of these pauses."""
    flipped_at: float = 0.0
    """By the store's clock; 0 before."""


@dataclass(frozen=True)
class Job:
    """One job with its moves, in their order."""

    number: int
    kind: JobKind
    shard: str
    """Of a drain, the shard that is emptied; else empty."""
    state: JobState
    rows_per_s: float
    """How fast rows may be copied; 0: as fast as they can."""
    started_at: float
    """By the store's clock, as all times here."""
    ended_at: float
    """0 while it is active."""
    router: str
    """Who runs it, or did last; empty where none has begun."""
    quiet_at: float
    """Before this time calls of the job before may still arrive, and nothing is proven."""
    message: str
    """Why it stopped and what to do; empty otherwise."""
    moves: tuple[Move, ...]
    now: float
    """The store's time when this was read."""

    @property
    def slots(self) -> int:
        """How many slots it moves."""
        return sum(len(move.batch) for move in self.moves)

    @property
    def slots_moved(self) -> int:
        """How many of them have moved."""
        return sum(len(move.batch) for move in self.moves if move.step.flipped)

    @property
    def rows(self) -> int:
        """How many rows it moves, as far as is known."""
        return sum(move.rows for move in self.moves)

    @property
    def rows_moved(self) -> int:
        """How many of them have moved."""
        return sum(move.rows for move in self.moves if move.step.flipped)


def alone(job: Job | None) -> None:
    """Raise JobActive if the newest job is active: there is one at a time."""
    if job is not None and job.state.active:
        by = f", run by {job.router}" if job.router else ""
        raise JobActive(
            f"job {job.number} ({job.kind.value}) is {job.state.value}{by}; another can start when it has ended: "
            "wait for that, or cancel it"
        )


def startable(moves: Sequence[tuple[Batch, int]], shard: str, owners: Sequence[str], shards: Collection[str]) -> None:
    """Raise StaleMap unless each move begins where its slots are, and every shard that is named is in the map."""
    try:
        moved(owners, [batch for batch, _ in moves])
    except ValueError as error:
        raise StaleMap(f"the map has changed since this was planned: {error}") from error
    if not {batch.target for batch, _ in moves} | ({shard} if shard else set()) <= set(shards):
        raise StaleMap("a shard was removed since this was planned")


def steered(job: Job | None, state: JobState | None) -> JobState:
    """Return the state of a job that is to come into `state`, or to stay in its own, else raise MapConflict."""
    if job is None or not job.state.active:
        raise MapConflict("there is no active rebalance; `lookalike rebalance start` begins one")
    if job.state is JobState.CANCELLING and state not in (JobState.CANCELLING, None):
        raise MapConflict(f"job {job.number} is being cancelled; start another one when it has ended")
    if job.state is JobState.STOPPED and state is None:
        raise MapConflict(f"job {job.number} has stopped; `lookalike rebalance resume` has it go on, throttle it then")
    return job.state if state is None else state


def reached(job: Job, state: JobState) -> JobState:
    """Return the state of a job whose router says that it has come to `state`.

    What an operator has said meanwhile is not overruled by trouble, and a job that was cancelled is only done if all
    of it was.
    """
    if state is JobState.STOPPED and job.state is not JobState.RUNNING:
        return job.state
    if not state.active:
        whole = all(move.step is Step.DONE for move in job.moves)
        return JobState.DONE if whole else JobState.CANCELLED
    return state


def parted(move: Move, left: Collection[int], number: int) -> tuple[Move, tuple[Move, ...]]:
    """Return a move without the slots that are left, and if there are any the move that they become."""
    slots = list(slots_in(move.batch.slots))
    if not set(left) < set(slots):
        raise ValueError("what is left must be some of the move's slots, and not all")
    if not left:
        return move, ()
    going = replace(move.batch, slots=ranges(slot for slot in slots if slot not in left))
    staying = replace(move.batch, slots=ranges(sorted(left)))
    rest = Move(number, staying, Step.CATCH_UP, move.rows * len(staying) // len(move.batch))
    return replace(move, batch=going), (rest,)


def removable(name: str, shards: Collection[str], owners: Collection[str], job: Job | None) -> None:
    """Raise MapConflict unless a shard can be taken out of the map."""
    if name not in shards:
        raise MapConflict(f"there is no shard {name}; there are {', '.join(sorted(shards))}")
    if len(shards) == 1:
        raise MapConflict(f"{name} is the shop's only shard")
    owned = sum(owner == name for owner in owners)
    if owned:
        raise MapConflict(f"shard {name} owns {owned:,} slots; `lookalike shards drain {name}` moves them away")
    moves = job.moves if job is not None and job.state.active else ()
    if any(name in (move.batch.source, move.batch.target) and not move.step.ended for move in moves):
        raise MapConflict(f"the active rebalance moves slots from or to {name}; wait for its end, or cancel it")


def pace(job: Job) -> float:
    """Return how many rows a second a job has moved of late; 0 before its first rows."""
    flipped = [move for move in job.moves if move.step.flipped and move.rows]
    last = max((move.flipped_at for move in flipped), default=0.0)
    since = max(job.started_at, last - PACE_S)
    rows = sum(move.rows for move in flipped if move.flipped_at > since)
    return rows / (last - since) if last > since else 0.0


def eta_s(job: Job) -> float | None:
    """Return in how many seconds a job will be done, if it goes on as of late; None where that is not known."""
    rate, left = pace(job), job.rows - job.rows_moved
    if job.state is not JobState.RUNNING or (left and not rate):
        return None
    return left / rate if left else 0.0


class JobStore(Protocol):
    """What the store does for rebalances; every method is one transaction. Raises StoreFailed."""

    async def job(self) -> Job | None:
        """Return the newest job; None before the first."""
        ...

    async def start_job(
        self, kind: JobKind, moves: Sequence[tuple[Batch, int]], *, shard: str = "", rows_per_s: float = 0.0
    ) -> Job:
        """Write a job down, with the rows expected of each move; it is run by whichever router takes the duty.

        Raises JobActive if there is an active one, StaleMap if a source does not own its slots, or a target or a
        drained shard is not in the map. A drain's shard is draining from here on.
        """
        ...

    async def steer_job(self, state: JobState | None = None, *, rows_per_s: float | None = None) -> Job:
        """Bring the active job into RUNNING, PAUSED or CANCELLING, and change how fast it copies; None changes nothing.

        Raises MapConflict if there is none, or it is being cancelled and shall do something else, or it has stopped and
        is not told to go on.
        """
        ...

    async def set_draining(self, shard: str, draining: bool) -> None:
        """Say whether a shard is to own no slots, for plans to come. Raises MapConflict if there is no such shard."""
        ...

    async def step_move(self, router: str, number: int, step: Step) -> None:
        """Write down the step that a move takes next; a pause of its slots is over.

        Raises LeaseLost if this router does not run the job any more, StaleMap for a step that cannot follow.
        """
        ...

    async def pause_move(self, router: str, number: int, pause_s: float) -> int:
        """Let nobody begin to write products of a move's slots for so long, at most; return the pause's number.

        Raises as step_move.
        """
        ...

    async def held_in_move(self, number: int) -> frozenset[int]:
        """Return those of a move's slots of which somebody holds a product, or let go of one unsettled."""
        ...

    async def flip(
        self, router: str, number: int, pause: int, proof: Proof, pause_s: float, left: Collection[int] = ()
    ) -> int:
        """Give the slots to the target and return the new epoch; their pause goes on for `pause_s`, at most.

        Those that are `left` stay: they become a move of their own, which catches up and is not paused.

        Raises LeaseLost if this router does not run the job any more, StaleMap if `pause` has ended, somebody holds
        a product of the slots that go, or the target has a replica that the proof did not look at; ValueError unless
        those that are left are some of the move's slots and not all. Nothing is changed then.
        """
        ...

    async def release_move(self, router: str, number: int, step: Step, paused_s: float) -> None:
        """End a pause that took `paused_s`, and write down the step that follows. Raises as step_move."""
        ...

    async def end_job(self, router: str, state: JobState, message: str = "") -> None:
        """Write that the job is STOPPED, DONE or CANCELLED; see `reached`. Raises LeaseLost."""
        ...

    async def remove_shard(self, name: str) -> None:
        """Take a shard out with its replicas and hints. Raises MapConflict while it owns slots or a job names it."""
        ...
