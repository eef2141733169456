"""The merge against brute force over the union of what was found."""

from collections.abc import Sequence
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.columns import document
from lookalike_router.merge import Group, hits, merge, unsure
from lookalike_router.shard import Candidate
from lookalike_router.slots import SLOTS, slot_of

OWNERS = tuple("ab"[slot % 2] for slot in range(SLOTS))
IDS = st.sampled_from([f"p{i}" for i in range(12)])
# Few scores, so that ties are many; few versions, so that old and new meet.
CANDIDATES = st.builds(
    Candidate,
    product_id=IDS,
    image_id=st.sampled_from("xyz"),
    version=st.integers(1, 3),
    score=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]),
    document=st.just(document({}, {})),
)
ANSWERS = st.fixed_dictionaries({"a": st.lists(CANDIDATES, max_size=25), "b": st.lists(CANDIDATES, max_size=25)})
LIMITS = st.integers(1, 15)


def brute_force(
    answers: dict[str, list[Candidate]], limit: int, score_min: float | None
) -> list[tuple[str, float, int]]:
    """Return the answer as its definition says it: id, score and pictures of each product."""
    owned = [hit for shard, found in answers.items() for hit in found if OWNERS[slot_of(hit.product_id)] == shard]
    owned.sort(key=lambda hit: hit.product_id)
    best = []
    for product_id, group in groupby(owned, key=lambda hit: hit.product_id):
        hits = list(group)
        newest = [hit for hit in hits if hit.version == max(hit.version for hit in hits)]
        best.append((product_id, max(hit.score for hit in newest), len({hit.image_id for hit in newest})))
    best = [one for one in best if score_min is None or one[1] >= score_min]
    return sorted(best, key=lambda one: (-one[1], one[0]))[:limit]


def said(groups: Sequence[Group]) -> list[tuple[str, float, int]]:
    return [(hit.product_id, hit.score, hit.images_matched) for hit in hits(groups)]


@given(ANSWERS, LIMITS, st.none() | st.sampled_from([-0.5, 0.25, 0.6]))
def test_the_merge_is_brute_force_over_the_union(
    answers: dict[str, list[Candidate]], limit: int, score_min: float | None
) -> None:
    assert said(merge(answers.items(), OWNERS, limit, score_min)) == brute_force(answers, limit, score_min)


@given(ANSWERS, LIMITS)
def test_the_order_of_the_shards_does_not_matter(answers: dict[str, list[Candidate]], limit: int) -> None:
    turned = dict(reversed(answers.items()))
    assert said(merge(answers.items(), OWNERS, limit)) == said(merge(turned.items(), OWNERS, limit))


@given(ANSWERS, LIMITS, st.integers(1, 25))
def test_where_the_merge_is_sure_more_rows_change_nothing(
    answers: dict[str, list[Candidate]], limit: int, rows: int
) -> None:
    whole = {
        shard: sorted(({(one.product_id, one.image_id): one for one in found}).values(), key=lambda hit: -hit.score)
        for shard, found in answers.items()
    }
    for found in whole.values():  # one version each: what is unseen cannot be newer than what is seen
        for one in found:
            one.version = 1
    cut = {shard: found[:rows] for shard, found in whole.items()}
    merged = merge(cut.items(), OWNERS, limit)

    if not unsure(cut, dict.fromkeys(cut, rows), merged, limit):
        names = [(hit.product_id, hit.score) for hit in hits(merged)]
        assert names == [(hit.product_id, hit.score) for hit in hits(merge(whole.items(), OWNERS, limit))]


def test_a_newer_version_wins_over_a_better_score() -> None:
    [shard] = {OWNERS[slot_of("p")]}
    old, new = (
        Candidate("p", "x", version, score, document({"v": version}, {})) for version, score in ((1, 0.9), (2, 0.1))
    )
    [hit] = hits(merge([(shard, [old, new])], OWNERS, 10))
    assert (hit.score, hit.attributes, hit.images_matched) == (0.1, {"v": 2}, 1)


def test_a_shard_that_does_not_own_the_slot_is_not_believed() -> None:
    [stranger] = {"a", "b"} - {OWNERS[slot_of("p")]}
    assert merge([(stranger, [Candidate("p", "x", 9, 1.0, document({}, {}))])], OWNERS, 10) == []


def test_a_shard_with_no_more_rows_is_not_asked_again() -> None:
    found = {"a": [Candidate("p", "x", 1, 0.5, "")]}
    assert unsure(found, {"a": 2}, [], 10) == []
    assert unsure(found, {"a": 1}, [], 10) == ["a"]
    assert unsure(found, {"a": 1}, [], 10, score_min=0.6) == []
