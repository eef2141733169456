"""Decides what each replica lacks and has too much, from the rows that all of them list. Pure: asks no one.

The newest version of a product that lives is the right one, on every replica; what a tombstone covers is dead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.shard import Head
from lookalike_router.store import Answer, Begun


@dataclass(frozen=True)
class Mend:
    """What makes one replica right."""

    lacks: tuple[Head, ...]
    extra: tuple[Head, ...]

    @property
    def products(self) -> set[str]:
        """The products that are not right there."""
        return {head.product_id for head in (*self.lacks, *self.extra)}


def mends(listed: Mapping[str, Sequence[Head]], dead: Mapping[str, int]) -> dict[str, Mend]:
    """Return for each replica what makes it right; `dead`: by product, the version up to which rows are dead."""
    everywhere = {head for heads in listed.values() for head in heads}
    right = living(everywhere, dead)
    return {
        name: Mend(tuple(sorted(right.difference(heads), key=_order)), tuple(sorted(set(heads) - right, key=_order)))
        for name, heads in listed.items()
    }


def living(heads: set[Head], dead: Mapping[str, int]) -> set[Head]:
    """Return the rows of each product's newest version, unless it is dead."""
    newest: dict[str, int] = {}
    for head in heads:
        if head.version > max(dead.get(head.product_id, 0), newest.get(head.product_id, 0)):
            newest[head.product_id] = head.version
    return {head for head in heads if newest.get(head.product_id) == head.version}


def took_effect(begun: Iterable[Begun], listed: Iterable[Sequence[Head]]) -> list[Answer]:
    """Return the answers to unfinished writes of which some replica has rows: sent again, they must not write again."""
    there = {(head.product_id, head.version) for heads in listed for head in heads}
    return [left.answer for one in begun for left in one.unfinished if (one.product_id, left.version) in there]


def _order(head: Head) -> tuple[str, str, int]:
    return head.product_id, head.image_id, head.version
