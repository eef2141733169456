"""Writes with a name of their own, over real gRPC: sent twice they take effect once and are answered alike."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from lookalike.v1 import catalog_pb2
from lookalike_router.memory import MemoryShard
from lookalike_router.shard import Head, Row
from tests.parts.service import BLUE, CALL_S, GREEN, RED, Shop, Told, address_of, open_shop, product, told_by

C = catalog_pb2.UpsertProductResponse


class CountingShard(MemoryShard):
    """An endpoint that counts what is written to it, and can hold up one read."""

    def __init__(self, name: str) -> None:
        super().__init__(name, address_of(name))
        self.stored: list[str] = []
        self.gate: asyncio.Event | None = None
        """Holds up the next read, and that one alone, until it is set."""
        self.held = asyncio.Event()

    async def read(self, product_ids: Sequence[str], deadline_s: float) -> list[Row]:
        gate, self.gate = self.gate, None
        if gate is not None:
            self.held.set()
            await gate.wait()
        return await super().read(product_ids, deadline_s)

    async def write(self, rows: Sequence[Row], gone: Sequence[Head], deadline_s: float) -> None:
        self.stored += [row.product_id for row in rows]
        await super().write(rows, gone, deadline_s)


@pytest.fixture
def shard() -> CountingShard:
    return CountingShard("a/1")


@pytest.fixture
async def shop(tmp_path: Path, shard: CountingShard) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, shards=[shard]) as running:
        yield running


async def upsert(shop: Shop, sent: catalog_pb2.Product, request_id: str = "") -> C:
    request = catalog_pb2.UpsertProductRequest(product=sent, request_id=request_id)
    return await shop.catalog.UpsertProduct(request, timeout=CALL_S)


async def delete(shop: Shop, product_id: str, request_id: str = "") -> int:
    request = catalog_pb2.DeleteProductRequest(product_id=product_id, request_id=request_id)
    return (await shop.catalog.DeleteProduct(request, timeout=CALL_S)).images_deleted


async def title(shop: Shop, product_id: str) -> str:
    found = await shop.catalog.GetProduct(catalog_pb2.GetProductRequest(product_id=product_id), timeout=CALL_S)
    return found.product.title


async def refused(call: "asyncio.Future[object]") -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return told_by(error.value)


async def test_an_upsert_sent_again_gets_the_first_answer(shop: Shop) -> None:
    sent = product("mug", RED, BLUE, title="Mug")
    first = await upsert(shop, sent, "r1")
    assert (first.outcome, first.images_embedded) == (C.OUTCOME_CREATED, 2)
    assert await upsert(shop, sent, "r1") == first
    assert (await upsert(shop, sent)).outcome == C.OUTCOME_UNCHANGED


async def test_an_upsert_sent_again_does_not_undo_what_came_after_it(shop: Shop) -> None:
    first = await upsert(shop, product("mug", RED, title="first"), "r1")
    await upsert(shop, product("mug", RED, title="second"), "r2")
    assert await upsert(shop, product("mug", RED, title="first"), "r1") == first
    assert await title(shop, "mug") == "second"


async def test_an_upsert_sent_again_does_not_bring_a_deleted_product_back(shop: Shop) -> None:
    first = await upsert(shop, product("mug", RED), "r1")
    assert await delete(shop, "mug") == 1
    assert await upsert(shop, product("mug", RED), "r1") == first
    assert (await refused(asyncio.ensure_future(title(shop, "mug")))).reason == "PRODUCT_NOT_FOUND"


async def test_an_upsert_that_changed_nothing_is_remembered_too(shop: Shop, shard: CountingShard) -> None:
    await upsert(shop, product("mug", RED, title="first"))
    first = await upsert(shop, product("mug", RED, title="first"), "r1")
    await upsert(shop, product("mug", RED, title="second"))
    assert first.outcome == C.OUTCOME_UNCHANGED
    assert await upsert(shop, product("mug", RED, title="first"), "r1") == first
    assert (await title(shop, "mug"), len(shard.stored)) == ("second", 2)


async def test_another_payload_under_the_same_name_is_refused_and_changes_nothing(shop: Shop) -> None:
    await upsert(shop, product("mug", RED, title="first"), "r1")
    for other in (
        upsert(shop, product("mug", RED, title="second"), "r1"),
        upsert(shop, product("mug", GREEN, title="first"), "r1"),
        upsert(shop, product("cup", RED, title="first"), "r1"),
        delete(shop, "mug", "r1"),
    ):
        told = await refused(asyncio.ensure_future(other))
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        assert list(told.fields) == ["request_id"]
    assert await title(shop, "mug") == "first"


async def test_a_delete_sent_again_says_what_went_the_first_time(shop: Shop) -> None:
    await upsert(shop, product("mug", RED, BLUE))
    assert await delete(shop, "mug", "r1") == 2
    await upsert(shop, product("mug", GREEN, title="new"))
    assert await delete(shop, "mug", "r1") == 2
    assert await title(shop, "mug") == "new"


async def test_a_delete_of_what_was_never_there_is_not_found_however_often(shop: Shop) -> None:
    for request_id in ("", "r1", "r1"):
        told = await refused(asyncio.ensure_future(delete(shop, "mug", request_id)))
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND")


async def test_a_request_that_was_refused_may_be_put_right_and_sent_again(shop: Shop) -> None:
    bad = catalog_pb2.Product(product_id="mug", images=[catalog_pb2.ProductImage(content=b"no picture")])
    assert (await refused(asyncio.ensure_future(upsert(shop, bad, "r1")))).reason == "UNSUPPORTED_FORMAT"
    assert (await upsert(shop, product("mug", RED), "r1")).outcome == C.OUTCOME_CREATED


async def test_doubles_at_the_same_time_take_effect_once_and_are_answered_alike(
    shop: Shop, shard: CountingShard
) -> None:
    sent = product("mug", RED, BLUE)
    answers = await asyncio.gather(*(upsert(shop, sent, "r1") for _ in range(10)))
    assert {one.outcome for one in answers} == {C.OUTCOME_CREATED}
    assert all(one == answers[0] for one in answers)
    assert shard.stored == ["mug", "mug"]
    assert await asyncio.gather(*(delete(shop, "mug", "r2") for _ in range(10))) == [2] * 10


async def test_two_products_under_one_name_at_the_same_time_are_not_both_stored(
    shop: Shop, shard: CountingShard
) -> None:
    sent = [asyncio.ensure_future(upsert(shop, product(name, RED), "r1")) for name in ("mug", "cup")]
    await asyncio.wait(sent)
    assert sum(one.exception() is None for one in sent) == 1
    assert len(shard.stored) == 1


async def test_doubles_at_two_servers_take_effect_once(tmp_path: Path, shard: CountingShard) -> None:
    sent = product("mug", RED, title="first")
    async with open_shop(tmp_path, shards=[shard]) as one, open_shop(tmp_path, shards=[shard]) as two:
        answers = await asyncio.gather(*(upsert(shop, sent, "r1") for shop in (one, two) * 5))
        assert all(answer == answers[0] for answer in answers)
        await upsert(one, product("mug", RED, title="second"))
        assert await upsert(two, sent, "r1") == answers[0]
        assert await title(two, "mug") == "second"
    assert len(shard.stored) == 2


async def test_a_double_that_comes_after_others_have_written_gets_the_first_answer_and_writes_nothing(
    tmp_path: Path, shard: CountingShard
) -> None:
    sent = product("mug", RED, title="first")
    async with open_shop(tmp_path, shards=[shard]) as one, open_shop(tmp_path, shards=[shard]) as two:
        shard.gate = gate = asyncio.Event()
        double = asyncio.ensure_future(upsert(two, sent, "r1"))
        await shard.held.wait()
        first = await upsert(one, sent, "r1")
        await upsert(one, product("mug", RED, title="second"))
        gate.set()
        assert await double == first
        assert (await title(two, "mug"), len(shard.stored)) == ("second", 2)


async def test_an_imported_item_may_have_a_name_too(shop: Shop, shard: CountingShard) -> None:
    items = [
        catalog_pb2.ImportProductsRequest(item_id=str(n), product=product(f"p{n % 4}", RED), request_id=f"r{n % 4}")
        for n in range(12)
    ]
    answers = [one async for one in shop.catalog.ImportProducts(iter(items), timeout=CALL_S)]
    assert {one.result.outcome for one in answers} == {C.OUTCOME_CREATED}
    assert sorted(shard.stored) == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("wrong", ["r" * 129, "r\x00"])
async def test_a_name_that_is_none_is_refused(shop: Shop, wrong: str) -> None:
    for call in (upsert(shop, product("mug", RED), wrong), delete(shop, "mug", wrong)):
        told = await refused(asyncio.ensure_future(call))
        assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["request_id"])
