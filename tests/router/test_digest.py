"""That digests compare rows as listing them would."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.digest import HASHES, digests
from lookalike_router.memory import MemoryShard
from lookalike_router.shard import Digest, Head, Row
from lookalike_router.slots import SLOTS, SlotRange, slot_of
from tests.parts.shop import row, vectors

ALL = SlotRange(0, SLOTS - 1)
S = 1.0
VECTOR = vectors(1)[0]
HEADS = st.builds(Head, st.sampled_from(["p", "q", "r"]), st.sampled_from(["a", "b", "c"]), st.integers(1, 4))


async def told(rows: list[Row], gone: list[Head]) -> tuple[dict[int, Digest], set[Head]]:
    """Return what an endpoint says that was written one row at a time."""
    shard = MemoryShard("a/1")
    for one in rows:
        await shard.write([one], [], S)
    await shard.write([], gone, S)
    return await shard.digests(ALL, S), set(await shard.heads_in([ALL], S))


def rows_of(heads: list[Head]) -> list[Row]:
    return [row(head.product_id, head.image_id, VECTOR, version=head.version) for head in heads]


@given(st.sets(HEADS, min_size=1), st.sets(HEADS), st.data())
def test_the_order_of_writes_and_rows_that_have_gone_leave_no_trace(
    kept: set[Head], extra: set[Head], data: st.DataObject
) -> None:
    extra -= kept
    other = data.draw(st.permutations(sorted(kept | extra, key=str)))
    one = asyncio.run(told(rows_of(sorted(kept, key=str)), []))
    assert asyncio.run(told(rows_of(other), list(extra))) == one
    assert one[1] == kept


@given(st.sets(HEADS), HEADS)
def test_one_row_more_or_less_shows_in_its_slot_alone(heads: set[Head], changed: Head) -> None:
    before, _ = asyncio.run(told(rows_of(list(heads)), []))
    after, _ = asyncio.run(told(rows_of(list(heads ^ {changed})), []))
    differ = {slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)}
    assert differ == {slot_of(changed.product_id)}


@given(st.sets(HEADS), st.sets(HEADS))
def test_digests_are_equal_exactly_where_the_rows_are(ours: set[Head], theirs: set[Head]) -> None:
    (mine, _), (other, _) = (asyncio.run(told(rows_of(list(heads)), [])) for heads in (ours, theirs))
    assert (mine == other) is (ours == theirs)


def test_sums_wrap_around() -> None:
    assert digests([(1, "f" * 32), (1, f"{2:032x}"), (3, f"{5:032x}")]) == {1: Digest(2, 1), 3: Digest(1, 5)}
    assert HASHES == 2**128
