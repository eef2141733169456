"""Keeps rebalances in this process's memory: the part of the store in memory that knows of moves."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from lookalike_router.balance import Batch, moved
from lookalike_router.errors import LeaseLost, MapConflict, StaleMap
from lookalike_router.jobs import (
    DUTY,
    LATE_S,
    Job,
    JobKind,
    JobState,
    Move,
    Proof,
    Step,
    alone,
    parted,
    reached,
    removable,
    startable,
    steered,
    stepped,
)
from lookalike_router.slots import slot_of, slots_in
from lookalike_router.store import ShopMap


class MemoryJobs:
    """The newest job, and which pauses run; MemoryStore has the rest."""

    _now_s: Callable[[], float]
    _map: ShopMap | None
    _duties: dict[str, tuple[str, float]]
    _hints: dict[str, Any]
    _next: dict[str, int]

    def __init__(self) -> None:
        self._job: Job | None = None
        self._mapped = 0  # the epoch since which the map is what it is
        self._pauses: dict[int, float] = {}  # by move, when it ends

    async def job(self) -> Job | None:
        """Return the newest job; None before the first."""
        return None if self._job is None else replace(self._job, now=self._now_s())

    async def start_job(
        self, kind: JobKind, moves: Sequence[tuple[Batch, int]], *, shard: str = "", rows_per_s: float = 0.0
    ) -> Job:
        """Write a job down; see JobStore.start_job."""
        last, known, now = self._job, self._known(), self._now_s()
        alone(last)
        startable(moves, shard, known.placement.owners, known.replicas)
        self._job = Job(
            number=last.number + 1 if last is not None else 1,
            kind=kind,
            shard=shard,
            state=JobState.RUNNING,
            rows_per_s=rows_per_s,
            started_at=now,
            ended_at=0.0,
            router="",
            quiet_at=last.ended_at + LATE_S if last is not None else 0.0,
            message="",
            moves=tuple(Move(i, batch, Step.WAITING, rows) for i, (batch, rows) in enumerate(moves)),
            now=now,
        )
        self._pauses.clear()
        if shard:
            await self.set_draining(shard, True)
        return self._job

    async def steer_job(self, state: JobState | None = None, *, rows_per_s: float | None = None) -> Job:
        """Change what the active job does; see JobStore.steer_job."""
        job = await self.job()
        state = steered(job, state)
        assert job is not None
        rate = job.rows_per_s if rows_per_s is None else rows_per_s
        self._job = replace(job, state=state, message="", rows_per_s=rate)
        return self._job

    async def set_draining(self, shard: str, draining: bool) -> None:
        """Say whether a shard is to own no slots, for plans to come."""
        known = self._known()
        if shard not in known.replicas:
            raise MapConflict(f"there is no shard {shard}")
        named = known.draining | {shard} if draining else known.draining - {shard}
        if named != known.draining:
            self._changed(replace(known, draining=named))

    async def step_move(self, router: str, number: int, step: Step) -> None:
        """Write down the step that a move takes next. Raises LeaseLost or StaleMap."""
        job = self._running(router)
        stepped(job.moves[number], step)
        self._step(job, number, step=step)
        self._pauses.pop(number, None)

    async def pause_move(self, router: str, number: int, pause_s: float) -> int:
        """Let nobody begin to write products of a move's slots for so long; return the pause's number."""
        job = self._running(router)
        move = job.moves[number]
        stepped(move, Step.PAUSE)
        self._step(job, number, step=Step.PAUSE, pauses=move.pauses + 1)
        self._pauses[number] = self._now_s() + pause_s
        return move.pauses + 1

    async def held_in_move(self, number: int) -> frozenset[int]:
        """Return those of a move's slots of which somebody holds a product."""
        return self._held(self._active().moves[number].batch)

    async def flip(
        self, router: str, number: int, pause: int, proof: Proof, pause_s: float, left: Collection[int] = ()
    ) -> int:
        """Give the slots to the target; see JobStore.flip."""
        job, known = self._running(router), self._known()
        move, rest = parted(job.moves[number], left, len(job.moves))
        if move.step is not Step.PAUSE or move.pauses != pause or self._pauses.get(number, 0.0) <= self._now_s():
            raise StaleMap("the pause ended before the proof did")
        if self._held(move.batch):
            raise StaleMap("a product of the paused slots is in somebody's hands")
        if not {place.name for place in known.replicas.get(move.batch.target, ())} <= proof.replicas:
            raise StaleMap("a replica of the target was added meanwhile")
        owners = moved(known.placement.owners, [move.batch])
        facts = {"batch": move.batch, "rows": proof.rows, "proof": proof.hash, "flipped_at": self._now_s()}
        self._step(replace(job, moves=job.moves + rest), number, step=Step.FLIP, **facts)
        self._pauses[number] = self._now_s() + pause_s
        return self._changed(replace(known, placement=replace(known.placement, owners=owners)))

    async def release_move(self, router: str, number: int, step: Step, paused_s: float) -> None:
        """End a pause, and write down the step that follows. Raises LeaseLost or StaleMap."""
        job = self._running(router)
        stepped(job.moves[number], step)
        self._step(job, number, step=step, paused_s=max(job.moves[number].paused_s, paused_s))
        self._pauses.pop(number, None)

    async def end_job(self, router: str, state: JobState, message: str = "") -> None:
        """Write that the job is at an end, or cannot go on. Raises LeaseLost."""
        job = self._running(router)
        state = reached(job, state)
        ended_at = 0.0 if state.active else self._now_s()
        said = "" if state is JobState.DONE else message
        self._job = replace(job, state=state, message=said, ended_at=ended_at)

    async def remove_shard(self, name: str) -> None:
        """Take a shard out with its replicas. Raises MapConflict."""
        known = self._known()
        removable(name, known.replicas, known.placement.owners, self._job)
        for place in known.replicas[name]:
            self._hints.pop(place.name, None)
        self._next.pop(name)
        weights = {one: weight for one, weight in known.placement.weights.items() if one != name}
        replicas = {one: places for one, places in known.replicas.items() if one != name}
        placement = replace(known.placement, weights=weights)
        self._changed(replace(known, placement=placement, replicas=replicas, draining=known.draining - {name}))

    def _moving(self) -> bool:
        return self._job is not None and self._job.state.active

    def _paused(self, product_id: str) -> bool:
        """Say whether a product's slot is paused."""
        if self._job is None or not self._pauses:
            return False
        now, slot = self._now_s(), slot_of(product_id)
        runs = (
            run for number, ends in self._pauses.items() if ends > now for run in self._job.moves[number].batch.slots
        )
        return any(run.first <= slot <= run.last for run in runs)

    def _active(self) -> Job:
        if self._job is None or not self._job.state.active:
            raise LeaseLost("the rebalance has ended")
        return self._job

    def _running(self, router: str) -> Job:
        holder, ends = self._duties.get(DUTY, ("", 0.0))
        if holder != router or ends <= self._now_s():
            raise LeaseLost("another router runs the rebalance now")
        # Not kept yet: a step that is refused changes nothing.
        return replace(self._active(), router=router)

    def _step(self, job: Job, number: int, **values: Any) -> None:
        moves = list(job.moves)
        moves[number] = replace(moves[number], **values)
        self._job = replace(job, moves=tuple(moves))

    def _held(self, batch: Batch) -> frozenset[int]:
        return frozenset(map(slot_of, self._held_products())).intersection(slots_in(batch.slots))

    def _held_products(self) -> Collection[str]:
        raise NotImplementedError

    def _known(self) -> ShopMap:
        raise NotImplementedError

    def _changed(self, changed: ShopMap) -> int:
        """Write another map under the next epoch, and return that."""
        placement = replace(changed.placement, epoch=self._known().epoch + 1)
        self._map, self._mapped = replace(changed, placement=placement), placement.epoch
        return placement.epoch
