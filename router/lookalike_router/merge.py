"""Merges what shards found into products. Pure: knows no network and no deadline."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lookalike_router.answer import ProductHit
from lookalike_router.columns import opened
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.shard import Candidate
from lookalike_router.slots import slot_of

Dead = Callable[[str, int], bool]
"""Says whether a row of a product in a version is dead, by a tombstone."""


@dataclass(slots=True)
class Product:
    """One product as far as it was found: its newest version's pictures and the best of them."""

    best: Candidate
    images: set[str]
    rows: int = 1

    def add(self, candidate: Candidate, versions: bool) -> int:
        """Take one more row of the product; return how many rows are of an older version than another."""
        if versions and candidate.version != self.best.version:
            if candidate.version < self.best.version:
                return 1
            older = self.rows
            self.best, self.images, self.rows = candidate, {candidate.image_id}, 1
            return older
        self.rows += 1
        self.images.add(candidate.image_id)
        if (-candidate.score, candidate.image_id) < (-self.best.score, self.best.image_id):
            self.best = candidate
        return 0


@dataclass(slots=True)
class Drops:
    """Rows of one shard that are no hit of their own, and why."""

    not_owner: int = 0
    older: int = 0
    """Of an older version than another row, or dead."""
    same_product: int = 0


@dataclass(slots=True)
class Merged:
    """The best products of one query, and by shard what was dropped."""

    products: list[Product]
    drops: dict[str, Drops] = field(default_factory=dict)


def merge(
    answers: Iterable[tuple[str, Sequence[Candidate]]],
    owners: Sequence[str],
    limit: int,
    score_min: float | None = None,
    dead: Dead | None = None,
    safeguards: Safeguards = ALL,
) -> Merged:
    """Return the `limit` best products of (shard, what it found): by score, ties by id, each once.

    A row counts only if its slot belongs to the shard that found it, so that reads stay exact while rows are copied
    between shards, and only if no tombstone says that it is dead; a newer version of a product wins over a better
    score of an older one.
    """
    owned, versions = safeguards.ownership, safeguards.versions
    if not safeguards.tombstones:
        dead = None
    products: dict[str, Product] = {}
    drops: dict[str, Drops] = {}
    for shard, found in answers:
        not_owner, older, before = 0, 0, len(products)
        for candidate in found:
            product_id = candidate.product_id
            if owned and owners[slot_of(product_id)] != shard:
                not_owner += 1
            elif dead is not None and dead(product_id, candidate.version):
                older += 1
            elif (product := products.get(product_id)) is None:
                products[product_id] = Product(candidate, {candidate.image_id})
            else:
                older += product.add(candidate, versions)
        same_product = len(found) - not_owner - older - (len(products) - before)
        drops[shard] = Drops(not_owner, older, same_product)
    kept = (one for one in products.values() if score_min is None or one.best.score >= score_min)
    return Merged(sorted(kept, key=lambda one: (-one.best.score, one.best.product_id))[:limit], drops)


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
    return [_hit(product.best, len(product.images)) for product in merged]


def _hit(best: Candidate, images: int) -> ProductHit:
    attributes, picture = opened(best.document)
    return ProductHit(best.product_id, best.image_id, best.score, images, attributes, picture)
