"""Reads by id and in order, over shards with replicas, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from lookalike_router.ask import Asker
from lookalike_router.errors import ShardFailed, ShardUnreachable
from lookalike_router.merge import Dead
from lookalike_router.placement import plan
from lookalike_router.reads import READ_PRODUCTS_MAX, Reads
from lookalike_router.replica import Away
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import ROWS_MAX, Row
from lookalike_router.store import Sync
from tests.parts.shop import row
from tests.router.scripted import Cast, S
from tests.simulation.loop import run

PLACEMENT = plan({"a": 1.0, "b": 1.0})
FIRST = row("product 0")
ROWS = [FIRST, *(replace(FIRST, product_id=f"product {i}", slot=row(f"product {i}").slot) for i in range(1, 40))]


class Shop:
    """Two shards over which rows are spread."""

    def __init__(self, casts: dict[str, Cast]) -> None:
        self.casts = casts

    def reads(self, dead: Dead = lambda *_: False, on: Safeguards = ALL) -> Reads:
        groups = {name: replace(cast.group, ranges=PLACEMENT.ranges(name)) for name, cast in self.casts.items()}
        return Reads(Asker(), groups, PLACEMENT.owners, dead, on)


def play(rows: Sequence[Row], scene: Callable[[Shop], Awaitable[None]], replicas: int = 2) -> None:
    """Play a scene in a shop that has these rows, on virtual time."""

    async def whole() -> None:
        casts = {
            name: await Cast.of(name, replicas, [one for one in rows if PLACEMENT.owners[one.slot] == name])
            for name in "ab"
        }
        await scene(Shop(casts))
        for cast in casts.values():
            await cast.close()

    run(whole())


def soon() -> float:
    return asyncio.get_running_loop().time() + S


async def everything(reads: Reads, limit: int = 7) -> list[str]:
    """Return the product ids of a whole scan, page by page."""
    seen: list[str] = []
    after = None
    while True:
        page = await reads.scan(after, limit, None, soon())
        seen += [rows[0].product_id for rows in page.products]
        after = page.next
        if after is None:
            return seen


def in_order(rows: Sequence[Row]) -> list[str]:
    return [product_id for _, product_id in sorted({(one.slot, one.product_id) for one in rows})]


def test_products_are_read_from_their_owners_and_those_that_do_not_exist_are_left_out() -> None:
    async def scene(shop: Shop) -> None:
        ids = [one.product_id for one in ROWS]
        found = await shop.reads().get([*ids, "unknown", ids[0]], soon())
        assert {product_id: len(rows) for product_id, rows in found.items()} == dict.fromkeys(ids, 1)

    play(ROWS, scene)


def test_many_products_are_read_in_several_calls() -> None:
    async def scene(shop: Shop) -> None:
        await shop.reads().get([f"x{i}" for i in range(4 * READ_PRODUCTS_MAX)], soon())
        asked = sum(endpoint.asked for cast in shop.casts.values() for endpoint in cast.endpoints.values())
        assert 4 <= asked <= 6

    play([], scene)


def test_old_versions_and_dead_rows_are_not_read() -> None:
    rows = [row("p", "old"), row("p", "b", version=2), row("p", "a", version=2), row("gone"), row("back", version=3)]

    def dead(product_id: str, version: int) -> bool:
        return version <= {"gone": 1, "back": 2}.get(product_id, 0)

    async def scene(shop: Shop) -> None:
        reads = shop.reads(dead)
        found = await reads.get(["p", "gone", "back"], soon())
        assert {product_id: [one.image_id for one in rows] for product_id, rows in found.items()} == {
            "p": ["a", "b"],
            "back": ["front"],
        }
        assert sorted(await everything(reads)) == ["back", "p"]
        unguarded = shop.reads(dead, Safeguards(tombstones=False))
        assert "gone" in await unguarded.get(["gone"], soon())
        assert "gone" in await everything(unguarded)

    play(rows, scene)


def test_a_scan_has_every_product_once_and_in_order_while_a_replica_dies() -> None:
    async def scene(shop: Shop) -> None:
        reads = shop.reads()
        assert await everything(reads) == in_order(ROWS)
        victim = shop.casts["a"].endpoints["a/1"]
        victim.error = ShardUnreachable("a/1", "is down")
        assert await everything(reads) == in_order(ROWS)
        assert isinstance(shop.casts["a"].replicas["a/1"].state, Away), "it was met"

    play(ROWS, scene)


def test_a_read_needs_a_replica_that_holds_everything() -> None:
    async def scene(shop: Shop) -> None:
        shop.casts["a"].replicas["a/1"].sync = Sync.BEHIND
        shop.casts["a"].endpoints["a/2"].error = ShardUnreachable("a/2", "is down")
        lost = [one.product_id for one in ROWS if PLACEMENT.owners[one.slot] == "a"]
        kept = [one.product_id for one in ROWS if PLACEMENT.owners[one.slot] == "b"]
        reads = shop.reads()
        with pytest.raises(ShardUnreachable, match="shard a: a/2 is down"):
            await reads.get([lost[0], kept[0]], soon())
        with pytest.raises(ShardUnreachable):
            await everything(reads)
        assert set(await reads.get(kept, soon())) == set(kept)
        assert shop.casts["a"].endpoints["a/1"].asked == 0

    play(ROWS, scene)


def test_a_slot_with_more_rows_than_a_shard_returns_is_an_error_and_no_short_page() -> None:
    # Few objects: what counts is their number.
    crowd = [replace(FIRST, image_id=f"{i}") for i in range(ROWS_MAX)]

    async def scene(shop: Shop) -> None:
        with pytest.raises(ShardFailed, match="single slot"):
            await shop.reads().scan(None, 10, None, soon())

    play(crowd, scene, replicas=1)
