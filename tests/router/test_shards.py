"""The contract that every shard keeps: in memory, on Milvus Lite, on a real Milvus standalone."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest

from lookalike_router.columns import key_of, opened
from lookalike_router.digest import digests
from lookalike_router.errors import ShardFailed, ShardRefused
from lookalike_router.filter import AllOf, AnyOf, Equal, Filter, InList, Json, Negate, Range, Scalar, matches
from lookalike_router.memory import MemoryShard
from lookalike_router.milvus import MilvusShard
from lookalike_router.shard import ROWS_MAX, Head, Row, Shard
from lookalike_router.slots import SLOTS, SlotRange, slot_of
from tests.parts.shop import row, vectors
from tests.router.conftest import SHOP, no_standalone

SLOTS_ALL = SlotRange(0, SLOTS - 1)
ALL = [SLOTS_ALL]
QUARTERS = [SlotRange(first, first + SLOTS // 4 - 1) for first in range(0, SLOTS, SLOTS // 4)]
UP = vectors(1)[0]
S = 60.0
HOSTILE = [
    '"',
    "\\",
    "'; drop",
    "a\nb\r\tc",
    "\x00\x1f",
    "中文\\u4e2d",
    "%_[]{}",
    '"] or slot >= 0 or product in [1',
    "𝕏🙂",
    " ",
]


@pytest.fixture(
    params=["memory", "lite", pytest.param("standalone", marks=[pytest.mark.standalone, no_standalone])],
)
async def shard(request: pytest.FixtureRequest, founded: set[str]) -> AsyncIterator[Shard]:
    made: Shard
    if request.param == "memory":
        made = MemoryShard("contract/1")
        await made.join(SHOP, founding=True, deadline_s=S)
    else:
        uri = request.getfixturevalue(f"{request.param}_uri")
        made = MilvusShard("contract/1", uri)
        await made.join(SHOP, founding=uri not in founded, deadline_s=S)
        founded.add(uri)
    yield made
    await made.write([], await made.heads_in(ALL, S), S)
    assert await made.count(ALL, None, S) == 0
    await made.close()


async def test_a_stored_row_is_found_with_all_its_facts(shard: Shard) -> None:
    attributes: dict[str, Json] = {"title": "Cup", "tags": ["a"], "attributes": {"n": [1, {"x": None}], "s": "ü"}}
    stored = row("p", attributes=attributes)
    await shard.write([stored], [], S)

    [[found]] = await shard.search(stored.vector[None], 10, None, S)

    assert (found.product_id, found.image_id, found.version) == ("p", "front", 1)
    assert found.score == pytest.approx(1.0, abs=1e-5)
    assert opened(found.document) == (attributes, {"uri": "front.jpg"})


async def test_what_was_acknowledged_is_seen_by_the_next_search(shard: Shard) -> None:
    for i in range(3):
        stored = row(f"p{i}")
        await shard.write([stored], [], S)
        [[found]] = await shard.search(stored.vector[None], 1, None, S)
        assert found.product_id == f"p{i}"
        assert found.score == pytest.approx(1.0, abs=1e-5)
        await shard.write([], [Head(f"p{i}", "front", 1)], S)
        assert await shard.search(stored.vector[None], 1, None, S) == [[]]


async def test_rows_come_best_first_as_brute_force_says(shard: Shard) -> None:
    drawn = vectors(80, seed=1)
    await shard.write([row(f"p{i}", vector=vector) for i, vector in enumerate(drawn)], [], S)
    queries = vectors(3, seed=2)

    answers = await shard.search(queries, 10, None, S)

    for query, found in zip(queries, answers, strict=True):
        order = np.argsort(-(drawn @ query))[:10]
        assert [hit.product_id for hit in found] == [f"p{i}" for i in order]
        assert [hit.score for hit in found] == pytest.approx(list((drawn @ query)[order]), abs=1e-5)


async def test_an_empty_shard_answers_every_query_with_nothing(shard: Shard) -> None:
    assert await shard.search(vectors(3), 10, None, S) == [[], [], []]
    assert await shard.read(["p"], S) == []
    assert await shard.heads(["p"], S) == []
    assert await shard.scan(ALL, None, 10, S) == []
    assert await shard.count(ALL, None, S) == 0


async def test_a_filter_that_no_row_meets_finds_nothing(shard: Shard) -> None:
    await shard.write([row("p")], [], S)
    assert await shard.search(vectors(2), 10, Equal("brand", "none"), S) == [[], []]


async def test_a_limit_beyond_the_rows_returns_them_all(shard: Shard) -> None:
    await shard.write([row(f"p{i}") for i in range(5)], [], S)
    [found] = await shard.search(vectors(1), ROWS_MAX, None, S)
    assert len(found) == 5


async def test_two_versions_of_a_picture_stand_side_by_side(shard: Shard) -> None:
    old, new = vectors(2, seed=3)
    await shard.write([row("p", vector=old, attributes={"title": "old"})], [], S)
    await shard.write([row("p", vector=new, attributes={"title": "new"}, version=2)], [], S)

    found = {one.version: one for one in await shard.read(["p"], S)}

    assert {version: one.attributes["title"] for version, one in found.items()} == {1: "old", 2: "new"}
    assert found[1].vector == pytest.approx(old, abs=1e-6)
    assert found[2].vector == pytest.approx(new, abs=1e-6)
    [[best, _]] = await shard.search(new[None], 10, None, S)
    assert best.version == 2


async def test_a_write_stores_and_deletes_in_one(shard: Shard) -> None:
    await shard.write([row("p", "a"), row("p", "b")], [], S)

    await shard.write([row("p", "a", version=2)], [Head("p", "a", 1), Head("p", "b", 1)], S)

    assert await shard.heads(["p"], S) == [Head("p", "a", 2)]
    [found] = await shard.search(vectors(1), 10, None, S)
    assert [(hit.image_id, hit.version) for hit in found] == [("a", 2)]


async def test_a_repeated_write_changes_nothing(shard: Shard) -> None:
    rows, gone = [row("p", "a", version=2), row("p", "b", version=2)], [Head("p", "a", 1)]
    await shard.write([row("p", "a"), row("q")], [], S)
    await shard.write(rows, gone, S)
    before = await shard.digests(SLOTS_ALL, S)

    await shard.write(rows, gone, S)
    await asyncio.gather(*(shard.write(rows + rows, gone, S) for _ in range(3)))

    assert await shard.digests(SLOTS_ALL, S) == before
    assert await shard.count(ALL, None, S) == 3
    [found] = await shard.search(vectors(1), 10, None, S)
    assert len(found) == 3


async def test_an_old_write_that_comes_late_does_not_hide_the_new_row(shard: Shard) -> None:
    old, new = vectors(2, seed=4)
    late = [row("p", vector=old, attributes={"title": "old"})]
    await shard.write([row("p", vector=new, attributes={"title": "new"}, version=2)], [Head("p", "front", 1)], S)

    await shard.write(late, [], S)

    newest = max(await shard.read(["p"], S), key=lambda one: one.version)
    assert (newest.version, newest.attributes) == (2, {"title": "new"})
    assert newest.vector == pytest.approx(new, abs=1e-6)
    [[found, _]] = await shard.search(new[None], 10, None, S)
    assert found.version == 2
    assert found.score == pytest.approx(1.0, abs=1e-5)


async def test_writing_nothing_is_no_error(shard: Shard) -> None:
    await shard.write([], [], S)
    assert await shard.heads([], S) == []
    assert await shard.read([], S) == []
    assert await shard.heads_in([], S) == []


async def test_reads_return_every_picture_of_the_products_and_no_other(shard: Shard) -> None:
    await shard.write([row("p", "a"), row("p", "b"), row("q", "a"), row("r", "a")], [], S)

    rows = await shard.read(["p", "q", "gone"], S)
    heads = await shard.heads(["p", "q", "gone"], S)

    wanted = {("p", "a"), ("p", "b"), ("q", "a")}
    assert {(one.product_id, one.image_id) for one in rows} == wanted
    assert {(one.product_id, one.image_id) for one in heads} == wanted
    assert all(one.vector == pytest.approx(row(one.product_id, one.image_id).vector, abs=1e-6) for one in rows)


async def test_a_delete_takes_the_named_versions_alone(shard: Shard) -> None:
    await shard.write([row("p", "a"), row("p", "a", version=2), row("p", "b"), row("q", "a")], [], S)

    await shard.write([], [Head("p", "a", 1), Head("p", "b", 2), Head("gone", "a", 1)], S)

    left = {Head("p", "a", 2), Head("p", "b", 1), Head("q", "a", 1)}
    assert set(await shard.heads_in(ALL, S)) == left
    [found] = await shard.search(vectors(1), 10, None, S)
    assert {Head(hit.product_id, hit.image_id, hit.version) for hit in found} == left


async def test_more_rows_and_keys_than_one_message_takes_are_written(shard: Shard) -> None:
    rows = [row("p", f"{i}", vector=vector) for i, vector in enumerate(vectors(600, seed=5))]
    await shard.write(rows, [], S)
    assert len(await shard.read(["p"], S)) == 600

    await shard.write([row("p", "new", version=2)], [Head("p", f"{i}", 1) for i in range(599)], S)

    assert set(await shard.heads(["p"], S)) == {Head("p", "599", 1), Head("p", "new", 2)}


async def test_more_products_than_one_expression_takes_are_read(shard: Shard) -> None:
    rows = [row(f"p{i}", vector=vector) for i, vector in enumerate(vectors(200, seed=6))]
    await shard.write(rows, [], S)

    wanted = [f"p{i}" for i in range(1, 400)]
    assert {head.product_id for head in await shard.heads(wanted, S)} == {f"p{i}" for i in range(1, 200)}
    assert {one.product_id for one in await shard.read(wanted, S)} == {f"p{i}" for i in range(1, 200)}


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_is_only_ever_text(shard: Shard, text: str) -> None:
    mean = row(text, text, attributes={"title": text, "tags": [text], "attributes": {text: text}})
    await shard.write([mean, row("bystander", attributes={"title": "x"})], [], S)

    wheres = [Equal("title", text), Equal("tags", text), Equal(f"attributes.{text}", text), Equal("product_id", text)]
    for where in wheres:
        [only] = await shard.scan(ALL, where, 10, S)
        assert (only.product_id, only.image_id, only.attributes) == (text, text, mean.attributes)
    assert [one.product_id for one in await shard.read([text], S)] == [text]
    await shard.write([], [Head(text, text, 1)], S)
    assert [one.product_id for one in await shard.scan(ALL, None, 10, S)] == ["bystander"]


TEXTS = ["", "mug", "Mug", "x y", "0", "true"]
NUMBERS = [-1.5, 0, 1, 1.0, 2, 2490, 1e300, -0.0]
FIELDS = ["product_id", "title", "category", "brand", "price_minor", "currency", "in_stock", "tags"]
OWN = ["attributes.a", "attributes.b c", "attributes.x.y", "attributes.\"'\\"]


def drawn_row(i: int, pick: random.Random) -> Row:
    """Return a row that has some of everything, and lacks some."""
    whole: dict[str, Json] = {name: pick.choice(TEXTS) for name in ("title", "category", "brand", "currency")}
    whole |= {"price_minor": pick.randrange(-1, 4), "in_stock": pick.random() < 0.5}
    whole |= {"tags": [*pick.sample(TEXTS, pick.randrange(4))]}
    own: list[Json] = [*TEXTS, *NUMBERS, True, False, None, ["mug"], {"mug": 1}]
    whole |= {"attributes": {name.removeprefix("attributes."): pick.choice(own) for name in OWN if pick.random() < 0.8}}
    return row(f"p{i}", attributes={name: value for name, value in whole.items() if pick.random() < 0.8})


def drawn_filter(pick: random.Random, depth: int = 0) -> Filter:
    """Return a filter of any kind."""
    field = pick.choice(FIELDS + OWN * 2)
    values: list[Scalar] = [*TEXTS, *NUMBERS, True, False, "p3"]
    bounds = [None, *(float(number) for number in NUMBERS), 0.5, 2.5, float("inf"), float("-inf")]
    match pick.randrange(6 if depth < 3 else 3):
        case 0:
            return Equal(field, pick.choice(values), negated=pick.random() < 0.5)
        case 1:
            return InList(field, tuple(pick.sample(values, pick.randrange(1, 4))))
        case 2:
            return Range(pick.choice(["price_minor", *OWN, field]), pick.choice(bounds), pick.choice(bounds))
        case 3:
            return AllOf(tuple(drawn_filter(pick, depth + 1) for _ in range(pick.randrange(3))))
        case 4:
            return AnyOf(tuple(drawn_filter(pick, depth + 1) for _ in range(pick.randrange(3))))
        case _:
            return Negate(drawn_filter(pick, depth + 1))


async def test_filters_mean_what_the_router_says_they_mean(shard: Shard) -> None:
    pick = random.Random(7)
    rows = [drawn_row(i, pick) for i in range(60)]
    await shard.write(rows, [], S)

    for _ in range(200):
        where = drawn_filter(pick)
        found = {one.product_id for one in await shard.scan(ALL, where, ROWS_MAX, S)}
        assert found == {one.product_id for one in rows if matches(where, one.product_id, one.attributes)}, where


async def test_a_search_obeys_its_filter_and_still_fills_its_limit(shard: Shard) -> None:
    rows = [row(f"p{i}", attributes={"category": "mug" if i % 10 == 0 else "lamp"}) for i in range(100)]
    await shard.write(rows, [], S)

    [found] = await shard.search(vectors(1, seed=9), 10, Equal("category", "mug"), S)

    assert {hit.product_id for hit in found} == {f"p{i}" for i in range(0, 100, 10)}


async def test_rows_are_counted_and_scanned_by_slot(shard: Shard) -> None:
    rows = [row(f"p{i}") for i in range(40)]
    await shard.write(rows, [], S)
    low, high = SlotRange(0, 4_999), SlotRange(9_000, 9_999)
    wanted = {one.product_id for one in rows if one.slot <= 4_999 or 9_000 <= one.slot <= 9_999}

    assert await shard.count([low, high], None, S) == len(wanted)
    assert {one.product_id for one in await shard.scan([low, high], None, 100, S)} == wanted
    assert await shard.count([], None, S) == 0
    assert len(await shard.scan(ALL, None, 7, S)) == 7


async def test_slots_scattered_into_many_ranges_are_counted_and_listed(shard: Shard) -> None:
    rows = [row(f"p{i}") for i in range(40)]
    await shard.write(rows, [], S)
    even = [SlotRange(slot, slot) for slot in range(0, SLOTS, 2)]
    wanted = {one.product_id for one in rows if one.slot % 2 == 0}

    assert await shard.count(even, None, S) == len(wanted)
    assert {head.product_id for head in await shard.heads_in(even, S)} == wanted
    assert {one.product_id for one in await shard.scan(even, None, 100, S)} == wanted


async def test_heads_are_listed_by_slot(shard: Shard) -> None:
    rows = [row(f"p{i}", image, version=i + 1) for i in range(20) for image in "ab"]
    await shard.write(rows, [], S)
    low, high = SlotRange(0, 4_999), SlotRange(9_000, 9_999)

    found = await shard.heads_in([low, high], S)

    chosen = [one for one in rows if one.slot <= 4_999 or 9_000 <= one.slot <= 9_999]
    assert sorted(found, key=str) == sorted(
        (Head(one.product_id, one.image_id, one.version) for one in chosen), key=str
    )
    assert 0 < len(found) < len(rows)


async def test_digests_say_the_rows_of_each_slot(shard: Shard) -> None:
    rows = [row(f"p{i}", image) for i in range(20) for image in "ab"]
    await shard.write(rows, [], S)
    half = SlotRange(0, 7_999)

    found = await shard.digests(half, S)

    assert {slot: one.rows for slot, one in found.items()} == Counter(one.slot for one in rows if one.slot <= 7_999)
    assert found == digests((one.slot, key_of(one.product_id, one.image_id, 1)) for one in rows if one.slot <= 7_999)


async def test_digests_are_equal_exactly_where_the_rows_are(shard: Shard) -> None:
    rows = [row("p", "a"), row("p", "b"), row("q", "a")]
    await shard.write(rows, [], S)
    before = await shard.digests(SLOTS_ALL, S)

    await shard.write([], [Head("p", "a", 1)], S)
    without = await shard.digests(SLOTS_ALL, S)
    await shard.write([row("p", "a", version=2)], [], S)
    newer = await shard.digests(SLOTS_ALL, S)
    await shard.write([row("p", "a")], [Head("p", "a", 2)], S)

    p = slot_of("p")
    assert len({before[p], without[p], newer[p]}) == 3
    assert before[slot_of("q")] == without[slot_of("q")] == newer[slot_of("q")]
    assert await shard.digests(SLOTS_ALL, S) == before


async def test_a_large_document_comes_back_whole(shard: Shard) -> None:
    attributes: dict[str, Json] = {"attributes": {"text": "é" * 30_000}}
    await shard.write([row("p", attributes=attributes)], [], S)
    [stored] = await shard.read(["p"], S)
    assert stored.attributes == attributes


async def test_a_shard_of_this_shop_joins_again_and_keeps_its_rows(shard: Shard) -> None:
    await shard.write([row("p")], [], S)
    await shard.join(SHOP, founding=False, deadline_s=S)
    assert await shard.count(ALL, None, S) == 1


async def test_a_shard_of_another_shop_is_refused(shard: Shard) -> None:
    for founding in (True, False):
        with pytest.raises(ShardRefused):
            await shard.join("another shop", founding=founding, deadline_s=S)
    await shard.join(SHOP, founding=False, deadline_s=S)


async def test_more_rows_than_one_answer_holds_are_refused_and_not_cut(shard: Shard) -> None:
    for start in range(0, ROWS_MAX, 4_096):
        await shard.write([row(f"p{i % 4}", f"{i}", vector=UP) for i in range(start, start + 4_096)], [], S)

    for asked in (shard.digests(SLOTS_ALL, S), shard.heads_in(ALL, S)):
        with pytest.raises(ShardFailed, match="smaller range"):
            await asked
    found = {slot: one for run in QUARTERS for slot, one in (await shard.digests(run, S)).items()}
    assert sum(one.rows for one in found.values()) == ROWS_MAX
    await shard.write([], [head for run in QUARTERS for head in await shard.heads_in([run], S)], S)
