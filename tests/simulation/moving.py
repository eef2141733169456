"""An operator who moves slots while everything breaks, and what strikes at a step of a move. Judges nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lookalike_router.answer import ShardSpec
from lookalike_router.failpoints import NAMES
from lookalike_router.jobs import Job, JobState
from lookalike_router.rebalance import Goal
from tests.simulation.faults import Link
from tests.simulation.node import Node
from tests.simulation.schedules import Trouble
from tests.simulation.world import World

DEADLINE_S = 5.0
LOOK_S = 0.5
# A few batches, so that there is something to strike at more than once.
BATCH_SLOTS = 3_000
VICTIMS = ("coordinator", "source", "target", "store", "router")

Operate = Callable[[Callable[[Node, float], Coroutine[Any, Any, object]]], Awaitable[None]]
"""Has some router do an operator's work once; whether it did shows in the store."""


class Operator:
    """Moves slots as a trouble says: to a new shard, or away from one; then steers, and sees it through."""

    def __init__(self, world: World, operate: Operate) -> None:
        self._world = world
        self._operate = operate

    async def run(self, trouble: Trouble) -> None:
        """Start a job and follow it to its end; one that is stopped is resumed, as an operator would."""
        world = self._world
        shards = sorted(world.map.replicas)
        draining = shards[trouble.shard % len(shards)] if trouble.strength > 0.7 and len(shards) > 1 else ""
        if not draining:
            await self._add("abcdefgh"[len(shards)], len(world.map.replicas[shards[0]]))
        last = await world.store.job()
        known = last.number if last is not None else 0
        goal = Goal(drain=draining, batch_slots=BATCH_SLOTS)
        while (job := await world.store.job()) is None or job.number <= known:
            if not self._moves(draining):
                return
            await self._operate(lambda on, _: on.router.start_rebalance(goal, DEADLINE_S))
        await self._steer(job.number, trouble)
        await self._follow(job.number)

    async def _add(self, name: str, replicas: int) -> None:
        uris = tuple(f"sim:{name}{number}" for number in range(1, replicas + 1))
        for uri in uris:
            self._world.endpoint(uri)
        while name not in self._world.map.replicas:
            await self._operate(lambda on, _: on.router.add_shard(ShardSpec(name, uris), DEADLINE_S))

    def _moves(self, draining: str) -> bool:
        """Say whether there is anything to move."""
        owners = self._world.map.placement.owners
        return (
            draining in owners
            if draining
            else any(shard not in owners for shard in self._world.map.replicas if shard not in self._world.map.draining)
        )

    async def _steer(self, number: int, trouble: Trouble) -> None:
        """Pause and resume, or cancel, now and then."""
        choice = trouble.replica % 6
        if choice > 1:
            return
        await asyncio.sleep(trouble.lasts_s / 2)
        states = (JobState.PAUSED, JobState.RUNNING) if choice == 0 else (JobState.CANCELLING,)
        for state in states:
            self._world.around.say("an operator says", state)
            await self._operate(lambda on, _, state=state: on.router.steer_rebalance(state))  # type: ignore[misc]
        job = await self._job(number)
        if job is not None and job.state is JobState.PAUSED:
            await self._operate(lambda on, _: on.router.steer_rebalance(JobState.RUNNING))

    async def _follow(self, number: int) -> None:
        while (job := await self._job(number)) is not None and job.state.active:
            if job.state in (JobState.STOPPED, JobState.PAUSED):
                self._world.around.tally["a job stopped"] += job.state is JobState.STOPPED
                await self._operate(lambda on, _: on.router.steer_rebalance(JobState.RUNNING))
            await asyncio.sleep(LOOK_S)
        if job is not None:
            self._world.around.tally[f"job {job.state.value}"] += 1
            self._world.around.tally["moves tried again"] += sum(max(0, move.pauses - 1) for move in job.moves)

    async def _job(self, number: int) -> Job | None:
        job = await self._world.store.job()
        return job if job is not None and job.number == number else None


class Striker:
    """Strikes once, at a step of a move: at whoever runs it, its source, its target, the store or another router."""

    def __init__(self, world: World, trouble: Trouble, restart: Callable[[], None]) -> None:
        self._world = world
        self._step = NAMES[trouble.router % len(NAMES)]
        self._victim = VICTIMS[trouble.replica % len(VICTIMS)]
        self._lasts_s = trouble.lasts_s
        self._restart = restart
        self._struck = False

    async def reached(self, link: Link, name: str) -> None:
        """Hear that a router's move has reached a step."""
        self._world.around.say(link.name, "reaches", name)
        if self._struck or name != self._step:
            return
        self._struck = True
        self._world.broke(f"{self._victim} at {name}", link.name)
        await getattr(self, f"_{self._victim}")(link)
        await link.running()  # who was struck itself does nothing any more

    async def _coordinator(self, link: Link) -> None:
        link.kill()
        self._restart()

    async def _router(self, link: Link) -> None:
        for node in self._world.alive():
            if node.link is not link:
                node.link.kill()
                self._restart()
                return

    async def _source(self, link: Link) -> None:
        await self._shard(source=True)

    async def _target(self, link: Link) -> None:
        await self._shard(source=False)

    async def _shard(self, *, source: bool) -> None:
        job = await self._world.store.job()
        assert job is not None
        for move in job.moves:
            if move.step.value != "waiting" and not move.step.ended:
                shard = move.batch.source if source else move.batch.target
                endpoint = self._world.endpoints[self._world.map.replicas[shard][0].uri]
                endpoint.kill()
                asyncio.get_running_loop().call_later(self._lasts_s, endpoint.restart)
                return

    async def _store(self, link: Link) -> None:
        weather = self._world.weather
        weather.down = True
        asyncio.get_running_loop().call_later(self._lasts_s, setattr, weather, "down", False)
