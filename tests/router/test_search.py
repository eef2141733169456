"""Searches over several shards with replicas, against brute force over all their rows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike_router.answer import Explained, Trouble
from lookalike_router.ask import Asker
from lookalike_router.errors import ShardFailed, ShardRefused, ShardUnreachable
from lookalike_router.merge import hits
from lookalike_router.placement import plan
from lookalike_router.safeguards import ALL
from lookalike_router.search import Question, Searched, search
from lookalike_router.shard import DIM, Row
from lookalike_router.slots import slot_of
from lookalike_router.store import Sync
from tests.parts.shop import row, vectors
from tests.router.scripted import Cast, S, ScriptedShard
from tests.simulation.loop import run

OWNERS = plan({"a": 1.0, "b": 1.0, "c": 1.0}).owners
# Few directions, so that scores tie and one product's pictures crowd out others.
DIRECTIONS = vectors(6, seed=4)
PICTURES = st.lists(st.integers(0, 5), min_size=1, max_size=8)
CATALOGUES = st.dictionaries(st.integers(0, 40).map("product {}".format), PICTURES, max_size=30)
ROWS = [row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(60)]
ONE = Question(DIRECTIONS[:1], 10, None, None)


class Shop:
    """Three shards over which rows are spread, and the one who asks them."""

    def __init__(self, casts: dict[str, Cast]) -> None:
        self.casts = casts
        self.asker = Asker()
        self.dead: set[tuple[str, int]] = set()

    def __getitem__(self, name: str) -> ScriptedShard:
        """Return an endpoint by its replica's name."""
        return self.casts[name[0]].endpoints[name]

    async def search(self, question: Question = ONE, deadline_s: float = S) -> Searched:
        until = asyncio.get_running_loop().time() + deadline_s
        groups = [cast.group for cast in self.casts.values()]

        def dead(product_id: str, version: int) -> bool:
            return (product_id, version) in self.dead

        return await search(self.asker, groups, OWNERS, question, until, dead, ALL)

    async def ids(self, question: Question = ONE) -> list[str]:
        """Return what the first query found, where nothing is missing."""
        found = await self.search(question)
        assert found.missing == ()
        return [hit.product_id for hit in hits(found.merged[0])]


def play(rows: Sequence[Row], scene: Callable[[Shop], Awaitable[None]], replicas: int = 1) -> None:
    """Play a scene in a shop that has these rows, on virtual time."""

    async def whole() -> None:
        casts = {name: await Cast.of(name, replicas, owned(rows, name)) for name in "abc"}
        await scene(Shop(casts))
        for cast in casts.values():
            await cast.close()

    run(whole())


def owned(rows: Sequence[Row], name: str) -> list[Row]:
    return [one for one in rows if OWNERS[one.slot] == name]


def by_shard(found: Searched) -> dict[str, Explained]:
    assert [one.shard for one in found.explain()] == ["a", "b", "c"]
    return {one.shard: one for one in found.explain()}


def brute_force(
    rows: Sequence[Row], query: int = 0, limit: int = 10, score_min: float | None = None
) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for one in rows:
        score = float((one.vector * DIRECTIONS[query]).sum())
        best[one.product_id] = max(score, best.get(one.product_id, -2.0))
    kept = [(product_id, score) for product_id, score in best.items() if score_min is None or score >= score_min]
    return sorted(kept, key=lambda one: (-one[1], one[0]))[:limit]


def expected(rows: Sequence[Row]) -> list[str]:
    return [product_id for product_id, _ in brute_force(rows)]


@settings(deadline=None, max_examples=60)
@given(
    CATALOGUES,
    st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.integers(1, 50),
    st.none() | st.floats(-0.1, 0.9),
    st.integers(1, 2),
)
def test_an_answer_is_brute_force_over_the_union(
    catalogue: dict[str, list[int]], queries: list[int], limit: int, score_min: float | None, replicas: int
) -> None:
    rows = [
        row(product_id, f"{i}", DIRECTIONS[direction])
        for product_id, directions in catalogue.items()
        for i, direction in enumerate(directions)
    ]

    async def scene(shop: Shop) -> None:
        found = await shop.search(Question(DIRECTIONS[queries], limit, None, score_min))
        assert (found.missing, found.behind) == ((), ())
        for query, products in zip(queries, found.merged, strict=True):
            truth = brute_force(rows, query, limit, score_min)
            assert [hit.product_id for hit in hits(products)] == [product_id for product_id, _ in truth]
            assert [hit.score for hit in hits(products)] == pytest.approx([score for _, score in truth], abs=1e-6)

    play(rows, scene, replicas)


def test_a_shard_is_asked_again_only_where_more_rows_may_matter() -> None:
    crowd = [row("crowded", f"{i}", DIRECTIONS[0]) for i in range(32)]

    async def scene(shop: Shop) -> None:
        found = await shop.search()
        assert len(found.merged[0]) == 10
        rounds = {name: one.rounds for name, one in by_shard(found).items()}
        assert rounds == {name: len(shop[f"{name}/1"].searched) for name in "abc"}
        crowded = OWNERS[slot_of("crowded")]
        assert rounds.pop(crowded) > 1
        held = len(owned([*crowd, *ROWS], crowded))
        assert by_shard(found)[crowded].rows == held, "the last round's rows took the place of the first's"
        assert set(rounds.values()) == {1}

    play([*crowd, *ROWS], scene)


def test_a_search_that_is_exact_at_once_asks_once() -> None:
    async def scene(shop: Shop) -> None:
        await shop.search(Question(DIRECTIONS, 10, None, None))
        assert [shop[f"{name}/1"].searched for name in "abc"] == [[(6, 15)]] * 3

    play([row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(200)], scene)


def test_copies_on_a_shard_that_does_not_own_them_change_nothing_and_are_counted() -> None:
    async def scene(shop: Shop) -> None:
        for name in "abc":
            foreign = [one for one in ROWS if OWNERS[one.slot] != name]
            copies = [row(one.product_id, one.image_id, DIRECTIONS[0], version=9) for one in foreign]
            await shop[f"{name}/1"].write(copies, [], S)
        found = await shop.search()
        assert [hit.product_id for hit in hits(found.merged[0])] == expected(ROWS)
        assert all(one.not_owner > 0 for one in by_shard(found).values())

    play(ROWS, scene)


def test_dead_rows_and_old_versions_are_not_shown_and_others_are_looked_for_in_their_place() -> None:
    best = expected(ROWS)
    old = [row(product_id, vector=DIRECTIONS[0], version=0) for product_id in best[2:]]

    async def scene(shop: Shop) -> None:
        shop.dead = {(product_id, 1) for product_id in best[:2]}
        living = [one for one in ROWS if one.product_id not in best[:2]]
        found = await shop.search()
        assert [hit.product_id for hit in hits(found.merged[0])] == expected(living)
        assert sum(one.older for one in found.explain()) >= len(best)

    play([*ROWS, *old], scene)


def test_a_shard_that_fails_or_hangs_costs_its_rows_alone() -> None:
    async def scene(shop: Shop) -> None:
        shop["a/1"].error = ShardFailed("a/1", "is broken")
        shop["b/1"].paused = True
        found = await shop.search(Question(DIRECTIONS[:1], 100, None, None), deadline_s=0.1)
        assert {one.shard: one.kind for one in found.missing} == {"a": Trouble.FAILED, "b": Trouble.TIMED_OUT}
        assert {one.shard: one.message for one in found.missing} == {
            one.shard: one.message for one in found.explain() if one.message
        }
        found_ids = {hit.product_id for hit in hits(found.merged[0])}
        assert found_ids == {one.product_id for one in owned(ROWS, "c")}
        told = by_shard(found)
        assert (told["a"].replica, told["b"].replica, told["c"].replica) == ("", "", "c/1")

    play(ROWS, scene)


def test_a_dead_replica_of_every_shard_costs_nothing_and_the_retry_is_said() -> None:
    async def scene(shop: Shop) -> None:
        for name in "abc":
            shop[f"{name}/1"].error = ShardUnreachable(f"{name}/1", "is down")
        assert await shop.ids() == expected(ROWS)
        assert all(shop[f"{name}/1"].asked == 1 for name in "abc"), "each was asked first, in vain"
        found = await shop.search()
        assert {one.replica for one in found.explain()} == {"a/2", "b/2", "c/2"}

    play(ROWS, scene, replicas=2)


def test_a_replica_that_answers_too_late_is_not_mixed_with_the_one_that_took_its_place() -> None:
    async def scene(shop: Shop) -> None:
        for _ in range(20):
            await shop.search()
        slow = {name: one.replica for name, one in by_shard(await shop.search()).items()}
        for name in slow.values():
            shop[name].takes_s = 0.05
            # What only the slow one has, and would show if its answer were added.
            await shop[name].write([row("p0", "stray", DIRECTIONS[0]), row("p1", "stray", DIRECTIONS[0])], [], S)
        found = await shop.search()
        assert [hit.product_id for hit in hits(found.merged[0])] == expected(ROWS)
        hedged = [one for one in found.explain() if one.hedge]
        assert hedged
        assert all(one.replica == one.hedge != slow[one.shard] for one in hedged)
        await asyncio.sleep(1)

    play(ROWS, scene, replicas=2)


def test_an_answer_of_a_replica_that_is_behind_says_so() -> None:
    async def scene(shop: Shop) -> None:
        shop.casts["b"].replicas["b/1"].sync = Sync.BEHIND
        assert (await shop.search()).behind == ()
        shop["b/2"].error = ShardUnreachable("b/2", "is down")
        found = await shop.search()
        assert (found.missing, found.behind) == ((), ("b",))
        assert by_shard(found)["b"].replica == "b/1"

    play(ROWS, scene, replicas=2)


def test_a_shard_that_is_lost_between_two_rounds_is_missing_though_it_answered_once() -> None:
    crowded = OWNERS[slot_of("crowded")]
    crowd = [row("crowded", f"{i}", DIRECTIONS[0]) for i in range(32)]

    async def scene(shop: Shop) -> None:
        endpoint = shop[f"{crowded}/1"]
        endpoint.searches_well, endpoint.search_error = 1, ShardFailed(endpoint.name, "is broken")
        found = await shop.search()
        assert len(endpoint.searched) == 2
        assert [one.shard for one in found.missing] == [crowded]
        told = by_shard(found)[crowded]
        assert (told.replica, told.rounds) == (endpoint.name, 2)
        assert told.message

    play([*crowd, *ROWS], scene)


def test_an_explanation_adds_up() -> None:
    async def scene(shop: Shop) -> None:
        shop["a/1"].takes_s = 0.02
        found = await shop.search(Question(DIRECTIONS, 10, None, None))
        for one in by_shard(found).values():
            assert (one.rounds, one.hedge, one.retry, one.message) == (1, "", "", "")
            assert one.rows == sum(min(15, len(owned(ROWS, one.shard))) for _ in DIRECTIONS)
        assert by_shard(found)["a"].ms == pytest.approx(20)

    play(ROWS, scene)


def test_a_shop_without_shards_has_an_empty_answer() -> None:
    async def whole() -> None:
        found = await search(Asker(), [], OWNERS, ONE, asyncio.get_running_loop().time() + S, lambda *_: False, ALL)
        assert (found.merged, found.missing, found.behind, found.explain()) == ([[]], (), (), ())

    run(whole())


def test_what_a_bug_raises_is_not_taken_for_a_lost_shard() -> None:
    async def scene(shop: Shop) -> None:
        short = np.ascontiguousarray(vectors(1)[:, : DIM - 1])
        with pytest.raises(ValueError, match="broadcast"):
            await shop.search(Question(short, 1, None, None))

    play(ROWS, scene)


def test_a_refused_shard_is_said_to_be_refused() -> None:
    async def scene(shop: Shop) -> None:
        shop["a/1"].error = ShardRefused("a/1", "was emptied")
        [missing] = (await shop.search()).missing
        assert (missing.shard, missing.kind, missing.message) == ("a", Trouble.REFUSED, "a/1 was emptied")

    play(ROWS, scene)
