"""Searches over several shards against brute force over all their rows."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike_router.answer import Trouble
from lookalike_router.errors import ShardFailed
from lookalike_router.member import Member
from lookalike_router.merge import hits
from lookalike_router.placement import plan
from lookalike_router.search import Question, search
from lookalike_router.shard import DIM, Row
from lookalike_router.slots import slot_of
from tests.parts.shop import row, vectors
from tests.router.conftest import SHOP
from tests.router.scripted import ScriptedShard

OWNERS = plan({"a": 1.0, "b": 1.0, "c": 1.0}).owners
S = 5.0
# Few directions, so that scores tie and one product's pictures crowd out others.
DIRECTIONS = vectors(6, seed=4)
PICTURES = st.lists(st.integers(0, 5), min_size=1, max_size=8)
CATALOGUES = st.dictionaries(st.integers(0, 40).map("product {}".format), PICTURES, max_size=30)


async def members_over(rows: list[Row]) -> list[Member]:
    members = []
    for name in "abc":
        member = Member(ScriptedShard(name), SHOP)
        await member.join(founding=True, deadline_s=S)
        await member.shard.upsert([one for one in rows if OWNERS[one.slot] == name], S)
        members.append(member)
    return members


def brute_force(rows: list[Row], query: int, limit: int, score_min: float | None) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for one in rows:
        score = float((one.vector * DIRECTIONS[query]).sum())
        best[one.product_id] = max(score, best.get(one.product_id, -2.0))
    kept = [(product_id, score) for product_id, score in best.items() if score_min is None or score >= score_min]
    return sorted(kept, key=lambda one: (-one[1], one[0]))[:limit]


@settings(deadline=None, max_examples=60)
@given(
    CATALOGUES,
    st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.integers(1, 50),
    st.none() | st.floats(-0.1, 0.9),
)
async def test_an_answer_is_brute_force_over_the_union(
    catalogue: dict[str, list[int]], queries: list[int], limit: int, score_min: float | None
) -> None:
    rows = [
        row(product_id, f"{i}", DIRECTIONS[direction])
        for product_id, directions in catalogue.items()
        for i, direction in enumerate(directions)
    ]
    question = Question(DIRECTIONS[queries], limit, None, score_min)

    answers, missing = await search(await members_over(rows), OWNERS, question, time.monotonic() + S)

    assert missing == ()
    for query, groups in zip(queries, answers, strict=True):
        expected = brute_force(rows, query, limit, score_min)
        assert [hit.product_id for hit in hits(groups)] == [product_id for product_id, _ in expected]
        assert [hit.score for hit in hits(groups)] == pytest.approx([score for _, score in expected], abs=1e-6)


async def test_a_shard_is_asked_again_only_where_more_rows_may_matter() -> None:
    crowd = [row("crowded", f"{i}", DIRECTIONS[0]) for i in range(32)]
    others = [row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(60)]
    members = await members_over([*crowd, *others])
    question = Question(DIRECTIONS[:1], 10, None, None)

    [groups], _ = await search(members, OWNERS, question, time.monotonic() + S)

    assert len(groups) == 10
    rounds = {name: len(shard.searched) for name, shard in shards_of(members).items()}
    assert rounds.pop(OWNERS[slot_of("crowded")]) > 1
    assert set(rounds.values()) == {1}


async def test_a_search_that_is_exact_at_once_asks_once() -> None:
    members = await members_over([row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(200)])
    await search(members, OWNERS, Question(DIRECTIONS, 10, None, None), time.monotonic() + S)
    assert [shard.searched for shard in shards_of(members).values()] == [[(6, 15)]] * 3


async def test_copies_on_a_shard_that_does_not_own_them_change_nothing() -> None:
    rows = [row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(60)]
    members = await members_over(rows)
    for member in members:
        foreign = [one for one in rows if OWNERS[one.slot] != member.shard.name]
        copies = [row(one.product_id, one.image_id, DIRECTIONS[0], version=9) for one in foreign]
        await member.shard.upsert(copies, S)

    [groups], _ = await search(members, OWNERS, Question(DIRECTIONS[:1], 10, None, None), time.monotonic() + S)

    expected = brute_force(rows, 0, 10, None)
    assert [hit.product_id for hit in hits(groups)] == [product_id for product_id, _ in expected]


async def test_a_shard_that_fails_or_hangs_costs_its_rows_alone() -> None:
    rows = [row(f"p{i}", vector=vectors(1, seed=i)[0]) for i in range(60)]
    members = await members_over(rows)
    shards = shards_of(members)
    shards["a"].error = ShardFailed("a", "is broken")
    shards["b"].gate.clear()

    [groups], missing = await search(members, OWNERS, Question(DIRECTIONS[:1], 100, None, None), time.monotonic() + 0.1)

    assert {one.shard: one.kind for one in missing} == {"a": Trouble.FAILED, "b": Trouble.TIMED_OUT}
    assert {hit.product_id for hit in hits(groups)} == {one.product_id for one in rows if OWNERS[one.slot] == "c"}
    shards["b"].gate.set()
    for member in members:
        await member.close()


async def test_what_a_bug_raises_is_not_taken_for_a_lost_shard() -> None:
    members = await members_over([row("p")])
    short = Question(vectors(1)[:, : DIM - 1], 1, None, None)
    with pytest.raises(ValueError, match="broadcast"):
        await search(members, OWNERS, short, time.monotonic() + S)


def shards_of(members: list[Member]) -> dict[str, ScriptedShard]:
    found = {}
    for member in members:
        assert isinstance(member.shard, ScriptedShard)
        found[member.shard.name] = member.shard
    return found
