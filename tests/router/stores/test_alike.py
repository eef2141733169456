"""Takes the same random steps in every store: whatever one of them can be seen to say, the others say too."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from lookalike_router.balance import Batch
from lookalike_router.errors import RouterError, StoreFailed
from lookalike_router.jobs import DUTY, JobKind, JobState, Move, Proof, Step
from lookalike_router.slots import SLOTS, SlotRange, within
from lookalike_router.store import RECHECK_AFTER_S, Answer, Begun, Finish, Hint, Store
from tests.parts import stores
from tests.parts.postgres import fresh_database
from tests.parts.stores import LEASE_S, PLACEMENT, URIS, Place

ROUTERS = st.sampled_from(["r", "s"])
PRODUCTS = st.sampled_from(["p", "q", "ü"])
REPLICAS = st.sampled_from(["a/1", "a/2", "a/3", "b/1", "b/2"])
ADDRESSES = st.sampled_from(["http://a1", "http://x", "http://y"])
WAITS_S = st.sampled_from([0.5, LEASE_S, RECHECK_AFTER_S, 3_600.0, 7 * 86_400.0])
VERSIONS = st.integers(0, 2**62)


class Alike(RuleBasedStateMachine):
    """Every step is taken in each place; `places` is set by the test."""

    places: list[Place]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stores = [place.open() for place in self.places]
        self.begun: list[Begun] = []
        self.read: list[Hint] = []

    def teardown(self) -> None:
        self.they_say_the_same()
        for store in self.stores:
            self.loop.run_until_complete(store.close())
        self.loop.close()

    def step(self, call: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do the same everywhere; return what it came to, a value or the kind of error."""

        async def outcome(store: Store) -> object:
            try:
                return await call(store)
            except StoreFailed:
                raise
            except RouterError as error:
                return type(error)

        first, *others = [self.loop.run_until_complete(outcome(store)) for store in self.stores]
        assert all(other == first for other in others), (first, others)
        return first

    @initialize()
    def found(self) -> None:
        self.step(lambda store: store.found(PLACEMENT, URIS))

    @rule(seconds=WAITS_S)
    def wait(self, seconds: float) -> None:
        for place in self.places:
            place.wait(seconds)

    @rule(router=ROUTERS, epoch=st.integers(1, 9))
    def beat(self, router: str, epoch: int) -> None:
        self.step(lambda store: store.beat(router, LEASE_S, epoch))

    @rule(router=ROUTERS)
    def leave(self, router: str) -> None:
        self.step(lambda store: store.leave(router))

    @rule(router=ROUTERS, products=st.lists(PRODUCTS, max_size=3), stale=st.sampled_from([0, 0, 0, 1]))
    def begin(self, router: str, products: list[str], stale: int) -> None:
        epoch = self.step(lambda store: store.look()).epoch - stale
        outcome = self.step(lambda store: store.begin(router, products, epoch))
        if isinstance(outcome, list):
            self.begun += [one for one in outcome if isinstance(one, Begun)]

    @rule(
        router=ROUTERS,
        hints=st.lists(st.tuples(REPLICAS, PRODUCTS, st.booleans()), max_size=4),
        rechecks=st.lists(st.tuples(REPLICAS, PRODUCTS), max_size=2),
        tombstones=st.dictionaries(PRODUCTS, VERSIONS, max_size=2),
        replaced=st.dictionaries(PRODUCTS, VERSIONS, max_size=2),
        answers=st.lists(st.builds(Answer, PRODUCTS, st.just("digest"), st.sampled_from("xy")), max_size=2),
        announce=st.booleans(),
        data=st.data(),
    )
    def finish(self, router: str, data: st.DataObject, **what: Any) -> None:
        begun = data.draw(st.lists(st.sampled_from(self.begun), unique=True, max_size=2)) if self.begun else []
        caught = data.draw(st.lists(st.sampled_from(self.read), max_size=2)) if self.read else []
        self.step(lambda store: store.finish(router, Finish(begun, caught_up=caught, **what)))

    @rule(router=ROUTERS, products=st.lists(PRODUCTS, max_size=3))
    def let_go(self, router: str, products: list[str]) -> None:
        self.step(lambda store: store.let_go(router, products))

    @rule(shard=st.sampled_from("abc"), uri=ADDRESSES, number=st.none() | st.integers(1, 5))
    def add_replica(self, shard: str, uri: str, number: int | None) -> None:
        name = self.step(lambda store: store.next_replica(shard))
        wanted = name if number is None and isinstance(name, str) else f"{shard}/{number}"
        self.step(lambda store: store.add_replica(wanted, uri))

    @rule(name=st.sampled_from("abc"), uris=st.lists(ADDRESSES, max_size=2))
    def add_shard(self, name: str, uris: list[str]) -> None:
        self.step(lambda store: store.add_shard(name, 1.5, uris))

    @rule(name=REPLICAS)
    def remove_replica(self, name: str) -> None:
        self.step(lambda store: store.remove_replica(name))

    @rule(name=REPLICAS, uri=ADDRESSES)
    def move_replica(self, name: str, uri: str) -> None:
        self.step(lambda store: store.move_replica(name, uri))

    @rule(name=REPLICAS)
    def mark_in_sync(self, name: str) -> None:
        self.step(lambda store: store.mark_in_sync(name))

    @rule(product_ids=st.lists(PRODUCTS, unique=True))
    def unsettled(self, product_ids: list[str]) -> None:
        self.step(lambda store: store.unsettled(product_ids))

    @rule(name=REPLICAS, limit=st.integers(1, 3))
    def read_hints(self, name: str, limit: int) -> None:
        self.read += self.step(lambda store: store.hints(name, limit))

    @rule(duty=st.sampled_from(["drain", DUTY]), router=ROUTERS)
    def take_duty(self, duty: str, router: str) -> None:
        if self.step(lambda store: store.take_duty(duty, router, LEASE_S)):
            self.step(lambda store: store.set_progress(duty, router))
        self.step(lambda store: store.progress(duty))

    @rule(request=PRODUCTS, text=st.sampled_from("xy"))
    def record(self, request: str, text: str) -> None:
        self.step(lambda store: store.record(Answer(request, "digest", text)))

    @rule(after=st.integers(0, 5), limit=st.integers(1, 3), age_s=WAITS_S)
    def read_tombstones(self, after: int, limit: int, age_s: float) -> None:
        self.step(lambda store: store.tombstones(after, age_s, limit))

    @rule(epoch=st.integers(0, 5), after=st.integers(0, 5))
    def read_news(self, epoch: int, after: int) -> None:
        self.step(lambda store: store.news(epoch, after, 3_600.0, 10))

    @rule(
        first=st.integers(0, SLOTS // 2),
        slots=st.integers(1, SLOTS // 2),
        pair=st.sampled_from([("a", "b"), ("b", "a"), ("a", "c")]),
    )
    def start_job(self, first: int, slots: int, pair: tuple[str, str]) -> None:
        source, target = pair
        run = SlotRange(first, min(first + slots, SLOTS) - 1)
        owned = within(self.ranges(source), run)
        moves = [(Batch(source, target, owned), 5)] if owned else []
        self.step(lambda store: store.start_job(JobKind.BALANCE, moves))

    def ranges(self, shard: str) -> tuple[SlotRange, ...]:
        found = self.loop.run_until_complete(self.stores[0].load())
        assert found is not None
        return found.placement.ranges(shard)

    @rule(router=ROUTERS, step=st.sampled_from(Step))
    def step_move(self, router: str, step: Step) -> None:
        if self.moves():
            self.step(lambda store: store.step_move(router, 0, step))

    @rule(router=ROUTERS, right=st.booleans(), leave=st.booleans(), last=st.booleans())
    def copy_pause_and_flip(self, router: str, right: bool, leave: bool, last: bool) -> None:
        moves = self.moves()
        if not moves:
            return
        number = len(moves) - 1 if last else 0
        batch = moves[number].batch
        self.step(lambda store: store.take_duty(DUTY, router, LEASE_S))
        self.step(lambda store: store.step_move(router, number, Step.COPY))
        pause = self.step(lambda store: store.pause_move(router, number, LEASE_S))
        held = self.step(lambda store: store.held_in_move(number))
        left = held if leave and len(held) < len(batch) else frozenset()
        proof = Proof(7, "ab", frozenset({"a/1", "a/2", "a/3", "b/1", "b/2", "c/1", "c/2"} if right else ()))
        number_of = pause if isinstance(pause, int) else 1
        self.step(lambda store: store.flip(router, number, number_of, proof, LEASE_S, left))

    @rule(router=ROUTERS, step=st.sampled_from(Step))
    def release_move(self, router: str, step: Step) -> None:
        if self.moves():
            self.step(lambda store: store.release_move(router, 0, step, 0.5))

    def moves(self) -> Sequence[Move]:
        """Return the moves of the active job; others have none to be asked for."""
        job = self.loop.run_until_complete(self.stores[0].job())
        return job.moves if job is not None and job.state.active else ()

    @rule(state=st.sampled_from([JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING, None]))
    def steer_job(self, state: JobState | None) -> None:
        self.step(lambda store: store.steer_job(state, rows_per_s=3.0))

    @rule(router=ROUTERS, state=st.sampled_from([JobState.STOPPED, JobState.DONE]))
    def end_job(self, router: str, state: JobState) -> None:
        self.step(lambda store: store.end_job(router, state, "why"))

    @rule(shard=st.sampled_from("abc"), draining=st.booleans())
    def set_draining(self, shard: str, draining: bool) -> None:
        self.step(lambda store: store.set_draining(shard, draining))

    @rule(shard=st.sampled_from("abc"))
    def remove_shard(self, shard: str) -> None:
        self.step(lambda store: store.remove_shard(shard))

    @rule()
    def prune(self) -> None:
        self.step(lambda store: store.prune())

    @rule()
    def they_say_the_same(self) -> None:
        every = ["p", "q", "ü"]
        self.step(lambda store: store.load())
        self.step(lambda store: store.look())
        self.step(lambda store: store.job())
        self.step(lambda store: store.routers())
        self.step(lambda store: store.orphans(10))
        self.step(lambda store: store.hint_counts())
        self.step(lambda store: store.deaths(every))
        self.step(lambda store: store.answers(every))
        for replica in ("a/1", "a/2", "a/3", "b/1", "b/2"):
            self.step(lambda store, replica=replica: store.hints(replica, 10))  # type: ignore[misc]


def test_sqlite_and_memory_are_alike() -> None:
    class Machine(Alike):
        def __init__(self) -> None:
            self._folder = tempfile.TemporaryDirectory()
            self.places = [stores.in_memory(), stores.in_sqlite(Path(self._folder.name) / "store.db")]
            super().__init__()

        def teardown(self) -> None:
            super().teardown()
            self._folder.cleanup()

    run_state_machine_as_test(Machine, settings=settings(max_examples=30, stateful_step_count=40))


def test_postgresql_and_memory_are_alike(postgresql_server: str) -> None:
    class Machine(Alike):
        def __init__(self) -> None:
            self._ends = contextlib.ExitStack()
            url = self._ends.enter_context(fresh_database(postgresql_server))
            self.places = [stores.in_memory(), self._ends.enter_context(stores.in_postgres(url))]
            super().__init__()

        def teardown(self) -> None:
            super().teardown()
            self._ends.close()

    run_state_machine_as_test(Machine, settings=settings(max_examples=10, stateful_step_count=40))
