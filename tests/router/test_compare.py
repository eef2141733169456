from collections.abc import Mapping, Sequence

from lookalike_router.compare import RUNS_LISTED_MAX, compare, unlike
from lookalike_router.core import Core
from lookalike_router.errors import ShardFailed
from lookalike_router.reconcile import Reconciler
from lookalike_router.shard import ROWS_MAX, Digest
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_router.windows import WINDOW_ROWS_MAX, Width
from tests.router.stage import Stage, rows
from tests.router.test_fill import play

EVERYWHERE = SlotRange(0, SLOTS - 1)


async def nobody_dead(product_ids: Sequence[str]) -> Mapping[str, int]:
    return {}


def test_a_shop_that_grew_beyond_what_a_shard_lists_is_counted_anew() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        many = rows(ROWS_MAX + 100)
        await made.hold("a/1", many)
        await made.hold("a/2", many)
        width = Width()
        width.learn(EVERYWHERE, 0)
        assert width.cut(EVERYWHERE) == EVERYWHERE

        compared = await compare(core.atlas.view.groups["a"].replicas, EVERYWHERE, width, nobody_dead)

        assert 0 < compared.rows <= 2 * WINDOW_ROWS_MAX
        assert not compared.unreached

    play(scene, a=2)


def test_replicas_that_count_and_never_list_are_unreached() -> None:
    async def scene(made: Stage, core: Core, reconciler: Reconciler) -> None:
        async def fail(*_: object) -> None:
            raise ShardFailed("a", "fails as told")

        for name in ("a/1", "a/2"):
            setattr(made.shards[name], "heads_in", fail)  # noqa: B010 - mypy knows that it is a method

        compared = await compare(core.atlas.view.groups["a"].replicas, EVERYWHERE, Width(), nobody_dead)

        assert (compared.slots, compared.rows, compared.unreached) == (EVERYWHERE, 0, ("a/1", "a/2"))

    play(scene, a=2)


def test_slots_that_differ_in_too_many_pieces_are_listed_as_one() -> None:
    one, two = Digest(1, 1), Digest(1, 2)
    window = SlotRange(0, 1_000)
    few = dict.fromkeys(range(0, 2 * RUNS_LISTED_MAX, 2), one)
    assert unlike(window, few, few) == ()
    assert unlike(window, {3: one, 4: one}, {3: two}) == (SlotRange(3, 4),)
    assert len(unlike(window, few, {})) == RUNS_LISTED_MAX
    assert unlike(window, {**few, 999: one}, {}) == (window,)
