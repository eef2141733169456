"""Deadlines, refusals, drains: what stands between gRPC and the handlers, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from grpc_health.v1 import health_pb2

from lookalike.v1 import admin_pb2, catalog_pb2, search_pb2
from lookalike_router.errors import ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.memory import MemoryShard
from lookalike_router.shard import Candidate, Row, Shard
from lookalike_server.edge import STREAMS_MAX
from lookalike_server.vision import VisionLimits
from tests.parts.service import BLUE, CALL_S, RED, address_of, memory_shards, open_shop, product, told_by
from tests.server.photos import jpeg, plain

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
PHOTO = jpeg(plain(RED))
# Far less than the calls that are stuck would take by themselves.
DRAINS_S = CALL_S / 3


class StuckShard(MemoryShard):
    """A shard that answers nothing while `stuck`, like a process that was stopped."""

    def __init__(self, name: str) -> None:
        super().__init__(name, address_of(name))
        self.asked = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    @property
    def stuck(self) -> bool:
        return not self._free.is_set()

    @stuck.setter
    def stuck(self, stuck: bool) -> None:
        if stuck:
            self._free.clear()
        else:
            self._free.set()

    async def _answer(self) -> None:
        self.asked.set()
        await self._free.wait()

    async def search(
        self, queries: npt.NDArray[np.float32], limit: int, where: Filter | None, deadline_s: float
    ) -> list[list[Candidate]]:
        await self._answer()
        return await super().search(queries, limit, where, deadline_s)

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        await self._answer()
        return await super().read(product_ids, deadline_s)


class DeadShard(MemoryShard):
    """A shard that cannot be reached while `dead`."""

    dead = False

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        if self.dead:
            raise ShardUnreachable(self.name, "connection refused")
        return await super().read(product_ids, deadline_s)


def shards_with(odd: MemoryShard) -> list[Shard]:
    return [*memory_shards("a/1", "b/1"), odd]


def searched(photo: bytes = PHOTO, **more: object) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(image=photo, **more)  # type: ignore[arg-type]


async def test_a_stuck_shard_costs_coverage_and_not_the_answer(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=shards_with(stuck), shard_deadline_s=0.2) as shop:
        stuck.stuck = True
        found = await shop.search.Search(searched(), timeout=CALL_S)
    assert (found.coverage.shards_asked, found.coverage.shards_answered) == (3, 2)
    assert found.coverage.slots_fraction == pytest.approx(2 / 3, abs=0.01)
    assert list(found.coverage.unreachable) == ["c"]
    assert found.coverage.reasons[0].kind == search_pb2.Coverage.Reason.KIND_TIMED_OUT


async def test_a_partial_answer_comes_before_the_callers_deadline(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=shards_with(stuck)) as shop:
        stuck.stuck = True
        found = await shop.search.Search(searched(), timeout=2)
    assert found.coverage.shards_answered == 2


async def test_too_little_coverage_is_unavailable_where_more_is_asked_for(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=shards_with(stuck), shard_deadline_s=0.2) as shop:
        assert (await shop.search.Search(searched(coverage_min=1), timeout=CALL_S)).coverage.slots_fraction == 1
        stuck.stuck = True
        assert await shop.search.Search(searched(coverage_min=0.6), timeout=CALL_S)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.search.Search(searched(coverage_min=0.7), timeout=CALL_S)
    told = told_by(error.value)
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "COVERAGE")
    assert "missing shards: c" in told.message


async def test_a_call_without_a_deadline_gets_the_servers(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=[stuck], deadline_s=0.3) as shop:
        stuck.stuck = True
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="x"))
    assert error.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    assert told_by(error.value).reason in ("DEADLINE_EXCEEDED", "SHARD_TIMED_OUT")


async def test_a_shard_that_cannot_be_reached_is_never_not_found(tmp_path: Path) -> None:
    dead = DeadShard("c/1", address_of("c/1"))
    async with open_shop(tmp_path, shards=[dead]) as shop:
        dead.dead = True
        for call in (
            shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="x"), timeout=CALL_S),
            shop.catalog.UpsertProduct(catalog_pb2.UpsertProductRequest(product=product("x", RED)), timeout=CALL_S),
            shop.search.Search(search_pb2.SearchRequest(product_id="x"), timeout=CALL_S),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            told = told_by(error.value)
            assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SHARD_UNAVAILABLE")


async def test_the_work_of_a_caller_who_left_stops(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=[stuck]) as shop:
        stuck.stuck = True
        call = shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="x"), timeout=CALL_S)
        async with asyncio.timeout(CALL_S):
            await stuck.asked.wait()
        call.cancel()
        # The shard's own call is left to its deadline; nothing else waits for it.
        assert await shop.serving.stop(DRAINS_S)
        assert stuck.stuck


async def test_a_full_queue_tells_callers_when_to_come_again(tmp_path: Path) -> None:
    limits = VisionLimits(pixel_threads=1, photos_waiting_max=1)
    large = jpeg(plain(BLUE, 2000, 2000))
    async with open_shop(tmp_path, limits=limits) as shop:
        calls = [shop.search.Search(searched(large), timeout=CALL_S) for _ in range(30)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [told_by(one) for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
        assert await shop.search.Search(searched(), timeout=CALL_S)
    assert any(isinstance(one, search_pb2.SearchResponse) for one in outcomes)
    assert refused
    assert {(one.code, one.reason) for one in refused} == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")}
    assert all(one.retry_s and one.retry_s > 0 for one in refused)


async def test_a_stopping_server_is_not_serving_and_lets_running_calls_end(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=shards_with(stuck), shard_deadline_s=0.5) as shop:
        health = await shop.health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
        stuck.stuck = True
        running = asyncio.ensure_future(shop.search.Search(searched(), timeout=CALL_S))
        async with asyncio.timeout(CALL_S):
            await stuck.asked.wait()
        watch = shop.health.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_S)
        seen = [(await watch.read()).status]
        stopping = asyncio.ensure_future(shop.serving.stop(CALL_S))
        seen.append((await watch.read()).status)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S)
        found = await running
        assert await stopping
    assert (health.status, seen) == (SERVING, [SERVING, NOT_SERVING])
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert found.coverage.shards_answered == 2


async def test_a_drain_is_bounded(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=[stuck]) as shop:
        stuck.stuck = True
        running = asyncio.ensure_future(
            shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id="x"), timeout=CALL_S)
        )
        async with asyncio.timeout(CALL_S):
            await stuck.asked.wait()
            assert not await shop.serving.stop(0.1)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await running


async def test_a_stream_ends_with_its_caller_and_its_work_too(tmp_path: Path) -> None:
    stuck = StuckShard("c/1")
    async with open_shop(tmp_path, shards=[stuck]) as shop:
        stuck.stuck = True
        call = shop.search.SearchStream(endless(search_pb2.SearchRequest(product_id="x")), timeout=CALL_S)
        async with asyncio.timeout(CALL_S):
            await stuck.asked.wait()
        call.cancel()
        assert await shop.serving.stop(DRAINS_S)
        assert stuck.stuck


async def test_a_stopping_server_answers_what_a_stream_sent_and_then_says_so(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        call = shop.search.SearchStream(endless(searched()), timeout=CALL_S)
        first = await call.read()
        assert await shop.serving.stop(CALL_S)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
    assert isinstance(first, search_pb2.SearchStreamResponse)
    assert first.HasField("result")
    assert (error.value.code(), told_by(error.value).reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")


async def endless(search: search_pb2.SearchRequest) -> AsyncIterator[search_pb2.SearchStreamRequest]:
    """Send one item and never end."""
    yield search_pb2.SearchStreamRequest(item_id="1", search=search)
    await asyncio.Event().wait()


async def test_more_streams_than_the_house_holds_are_told_to_come_again(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        open_streams = [shop.search.SearchStream(endless(searched()), timeout=CALL_S) for _ in range(STREAMS_MAX)]
        for call in open_streams:
            await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.search.SearchStream(endless(searched()), timeout=CALL_S).read()
        for call in open_streams:
            call.cancel()
    told = told_by(error.value)
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert told.retry_s
