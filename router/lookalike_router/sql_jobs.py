"""Keeps rebalances: which slots move, how far each move has come, and whose writes wait. Knows no vectors."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from lookalike_router.balance import Batch, moved
from lookalike_router.errors import LeaseLost, MapConflict, StaleMap
from lookalike_router.jobs import (
    DUTY,
    JOBS_KEPT,
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
from lookalike_router.slots import SlotRange, slot_of, slots_in
from lookalike_router.sql_database import Transaction
from lookalike_router.sql_map import raise_epoch, set_counter, the_map, write_owners
from lookalike_router.sql_schema import DUTIES, HINTS, HOLDS, JOBS, MOVES, REPLICAS, SHARDS

# The number of the active job; 0 where there is none.
MOVING = "moving"


def job(tx: Transaction) -> Job | None:
    """Return the newest job; None before the first."""
    newest = select(JOBS).where(JOBS.c.number == select(func.max(JOBS.c.number)).scalar_subquery())
    row = tx.connection.execute(newest).first()
    if row is None:
        return None
    moves = tx.connection.execute(select(MOVES).where(MOVES.c.job == row.number).order_by(MOVES.c.number))
    return Job(
        number=row.number,
        kind=JobKind(row.kind),
        shard=row.shard,
        state=JobState(row.state),
        rows_per_s=row.rows_per_s,
        started_at=row.started_at,
        ended_at=row.ended_at,
        router=row.router,
        quiet_at=row.quiet_at,
        message=row.message,
        moves=tuple(_move(one) for one in moves),
        now=tx.now,
    )


def start_job(tx: Transaction, kind: JobKind, moves: Sequence[tuple[Batch, int]], shard: str, rows_per_s: float) -> Job:
    """Write a job down; see JobStore.start_job."""
    last = job(tx)
    alone(last)
    standing = the_map(tx)
    startable(moves, shard, standing.placement.owners, standing.replicas)
    number = last.number + 1 if last is not None else 1
    job_row = {"number": number, "kind": kind.value, "shard": shard, "state": JobState.RUNNING.value, "message": ""}
    times = {"started_at": tx.now, "ended_at": 0.0, "quiet_at": last.ended_at + LATE_S if last is not None else 0.0}
    tx.connection.execute(insert(JOBS).values(**job_row, **times, rows_per_s=rows_per_s, router=""))
    if moves:
        tx.connection.execute(insert(MOVES), [_row(number, i, *one) for i, one in enumerate(moves)])
    for table, column in ((JOBS, JOBS.c.number), (MOVES, MOVES.c.job)):
        tx.connection.execute(delete(table).where(column <= number - JOBS_KEPT))
    set_counter(tx, MOVING, number)
    if shard:
        set_draining(tx, shard, draining=True)
    return _active(tx)


def steer_job(tx: Transaction, state: JobState | None, rows_per_s: float | None) -> Job:
    """Change what the active job does; see JobStore.steer_job."""
    values: dict[str, Any] = {"state": steered(job(tx), state).value, "message": ""}
    if rows_per_s is not None:
        values["rows_per_s"] = rows_per_s
    tx.connection.execute(update(JOBS).where(JOBS.c.number == _active(tx).number).values(values))
    return _active(tx)


def set_draining(tx: Transaction, shard: str, draining: bool) -> None:
    """Say whether a shard is to own no slots."""
    if shard not in the_map(tx).replicas:
        raise MapConflict(f"there is no shard {shard}; `lookalike shards` lists them")
    changed = update(SHARDS).where(SHARDS.c.name == shard, SHARDS.c.draining != draining).values(draining=draining)
    if tx.connection.execute(changed).rowcount:
        raise_epoch(tx)


def step_move(tx: Transaction, router: str, number: int, step: Step) -> None:
    """Write down the step that a move takes next."""
    running = _running(tx, router)
    stepped(_found(running, number), step)
    _change(tx, running, number, step=step.value, pause_ends_at=0.0)


def pause_move(tx: Transaction, router: str, number: int, pause_s: float) -> int:
    """Let nobody begin to write products of a move's slots for so long; return the pause's number."""
    running = _running(tx, router)
    move = _found(running, number)
    stepped(move, Step.PAUSE)
    pause = move.pauses + 1
    _change(tx, running, number, step=Step.PAUSE.value, pause_ends_at=tx.now + pause_s, pauses=pause)
    return pause


def held_in_move(tx: Transaction, number: int) -> frozenset[int]:
    """Return those of a move's slots of which somebody holds a product."""
    return _held(tx, _found(_active(tx), number).batch)


def flip(
    tx: Transaction, router: str, number: int, pause: int, proof: Proof, pause_s: float, left: Collection[int]
) -> int:
    """Give the slots to the target; see JobStore.flip."""
    running = _running(tx, router)
    move, rest = parted(_found(running, number), left, len(running.moves))
    of = (MOVES.c.job == running.number, MOVES.c.number == number)
    ends_at = tx.connection.execute(select(MOVES.c.pause_ends_at).where(*of)).scalar_one()
    if move.step is not Step.PAUSE or move.pauses != pause or ends_at <= tx.now:
        raise StaleMap("the pause ended before the proof did")
    if _held(tx, move.batch):
        raise StaleMap("a product of the paused slots is in somebody's hands")
    standing = the_map(tx)
    if not {place.name for place in standing.replicas.get(move.batch.target, ())} <= proof.replicas:
        raise StaleMap(f"a replica of {move.batch.target} was added meanwhile")
    owners = standing.placement.owners
    write_owners(tx, moved(owners, [move.batch]), owners)
    for one in rest:
        tx.connection.execute(insert(MOVES).values(_row(running.number, one.number, one.batch, one.rows, one.step)))
    slots = _written(move.batch.slots)
    facts = {"step": Step.FLIP.value, "slots": slots, "rows": proof.rows, "proof": proof.hash, "flipped_at": tx.now}
    _change(tx, running, number, **facts, pause_ends_at=tx.now + pause_s)
    return raise_epoch(tx)


def release_move(tx: Transaction, router: str, number: int, step: Step, paused_s: float) -> None:
    """End a pause, and write down the step that follows."""
    running = _running(tx, router)
    move = _found(running, number)
    stepped(move, step)
    longest = max(move.paused_s, paused_s)
    _change(tx, running, number, step=step.value, pause_ends_at=0.0, paused_s=longest)


def end_job(tx: Transaction, router: str, state: JobState, message: str) -> None:
    """Write that the job is at an end, or cannot go on."""
    running = _running(tx, router)
    state = reached(running, state)
    values = {
        "state": state.value,
        "message": "" if state is JobState.DONE else message,
        "ended_at": 0.0 if state.active else tx.now,
    }
    tx.connection.execute(update(JOBS).where(JOBS.c.number == running.number).values(values))
    if not state.active:
        set_counter(tx, MOVING, 0)


def remove_shard(tx: Transaction, name: str) -> None:
    """Take a shard out with its replicas and their hints."""
    standing = the_map(tx)
    removable(name, standing.replicas, standing.placement.owners, job(tx))
    replicas = [place.name for place in standing.replicas[name]]
    tx.connection.execute(delete(HINTS).where(HINTS.c.replica.in_(replicas)))
    tx.connection.execute(delete(REPLICAS).where(REPLICAS.c.shard == name))
    tx.connection.execute(delete(SHARDS).where(SHARDS.c.name == name))
    raise_epoch(tx)


def paused(tx: Transaction, product_ids: Collection[str]) -> set[str]:
    """Return those of these products whose slots are paused."""
    rows = tx.connection.execute(select(MOVES.c.slots).where(MOVES.c.pause_ends_at > tx.now)).scalars()
    runs = [run for text in rows for run in _read(text)]
    return {one for one in product_ids if any(run.first <= slot_of(one) <= run.last for run in runs)}


def _active(tx: Transaction) -> Job:
    found = job(tx)
    if found is None or not found.state.active:
        raise LeaseLost("the rebalance has ended")
    return found


def _running(tx: Transaction, router: str) -> Job:
    """Return the active job if it is this router's duty to run it."""
    duty = tx.connection.execute(select(DUTIES).where(DUTIES.c.duty == DUTY)).first()
    if duty is None or duty.router != router or duty.until <= tx.now:
        raise LeaseLost("another router runs the rebalance now")
    running = _active(tx)
    if running.router != router:
        tx.connection.execute(update(JOBS).where(JOBS.c.number == running.number).values(router=router))
    return running


def _found(running: Job, number: int) -> Move:
    return next(move for move in running.moves if move.number == number)


def _change(tx: Transaction, running: Job, number: int, **values: Any) -> None:
    tx.connection.execute(update(MOVES).where(MOVES.c.job == running.number, MOVES.c.number == number).values(values))


def _held(tx: Transaction, batch: Batch) -> frozenset[int]:
    """Return the slots whose products somebody holds: few, as only what is being written is held."""
    held = tx.connection.execute(select(HOLDS.c.product_id)).scalars()
    return frozenset(map(slot_of, held)).intersection(slots_in(batch.slots))


def _row(job_number: int, number: int, batch: Batch, rows: int, step: Step = Step.WAITING) -> dict[str, Any]:
    pair = {"source": batch.source, "target": batch.target, "slots": _written(batch.slots)}
    none = {"proof": "", "pauses": 0, "paused_s": 0.0, "pause_ends_at": 0.0, "flipped_at": 0.0}
    return {"job": job_number, "number": number, **pair, **none, "step": step.value, "rows": rows}


def _move(row: Any) -> Move:
    batch = Batch(row.source, row.target, tuple(_read(row.slots)))
    return Move(row.number, batch, Step(row.step), row.rows, row.proof, row.pauses, row.paused_s, row.flipped_at)


def _written(slots: Sequence[SlotRange]) -> str:
    return " ".join(f"{run.first}-{run.last}" for run in slots)


def _read(text: str) -> Iterator[SlotRange]:
    for run in text.split():
        first, last = run.split("-")
        yield SlotRange(int(first), int(last))
