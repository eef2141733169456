"""Merges what shards found into products. Pure: knows no network and no deadline."""

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookalike_router.answer import ProductHit
from lookalike_router.columns import opened
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import Candidate
from lookalike_router.slots import slot_of

Dead = Callable[[str, int], bool]
"""Says whether a row of a product in a version is dead, by a tombstone."""
Row = tuple[str, Candidate]
"""A shard, and one row that it found."""


@dataclass(slots=True)
class Product:
    """One product as far as it was found: the best of its newest version's pictures, and how many there are."""

    best: Candidate
    images: int


@dataclass(slots=True)
class Drops:
    """Rows of one shard that are no hit of their own, and why."""

    not_owner: int = 0
    older: int = 0
    """Of an older version than another row, or dead."""
    same_product: int = 0


def merge(
    answers: Iterable[tuple[str, Sequence[Candidate]]],
    owners: Sequence[str],
    limit: int,
    score_min: float | None = None,
    dead: Dead | None = None,
    safeguards: Safeguards = ALL,
) -> list[Product]:
    """Return the `limit` best products of (shard, what it found): by score, ties by id, each once.

    A row counts only if its slot belongs to the shard that found it, so that reads stay exact while rows are copied
    between shards, and only if no tombstone says that it is dead; a newer version of a product wins over a better
    score of an older one.
    """
    rows_of = _by_product(answers)
    # Whom a row belongs to costs more than all the rest, and most rows are of products far from the best. No product
    # can score more than its best row does; once that is less than what was found, nothing better comes.
    hopes = [
        (rows[0][1].score if len(rows) == 1 else max(candidate.score for _, candidate in rows), product_id)
        for product_id, rows in rows_of.items()
    ]
    products: list[Product] = []
    for hope, product_id in sorted(hopes, reverse=True):
        if len(products) >= limit and hope < products[limit - 1].best.score:
            break
        living = _living(product_id, rows_of[product_id], owners, dead, safeguards)
        if living:
            insort(products, _product([candidate for _, candidate in living]), key=_rank)
    return [one for one in products[:limit] if score_min is None or one.best.score >= score_min]


def drops(
    answers: Iterable[tuple[str, Sequence[Candidate]]],
    owners: Sequence[str],
    dead: Dead | None = None,
    safeguards: Safeguards = ALL,
) -> dict[str, Drops]:
    """Return for each shard how many of the rows that it found are no hit of their own; for those who ask why."""
    answers = list(answers)
    counted = {shard: Drops() for shard, _ in answers}
    for product_id, rows in _by_product(answers).items():
        owned = _owned(product_id, rows, owners) if safeguards.ownership else rows
        living = _living(product_id, rows, owners, dead, safeguards)
        for shard, drop in counted.items():
            mine, old, shown = (sum(row[0] == shard for row in part) for part in (rows, owned, living))
            drop.not_owner += mine - old
            drop.older += old - shown
        for shard, _ in living[1:]:
            counted[shard].same_product += 1
    return counted


def unsure(
    answers: Mapping[str, Sequence[Candidate]],
    asked: Mapping[str, int],
    merged: Sequence[Product],
    limit: int,
    score_min: float | None = None,
) -> list[str]:
    """Return the shards whose rows beyond those they returned might still belong among the `limit` best products."""
    last = merged[limit - 1].best.score if len(merged) >= limit else None
    return [
        shard
        for shard, found in answers.items()
        if len(found) >= asked[shard]  # else the shard has no more
        and (last is None or found[-1].score >= last)  # at a tie, an id that sorts first may be among the unseen
        and (score_min is None or found[-1].score >= score_min)
    ]


def hits(merged: Iterable[Product]) -> list[ProductHit]:
    """Return merged products as the answer carries them."""
    return [_hit(product.best, product.images) for product in merged]


def _hit(best: Candidate, images: int) -> ProductHit:
    attributes, picture = opened(best.document)
    return ProductHit(best.product_id, best.image_id, best.score, images, attributes, picture)


def _by_product(answers: Iterable[tuple[str, Sequence[Candidate]]]) -> dict[str, list[Row]]:
    rows_of: dict[str, list[Row]] = {}
    for shard, found in answers:
        for candidate in found:
            row = shard, candidate
            if (rows := rows_of.get(candidate.product_id)) is None:
                rows_of[candidate.product_id] = [row]
            else:
                rows.append(row)
    return rows_of


def _owned(product_id: str, rows: Sequence[Row], owners: Sequence[str]) -> Sequence[Row]:
    owner = owners[slot_of(product_id)]
    return [row for row in rows if row[0] == owner]


def _living(
    product_id: str, rows: Sequence[Row], owners: Sequence[str], dead: Dead | None, safeguards: Safeguards
) -> Sequence[Row]:
    """Return those of a product's rows that count."""
    if safeguards.ownership:
        rows = _owned(product_id, rows, owners)
    if dead is not None and safeguards.tombstones:
        rows = [row for row in rows if not dead(product_id, row[1].version)]
    if len(rows) > 1 and safeguards.versions:
        newest = max(candidate.version for _, candidate in rows)
        rows = [row for row in rows if row[1].version == newest]
    return rows


def _product(living: Sequence[Candidate]) -> Product:
    if len(living) == 1:
        return Product(living[0], 1)
    best = min(living, key=lambda one: (-one.score, one.image_id))
    return Product(best, len({one.image_id for one in living}))


def _rank(product: Product) -> tuple[float, str]:
    return -product.best.score, product.best.product_id
