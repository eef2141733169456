"""A shop's rebalances, as the client for asyncio's `rebalance` gives them: the same calls as rebalancing.py."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import cast

from lookalike.aio_transport import AioTransport
from lookalike.limits import CHANGE_TIMEOUT_S, READ_TIMEOUT_S, STREAM_SILENCE_S
from lookalike.rebalance import RebalanceJob, RebalancePin, RebalancePlan, StrayRows
from lookalike.retry import ONCE
from lookalike.v1 import admin_pb2, admin_pb2_grpc
from lookalike.wire import rebalance as wire


class AsyncRebalancing:
    """Moves products between shards while the shop serves: plans it, starts it, steers it, shows how far it is.

    One job is active at a time; a second is a `Conflict`. What changes something is sent once: where its answer is
    lost, `job` tells whether it was done.
    """

    def __init__(self, transport: AioTransport) -> None:
        self._transport = transport
        self._admin = cast("admin_pb2_grpc.AdminServiceAsyncStub", admin_pb2_grpc.AdminServiceStub(transport.channel))
        self._streams = admin_pb2_grpc.AdminServiceStub(transport.stream_channel)

    async def plan(
        self,
        *,
        pins: Iterable[RebalancePin] = (),
        batch_slots: int = 0,
        rows_per_s: float = 0.0,
        drain: str = "",
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> RebalancePlan:
        """Return what a rebalance would do, or with `drain` what emptying that shard would; changes nothing.

        `pins` are slots that are to be on certain shards, for this plan alone. Slots move in batches, whose writes wait
        for a moment: `batch_slots` of them, or as many as the server finds right.

        >>> (await shop.rebalance.plan()).moved_fraction  # doctest: +SKIP
        0.25
        """
        request = wire.plan_request(pins, batch_slots, rows_per_s, drain)
        return wire.plan((await self._transport.call(self._admin.PlanRebalance, request, timeout_s)).plan)

    async def start(
        self,
        *,
        pins: Iterable[RebalancePin] = (),
        batch_slots: int = 0,
        rows_per_s: float = 0.0,
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> RebalanceJob | None:
        """Start to give every shard its share, copying `rows_per_s` at most; return None where nothing has to move.

        The job goes on by itself, on whichever server of the shop takes it up.

        >>> job = await shop.rebalance.start(rows_per_s=1000)  # doctest: +SKIP
        """
        request = wire.start_request(pins, batch_slots, rows_per_s)
        answer = await self._transport.call(self._admin.StartRebalance, request, timeout_s, ONCE)
        return wire.job_of(answer)

    async def reverse(self, *, rows_per_s: float = 0.0, timeout_s: float = CHANGE_TIMEOUT_S) -> RebalanceJob:
        """Start to take back what the last job has moved; a shard that it drained may own slots again.

        >>> job = await shop.rebalance.reverse()  # doctest: +SKIP
        """
        request = wire.reverse_request(rows_per_s)
        return wire.job((await self._transport.call(self._admin.ReverseRebalance, request, timeout_s, ONCE)).job)

    async def job(self, *, timeout_s: float = READ_TIMEOUT_S) -> RebalanceJob | None:
        """Return the newest job, active or not; None before the first.

        >>> (await shop.rebalance.job()).state  # doctest: +SKIP
        <RebalanceState.RUNNING: 'running'>
        """
        request = admin_pb2.GetRebalanceRequest()
        answer = await self._transport.call(self._admin.GetRebalance, request, timeout_s)
        return wire.job_of(answer)

    async def watch(self, *, silence_s: float = STREAM_SILENCE_S) -> AsyncGenerator[RebalanceJob, None]:
        """Yield the newest job, about twice a second, until it is done or cancelled; nothing where there never was one.

        A job that is paused or stopped is yielded all the while. Leaving the loop ends the watching, not the job.

        >>> async for job in shop.rebalance.watch():  # doctest: +SKIP
        ...     print(job.state, job.slots_moved, job.slots, job.eta_s)
        """
        request = admin_pb2.WatchRebalanceRequest()
        async with aclosing(self._transport.listen(self._streams.WatchRebalance, request, silence_s)) as messages:
            async for message in messages:
                yield wire.job(message.job)

    async def pause(self, *, timeout_s: float = READ_TIMEOUT_S) -> RebalanceJob:
        """Halt the active job where it is; the shop goes on.

        >>> job = await shop.rebalance.pause()  # doctest: +SKIP
        """
        request = admin_pb2.PauseRebalanceRequest()
        return wire.job((await self._transport.call(self._admin.PauseRebalance, request, timeout_s, ONCE)).job)

    async def resume(self, *, timeout_s: float = READ_TIMEOUT_S) -> RebalanceJob:
        """Let a job that was paused, or that stopped by itself, go on.

        >>> job = await shop.rebalance.resume()  # doctest: +SKIP
        """
        request = admin_pb2.ResumeRebalanceRequest()
        return wire.job((await self._transport.call(self._admin.ResumeRebalance, request, timeout_s, ONCE)).job)

    async def throttle(self, rows_per_s: float, *, timeout_s: float = READ_TIMEOUT_S) -> RebalanceJob:
        """Have the active job copy so many rows a second at most; 0: as many as it can.

        >>> job = await shop.rebalance.throttle(500)  # doctest: +SKIP
        """
        request = wire.throttle_request(rows_per_s)
        return wire.job((await self._transport.call(self._admin.ThrottleRebalance, request, timeout_s, ONCE)).job)

    async def cancel(self, *, timeout_s: float = READ_TIMEOUT_S) -> RebalanceJob:
        """Cancel the active job: what is under way is finished or undone, and what has moved stays where it is.

        >>> job = await shop.rebalance.cancel()  # doctest: +SKIP
        """
        request = admin_pb2.CancelRebalanceRequest()
        return wire.job((await self._transport.call(self._admin.CancelRebalance, request, timeout_s, ONCE)).job)

    async def verify(
        self, *, repair: bool = False, silence_s: float = STREAM_SILENCE_S
    ) -> AsyncGenerator[StrayRows, None]:
        """Look on every replica for rows in slots that its shard does not own; with `repair`, delete them.

        Nobody reads such rows; a job that was cancelled while a server was away may leave some.

        >>> sum([found.rows async for found in shop.rebalance.verify()])  # doctest: +SKIP
        0
        """
        request = admin_pb2.VerifyRebalanceRequest(repair=repair)
        async with aclosing(self._transport.listen(self._streams.VerifyRebalance, request, silence_s)) as messages:
            async for message in messages:
                for one in message.found:
                    yield wire.strays(one)
