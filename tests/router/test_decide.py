from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.decide import living, mends
from lookalike_router.shard import Head

heads = st.builds(Head, product_id=st.sampled_from("pqr"), image_id=st.sampled_from("ab"), version=st.integers(1, 5))
replicas = st.dictionaries(st.sampled_from(["a/1", "a/2", "a/3"]), st.sets(heads), min_size=1)
graves = st.dictionaries(st.sampled_from("pqr"), st.integers(0, 5))


def mended(listed: dict[str, set[Head]], dead: dict[str, int]) -> dict[str, set[Head]]:
    found = mends({name: sorted(rows, key=repr) for name, rows in listed.items()}, dead)
    return {name: listed[name].difference(found[name].extra).union(found[name].lacks) for name in listed}


@given(replicas, graves)
def test_after_mending_all_replicas_hold_the_same(listed: dict[str, set[Head]], dead: dict[str, int]) -> None:
    assert len({frozenset(rows) for rows in mended(listed, dead).values()}) == 1


@given(replicas, graves)
def test_only_the_newest_version_of_a_product_lives_and_none_that_is_dead(
    listed: dict[str, set[Head]], dead: dict[str, int]
) -> None:
    everywhere = set().union(*listed.values())
    rows = next(iter(mended(listed, dead).values()))
    for product_id in "pqr":
        versions = {head.version for head in everywhere if head.product_id == product_id}
        alive = {version for version in versions if version > dead.get(product_id, 0)}
        kept = {head.version for head in rows if head.product_id == product_id}
        assert kept == ({max(alive)} if alive else set())


@given(replicas, graves)
def test_no_picture_of_the_newest_version_is_lost(listed: dict[str, set[Head]], dead: dict[str, int]) -> None:
    everywhere = set().union(*listed.values())
    assert next(iter(mended(listed, dead).values())) == living(everywhere, dead)


@given(replicas, graves)
def test_what_is_right_is_left_alone(listed: dict[str, set[Head]], dead: dict[str, int]) -> None:
    again = mends({name: list(rows) for name, rows in mended(listed, dead).items()}, dead)
    assert not any(mend.products for mend in again.values())
