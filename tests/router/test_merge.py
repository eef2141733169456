"""The merge against brute force over the union of what was found."""

from collections.abc import Sequence
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.columns import document
from lookalike_router.merge import Drops, Product, drops, hits, merge, unsure
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import Candidate
from lookalike_router.slots import SLOTS, slot_of

OWNERS = tuple("ab"[slot % 2] for slot in range(SLOTS))
NAMES = [f"p{i}" for i in range(12)]
# Few scores, so that ties are many; few versions, so that old and new meet.
CANDIDATES = st.builds(
    Candidate,
    product_id=st.sampled_from(NAMES),
    image_id=st.sampled_from("xyz"),
    version=st.integers(1, 3),
    score=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]),
    document=st.just(document({}, {})),
)
Answers = dict[str, list[Candidate]]
ANSWERS = st.fixed_dictionaries({"a": st.lists(CANDIDATES, max_size=25), "b": st.lists(CANDIDATES, max_size=25)})
LIMITS = st.integers(1, 15)
# By product, up to which version its rows are dead.
DEATHS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3))
SAFEGUARDS = st.builds(Safeguards, tombstones=st.booleans(), ownership=st.booleans(), versions=st.booleans())


def brute_force(
    answers: Answers, limit: int, score_min: float | None, deaths: dict[str, int], on: Safeguards
) -> list[tuple[str, float, int]]:
    """Return the answer as its definition says it: id, score and pictures of each product."""
    counted = [
        hit
        for shard, found in answers.items()
        for hit in found
        if (OWNERS[slot_of(hit.product_id)] == shard or not on.ownership)
        and (hit.version > deaths.get(hit.product_id, 0) or not on.tombstones)
    ]
    counted.sort(key=lambda hit: hit.product_id)
    best = []
    for product_id, group in groupby(counted, key=lambda hit: hit.product_id):
        found = list(group)
        newest = max(hit.version for hit in found)
        shown = [hit for hit in found if hit.version == newest or not on.versions]
        best.append((product_id, max(hit.score for hit in shown), len({hit.image_id for hit in shown})))
    best = [one for one in best if score_min is None or one[1] >= score_min]
    return sorted(best, key=lambda one: (-one[1], one[0]))[:limit]


def said(products: Sequence[Product]) -> list[tuple[str, float, int]]:
    return [(hit.product_id, hit.score, hit.images_matched) for hit in hits(products)]


@given(ANSWERS, LIMITS, st.none() | st.sampled_from([-0.5, 0.25, 0.6]), DEATHS, SAFEGUARDS | st.just(ALL))
def test_the_merge_is_brute_force_over_the_union(
    answers: Answers, limit: int, score_min: float | None, deaths: dict[str, int], on: Safeguards
) -> None:
    def dead(product_id: str, version: int) -> bool:
        return version <= deaths.get(product_id, 0)

    merged = merge(answers.items(), OWNERS, limit, score_min, dead, on)
    assert said(merged) == brute_force(answers, limit, score_min, deaths, on)
    ids = [product.best.product_id for product in merged]
    assert len(set(ids)) == len(ids)


@given(ANSWERS, DEATHS)
def test_every_row_is_a_hit_or_counted_as_dropped_for_one_reason(answers: Answers, deaths: dict[str, int]) -> None:
    def dead(product_id: str, version: int) -> bool:
        return version <= deaths.get(product_id, 0)

    dropped = drops(answers.items(), OWNERS, dead)
    for shard, found in answers.items():
        owned = [hit for hit in found if OWNERS[slot_of(hit.product_id)] == shard]
        living = [hit for hit in owned if not dead(hit.product_id, hit.version)]
        newest = {hit.product_id: hit.version for hit in sorted(living, key=lambda hit: hit.version)}
        shown = [hit for hit in living if hit.version == newest[hit.product_id]]
        assert dropped[shard] == Drops(
            not_owner=len(found) - len(owned),
            older=len(owned) - len(shown),
            same_product=len(shown) - len(newest),
        )


@given(ANSWERS, LIMITS)
def test_the_order_of_the_shards_does_not_matter(answers: Answers, limit: int) -> None:
    turned = dict(reversed(answers.items()))
    one, other = merge(answers.items(), OWNERS, limit), merge(turned.items(), OWNERS, limit)
    assert said(one) == said(other)
    assert drops(answers.items(), OWNERS) == drops(turned.items(), OWNERS)


@given(ANSWERS, LIMITS, st.integers(1, 25))
def test_where_the_merge_is_sure_more_rows_change_nothing(answers: Answers, limit: int, rows: int) -> None:
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
        all_of_them = merge(whole.items(), OWNERS, limit)
        assert names == [(hit.product_id, hit.score) for hit in hits(all_of_them)]


def test_a_newer_version_wins_over_a_better_score() -> None:
    shard = OWNERS[slot_of("p")]
    old, new = (
        Candidate("p", "x", version, score, document({"v": version}, {})) for version, score in ((1, 0.9), (2, 0.1))
    )
    [hit] = hits(merge([(shard, [old, new])], OWNERS, 10))
    assert (hit.score, hit.attributes, hit.images_matched) == (0.1, {"v": 2}, 1)
    [hit] = hits(merge([(shard, [old, new])], OWNERS, 10, safeguards=Safeguards(versions=False)))
    assert (hit.score, hit.attributes) == (0.9, {"v": 1})


def test_a_shard_that_does_not_own_the_slot_is_not_believed() -> None:
    [stranger] = {"a", "b"} - {OWNERS[slot_of("p")]}
    row = Candidate("p", "x", 9, 1.0, document({}, {}))
    assert merge([(stranger, [row])], OWNERS, 10) == []
    assert len(merge([(stranger, [row])], OWNERS, 10, safeguards=Safeguards(ownership=False))) == 1


def test_a_dead_row_hides_no_living_one() -> None:
    shard = OWNERS[slot_of("p")]
    rows = [Candidate("p", "x", version, 0.5, document({"v": version}, {})) for version in (1, 2, 3)]
    [hit] = hits(merge([(shard, rows)], OWNERS, 10, dead=lambda _, version: version <= 2))
    assert hit.attributes == {"v": 3}
    assert merge([(shard, rows)], OWNERS, 10, dead=lambda _, version: version <= 3) == []


def test_a_shard_with_no_more_rows_is_not_asked_again() -> None:
    found = {"a": [Candidate("p", "x", 1, 0.5, "")]}
    assert unsure(found, {"a": 2}, [], 10) == []
    assert unsure(found, {"a": 1}, [], 10) == ["a"]
    assert unsure(found, {"a": 1}, [], 10, score_min=0.6) == []
