"""The public API as users type it: never run, checked by mypy --strict."""

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import assert_never, assert_type

import lookalike
from lookalike import (
    AsyncClient,
    Box,
    Client,
    Coverage,
    Detection,
    Done,
    Failed,
    Hit,
    Image,
    LookalikeError,
    Money,
    Outcome,
    Photo,
    Point,
    Product,
    SearchResult,
    UpsertOutcome,
    UpsertResult,
    Vector,
    all_of,
    between,
    equals,
    negate,
    one_of,
)


def search(shop: Client) -> None:
    result = shop.search(
        "photo.jpg", limit=5, filter=all_of(equals("category", "mug"), between("price_minor", 0, 3000))
    )
    assert_type(result, SearchResult)
    assert_type(result.hits, tuple[Hit, ...])
    assert_type(result.detections, tuple[Detection, ...])
    assert_type(result.coverage, Coverage)
    assert_type(result.hits[0].product.price, Money | None)
    assert_type(shop.search(Path("photo.jpg"), box=Box(0, 0, 1, 1)), SearchResult)
    assert_type(shop.search(b"bytes", point=Point(0.5, 0.5)), SearchResult)
    with open("photo.jpg", "rb") as file:
        assert_type(shop.search(file, whole_image=True), SearchResult)
    assert_type(shop.search(vector=[0.5, 0.25], filter=negate(one_of("tags", "sale", "old"))), SearchResult)
    assert_type(shop.search(vector=shop.embed("photo.jpg").vector), SearchResult)
    assert_type(shop.search("photo.jpg", explain=True).explanation, lookalike.Explanation | None)
    assert_type(result.coverage.behind, tuple[str, ...])
    assert_type(shop.embed("photo.jpg").vector, Vector)
    assert_type(shop.detect("photo.jpg").detections, tuple[Detection, ...])


def streams(shop: Client, photos: Iterator[Path], products: Iterator[Product]) -> None:
    # Photos of one kind only are fine: an iterable gives, and takes nothing.
    searches = shop.search_many(photos)
    assert_type(searches, Generator[Outcome[Photo, SearchResult], None, None])
    with closing(shop.import_products(products, request_id=lambda product: product.product_id)) as outcomes:
        for outcome in outcomes:
            match outcome:
                case Done(item=product, result=result):
                    assert_type(product, Product)
                    assert_type(result, UpsertResult)
                    assert_type(result.outcome, UpsertOutcome)
                case Failed(item=product, error=error):
                    assert_type(product, Product)
                    assert_type(error, LookalikeError)
                case _:
                    assert_never(outcome)


def catalogue(shop: Client) -> None:
    product = Product(
        "mug-1", price=Money.parse("24.90", "EUR"), images=(Image("a.jpg"),), attributes={"parts": [1, {}]}
    )
    assert_type(shop.upsert(product), UpsertResult)
    assert_type(shop.get("mug-1"), Product)
    assert_type(shop.list(filter=equals("in_stock", True)), Iterator[Product])
    assert_type(shop.list_page().next_page_token, str)
    assert_type(shop.upsert(product, request_id="order-7"), UpsertResult)
    assert_type(shop.delete("mug-1", request_id="order-8"), int)
    assert_type(shop.topology().shards[0].slot_ranges, tuple[lookalike.SlotRange, ...])
    assert_type(shop.health(), lookalike.Health)


def operating(shop: Client) -> None:
    assert_type(shop.shards()[0].state, lookalike.ShardState)
    assert_type(shop.shards()[0].replicas[0].replica.sync, lookalike.Sync)
    assert_type(shop.topology().shards[0].replicas, tuple[lookalike.Replica, ...])
    assert_type(shop.add_shard("d", ["http://d:19530"], weight=2), lookalike.Shard)
    assert_type(shop.add_replica("a", "http://a:19530"), str)
    shop.remove_replica("a/2")
    with closing(shop.verify("a", repair=True)) as reports:
        for progress in reports:
            assert_type(progress, lookalike.VerifyProgress)
            assert_type(progress.differing_product_ids, tuple[str, ...])


def rebalancing(shop: Client) -> None:
    pins = [lookalike.RebalancePin("a", lookalike.SlotRange(0, 99))]
    assert_type(shop.rebalance.plan(pins=pins, drain="b"), lookalike.RebalancePlan)
    assert_type(shop.rebalance.plan().routes, tuple[lookalike.RebalanceRoute, ...])
    assert_type(shop.rebalance.start(pins=iter(pins), batch_slots=64, rows_per_s=1000), lookalike.RebalanceJob | None)
    assert_type(shop.rebalance.throttle(500).state, lookalike.RebalanceState)
    assert_type(shop.rebalance.job(), lookalike.RebalanceJob | None)
    assert_type(shop.drain_shard("a", rows_per_s=5), lookalike.RebalanceJob | None)
    shop.remove_shard("a", force=True)
    with closing(shop.rebalance.watch()) as jobs:
        for job in jobs:
            assert_type(job.eta_s, float | None)
            assert_type(job.moves[0].step, lookalike.RebalanceStep)
    assert_type([found.rows for found in shop.rebalance.verify(repair=True)], list[int])


def errors(shop: Client) -> None:
    try:
        shop.get("mug-1")
    except lookalike.Overloaded as error:
        assert_type(error.retry_after_s, float | None)
    except lookalike.RequestIdReused as error:
        assert_type(error.field_violations, tuple[lookalike.FieldViolation, ...])
    except lookalike.InvalidArgument as error:
        assert_type(error.field_violations, tuple[lookalike.FieldViolation, ...])
    except LookalikeError as error:
        assert_type(error.reason, str)


async def asynchronous(shop: AsyncClient, products: Iterator[Product], later: AsyncGenerator[Product, None]) -> None:
    assert_type(await shop.search("photo.jpg"), SearchResult)
    assert_type(await shop.upsert(Product("mug-1")), UpsertResult)
    assert_type([product async for product in shop.list()], list[Product])
    async with aclosing(shop.import_products(later)) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Outcome[Product, UpsertResult])
    assert_type(shop.import_products(products), AsyncGenerator[Outcome[Product, UpsertResult], None])
    assert_type(await shop.delete("mug-1", request_id="order-8"), int)
    assert_type(await shop.add_replica("a", "http://a:19530"), str)
    assert_type(await shop.rebalance.start(), lookalike.RebalanceJob | None)
    assert_type(await shop.rebalance.cancel(), lookalike.RebalanceJob)
    async with aclosing(shop.rebalance.watch()) as jobs:
        assert_type([job async for job in jobs], list[lookalike.RebalanceJob])
    async with aclosing(shop.verify()) as reports:
        async for progress in reports:
            assert_type(progress.next_slot, int)


def mistakes(shop: Client) -> None:
    shop.search(1.5)  # type: ignore[arg-type]
    shop.search("photo.jpg", limit="5")  # type: ignore[arg-type]
    shop.search("photo.jpg", filter="category=mug")  # type: ignore[arg-type]
    shop.upsert(Product("mug-1"), request_id=7)  # type: ignore[arg-type]
    shop.search("photo.jpg", boxes=[])  # type: ignore[call-arg]
    Product("mug-1").title = "Mug"  # type: ignore[misc]
